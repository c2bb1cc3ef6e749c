"""Store of rows, with words that belong to a whole row beside its beats."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .fifo import FifoStorage
from .row_store import RowStore

__all__ = ["LATENCY", "RowBuffer"]

#: Cycles from a row's last beat on ``i`` to its first beat on ``o``.
LATENCY = 3


class RowBuffer(wiring.Component):
    """Row store with a FIFO for each word that is known only at the end of a row.

    A word, such as a row's maximum or sum, is on its output from the row's first beat on ``o`` to
    its last one; a late word, one cycle after those beats.

    Latency :data:`LATENCY` cycles from a row's last beat on ``i`` to its first beat on ``o``,
    throughput one beat per cycle, rows back to back; never stalls. A word must be pushed at the
    latest in the cycle after its row's last beat, a late one :data:`LATENCY` cycles after it.

    Parameters
    ----------
    layout : StructLayout
        Shape of a beat, with a member ``last``.
    max_beats : int
        Beats of the longest row.
    max_rows : int
        Rows inside at a time; the caller must bound them.
    words : dict of str to int or None
        Width of each word, by name.
    late : dict of str to int or None
        Width of each late word, by name.
    memory : "auto", "block" or "distributed"
        Kind of memory of the beats; see :class:`~rtl.stream.row_store.RowStore`.

    Members
    -------
    i : In(layout)
        Beat to write.
    write : In(1)
        ``i`` holds a beat.
    o : Out(layout)
        Beat read.
    valid : Out(1)
        ``o`` holds a beat.
    first : Out(1)
        The beat on ``o``, or the next one without ``valid``, is the first of its row.
    leaving : Out(1)
        Pulses when a row's entry leaves the FIFO of the last of the words.
    <word>_i : In(width)
        Word of the oldest row that has none.
    <word>_push : In(1)
        ``<word>_i`` holds a word.
    <word> : Out(width)
        Word of the row on ``o``.
    """

    def __init__(self, layout, max_beats, max_rows, *, words=None, late=None, memory="auto"):
        self.layout = layout
        self.max_beats = max_beats
        self.depth = 1 << max(max_rows - 1, 1).bit_length()
        self.words = {**(words or {}), **(late or {})}
        self._late = late or {}
        self.memory = memory
        super().__init__({
            "i": In(layout), "write": In(1),
            "o": Out(layout), "valid": Out(1), "first": Out(1), "leaving": Out(1),
            **{f"{name}_i": In(width) for name, width in self.words.items()},
            **{f"{name}_push": In(1) for name in self.words},
            **{name: Out(width) for name, width in self.words.items()},
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.store = store = RowStore(self.layout, self.max_beats, memory=self.memory)
        # A nonzero initial value keeps the register out of a DSP block, whose input is too slow to
        # follow a block RAM directly.
        beat = Signal(self.layout, init={"last": 1})
        starting = Signal(init=1)
        m.d.comb += [store.i.eq(self.i), store.write.eq(self.write), store.last.eq(self.i.last),
                     self.o.eq(beat)]
        m.d.sync += [beat.eq(store.o), self.valid.eq(store.valid), self.first.eq(starting)]
        with m.If(store.valid):
            m.d.sync += starting.eq(store.o.last)
        for name, width in self.words.items():
            late = name in self._late
            queue = FifoStorage(width, self.depth, bypass=late)
            m.submodules[name] = queue
            opening = self.first if late else starting
            m.d.comb += [
                queue.i.eq(getattr(self, f"{name}_i")),
                queue.push.eq(getattr(self, f"{name}_push")),
                queue.pop.eq((self.valid if late else store.valid) & opening),
            ]
            with m.If(opening):
                m.d.sync += getattr(self, name).eq(queue.o)
        m.d.comb += self.leaving.eq(queue.pop)
        return m

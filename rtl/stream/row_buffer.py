"""Beats that wait for the end of their row, and what is known of the row then."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .fifo import FifoStorage
from .row_store import RowStore

__all__ = ["LATENCY", "RowBuffer"]

#: Cycles from a row's last beat on ``i`` to its first beat on ``o``.
LATENCY = 3


class RowBuffer(wiring.Component):
    """Store of beats, read row by row, with words of each row beside its beats.

    A word is known late, often only when the row is over. Each has a queue, and is on its output
    from the row's first beat on ``o`` to its last one; words that are ``late`` are so a cycle after
    the beats, and may still come in the cycle of the first beat.

    Latency :data:`LATENCY` cycles from a row's last beat to its first beat on ``o``; a word has to
    be pushed in the cycle after the row's last beat at the latest, a late one two cycles later.

    Parameters
    ----------
    layout : StructLayout
        Shape of a beat, with a member ``last``.
    max_beats, memory
        As of :class:`rtl.stream.row_store.RowStore`.
    max_rows : int
        Rows that can wait at a time. Who fills the buffer must bound them.
    words, late : dict of str to int
        Width of each word.

    Members
    -------
    i : In(layout)
    write : In(1)
        ``i`` holds a beat.
    o : Out(layout)
        Beat that was read.
    valid : Out(1)
        ``o`` holds a beat.
    first : Out(1)
        It is the first one of its row, if it is one.
    leaving : Out(1)
        The last word of a row was taken.
    <word>_i, <word>_push, <word>
        For each word: the word of the oldest row that has had none, whether it is there; the word
        of the row that is read.
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
        # A register that does not start at 0 stays out of a DSP block, which takes too long to
        # accept what comes straight out of a block RAM.
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

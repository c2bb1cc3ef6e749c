"""Store of rows, with words that belong to a whole row beside its beats."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .row_store import RowStore
from .row_words import RowWords

__all__ = ["LATENCY", "RowBuffer"]

#: Cycles from a row's last beat on ``i`` to its first beat on ``o``.
LATENCY = 3


class RowBuffer(wiring.Component):
    """Row store with words that are known only at the end of a row.

    A word, such as a row's maximum or sum, is on its output from the row's first beat on ``o`` to
    its last one; a late word, one cycle after those beats.

    Latency :data:`LATENCY` cycles from a row's last beat on ``i`` to its first beat on ``o``,
    throughput one beat per cycle, rows of any lengths back to back; never stalls.

    Parameters
    ----------
    layout : StructLayout
        Shape of a beat, with a member ``last``.
    max_beats : int
        Beats of the longest row.
    words : dict of str to RowWord
        Words of a row, by name.
    max_rows : int
        Rows inside at a time, where the caller bounds them to save memory for the words; 0 for
        any number.
    memory : "auto", "block" or "distributed"
        Kind of memory; see :class:`~rtl.stream.row_store.RowStore` for that of the beats and
        :class:`~rtl.stream.row_words.RowWords` for that of the words.

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
        Pulses when a row's words have left the memory.
    <word>_i : In(shape)
        Word of the row that ended ``lag`` cycles ago.
    <word> : Out(shape)
        Word of the row on ``o``.
    """

    def __init__(self, layout, max_beats, words, *, max_rows=0, memory="auto"):
        self.layout = layout
        self.max_beats = max_beats
        self.words = words
        self.max_rows = max_rows
        self.memory = memory
        super().__init__({
            "i": In(layout), "write": In(1),
            "o": Out(layout), "valid": Out(1), "first": Out(1), "leaving": Out(1),
            **{f"{name}_i": In(word.shape) for name, word in words.items()},
            **{name: Out(word.shape) for name, word in words.items()},
        })

    def elaborate(self, platform):
        m = Module()
        words = RowWords(self.words, RowStore.depth_of(self.max_beats), max_rows=self.max_rows,
                         memory=self.memory)
        m.submodules.store = store = RowStore(self.layout, self.max_beats, memory=self.memory,
                                              ages=words.ages)
        m.submodules.words = words
        # A nonzero initial value keeps the register out of a DSP block, whose input is too slow to
        # follow a block RAM directly.
        beat = Signal(self.layout, init={"last": 1})
        starting = Signal(init=1)
        m.d.comb += [
            store.i.eq(self.i), store.write.eq(self.write), store.last.eq(self.i.last),
            self.o.eq(beat),
            words.end.eq(self.write & self.i.last), words.row_i.eq(store.row_i),
            words.row_o.eq(store.row_o), words.first.eq(store.valid & starting),
            self.leaving.eq(self.valid & self.first),
        ]
        if words.ages:
            m.d.comb += words.age.eq(store.age)
        m.d.sync += [beat.eq(store.o), self.valid.eq(store.valid), self.first.eq(starting)]
        with m.If(store.valid):
            m.d.sync += starting.eq(store.o.last)
        for name in self.words:
            m.d.comb += [getattr(words, f"{name}_i").eq(getattr(self, f"{name}_i")),
                         getattr(self, name).eq(getattr(words, name))]
        return m

"""Indices of the keys that are kept, one after the other."""

from amaranth import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.fifo import Fifo

__all__ = ["KeptKeys"]


class KeptKeys(wiring.Component):
    """From words of flags, one for each of a few neighbouring keys, to the keys' indices.

    One index per cycle, in order; a word without a kept key takes no time. Of a query of which no
    key is kept, key 0 is. Words never stall: whoever sends them must not have more than ``depth``
    in work.

    Parameters
    ----------
    lanes : int
        Keys of a word, a power of two.
    max_keys : int
        Keys of a set at most.
    depth : int
        Words that it must hold.
    memory : "distributed", "auto" or "block"
        Memory of the :class:`~rtl.stream.fifo.Fifo` that holds them.
    places : int
        Number the words from 0 to this less 1, over and over (a power of two).

    Members
    -------
    valid : In(1)
        There is a word.
    keep : In(lanes)
        Keys of it that are kept.
    word : In
        Its number.
    last : In(1)
        It is its query's last one.
    o : Out(stream.Signature)
        ``key`` and whether it is the query's ``last`` one.
    place, lane : Out
        Number of the word of the key on ``o``, and the key's lane in it.
    """

    def __init__(self, lanes, max_keys, depth, *, memory="distributed", places=1):
        self.lanes = lanes
        self.words = -(-max_keys // lanes)
        self.depth = depth
        self.memory = memory
        self.places = places
        super().__init__({
            "valid": In(1), "keep": In(lanes), "word": In(range(self.words)), "last": In(1),
            "o": Out(stream.Signature(self.layout(max_keys))),
            "place": Out(range(places)), "lane": Out((lanes - 1).bit_length())})

    @staticmethod
    def layout(max_keys):
        """Layout of an index."""
        return data.StructLayout({"key": range(max_keys), "last": unsigned(1)})

    def elaborate(self, platform):
        m = Module()
        entry = data.StructLayout({
            "keep": unsigned(self.lanes), "single": unsigned(1), "word": range(self.words),
            "final": unsigned(1), "place": range(self.places)})
        m.submodules.kept_words = words = Fifo(entry, self.depth, memory=self.memory)
        # A word with kept keys waits until it is known whether the query has another one.
        held = Signal(entry)
        waiting, some, ended, none = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            some.eq(self.valid & self.keep.any()), ended.eq(self.valid & self.last),
            none.eq(ended & ~some & (~waiting | held.final)),
            words.push.eq(waiting & (held.final | some)), words.i.eq(held),
        ]
        place, start = Signal.like(held.place), Signal.like(held.place)
        with m.If(self.valid):
            m.d.sync += place.eq(place + 1)
            with m.If(self.last):
                m.d.sync += start.eq(place + 1)
        with m.If(some | none):
            m.d.sync += [waiting.eq(1), held.keep.eq(self.keep), held.word.eq(self.word),
                         held.single.eq(_without_first(self.keep) == 0), held.final.eq(ended),
                         held.place.eq(place)]
            with m.If(none):
                m.d.sync += [held.keep[0].eq(1), held.word.eq(0), held.place.eq(start)]
        with m.Elif(words.push):
            m.d.sync += waiting.eq(0)
        with m.Elif(ended):
            m.d.sync += held.final.eq(1)
        self._indices(m, words.o)
        return m

    def _indices(self, m, words):
        """One index per cycle of the words' kept keys."""
        current = Signal(words.payload.shape())
        valid = Signal()
        rest = Signal(self.lanes)
        for k in reversed(range(self.lanes)):
            with m.If(current.keep[k]):
                m.d.comb += self.lane.eq(k)
        m.d.comb += [
            rest.eq(_without_first(current.keep)),
            self.place.eq(current.place),
            self.o.valid.eq(valid),
            self.o.payload.key.eq(Cat(self.lane, current.word)),
            self.o.payload.last.eq(current.single & current.final),
            words.ready.eq(~valid | (self.o.ready & current.single)),
        ]
        with m.If(words.ready):
            m.d.sync += [valid.eq(words.valid), current.eq(words.payload)]
        with m.Elif(self.o.ready):
            # A flag of its own, as all that counts rows and keys hangs on it.
            m.d.sync += [current.keep.eq(rest), current.single.eq(_without_first(rest) == 0)]


def _without_first(bits):
    """Bits less the lowest one that is set."""
    return (bits & (bits - 1))[:len(bits)]

"""Keys that a selection keeps: the last of each row marked, and from flags to indices."""

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.fifo import Fifo

__all__ = ["KeptKeys", "LastKept"]


class LastKept(wiring.Component):
    """Filter of a row's beats that marks the last kept one, which only the row's end can tell.

    A kept beat is held until the next kept one of its row comes, or until the cycle after its row's
    end. The beat that ends a row need not be kept; of every row at least one must be. Throughput
    one beat per cycle; never stalls.

    Parameters
    ----------
    shape : ShapeLike
        Shape of what a beat carries.

    Members
    -------
    i : In(shape)
        What the beat carries.
    valid : In(1)
        ``i`` holds a beat.
    keep : In(1)
        The beat is kept.
    last : In(1)
        The beat ends its row.
    empty : Out(1)
        No earlier beat of the row at hand was kept. Combinational from registers.
    o : Out(LastKept.layout(shape))
        ``payload`` of a kept beat, and whether it is the ``last`` kept one of its row.
    push : Out(1)
        ``o`` leaves in this cycle.
    """

    def __init__(self, shape):
        self.shape = shape
        super().__init__({
            "i": In(shape), "valid": In(1), "keep": In(1), "last": In(1), "empty": Out(1),
            "o": Out(self.layout(shape)), "push": Out(1)})

    @staticmethod
    def layout(shape):
        """Layout of ``o``."""
        return data.StructLayout({"payload": shape, "last": unsigned(1)})

    def elaborate(self, platform):
        m = Module()
        waiting, some, ended = Signal(), Signal(), Signal()
        m.d.comb += [some.eq(self.valid & self.keep), ended.eq(self.valid & self.last),
                     self.empty.eq(~waiting | self.o.last),
                     self.push.eq(waiting & (self.o.last | some))]
        with m.If(some):
            m.d.sync += [waiting.eq(1), self.o.payload.eq(self.i), self.o.last.eq(ended)]
        with m.Elif(self.push):
            m.d.sync += waiting.eq(0)
        with m.Elif(ended):
            m.d.sync += self.o.last.eq(1)
        return m


class KeptKeys(wiring.Component):
    """From words of flags, one for each of a few neighbouring keys, to the indices of kept keys.

    Throughput one index per cycle, in order; a word without a kept key takes no cycle of the
    output. A query that keeps no key gets key 0. Words never stall: at most ``depth`` may be in
    flight.

    Parameters
    ----------
    lanes : int
        Keys of a word, a power of two.
    max_keys : int
        Keys of a set at most.
    depth : int
        Words that it holds.
    memory : "distributed", "auto" or "block"
        Memory of the :class:`~rtl.stream.fifo.Fifo` that holds them.
    places : int
        Number the words from 0 to this less 1, over and over (a power of two).

    Members
    -------
    valid : In(1)
        There is a word.
    keep : In(lanes)
        Bit k: key ``word * lanes + k`` is kept.
    word : In(range(ceil(max_keys / lanes)))
        Index of the word in its set.
    last : In(1)
        The word ends its query.
    o : Out(stream.Signature(KeptKeys.layout(max_keys)))
        Index ``key`` of a kept key, and whether it is the query's ``last`` one.
    place : Out(range(places))
        Number of the word that the key on ``o`` is from.
    lane : Out(ceil(log2(lanes)))
        Lane of that key in its word.
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
        word = data.StructLayout({
            "keep": unsigned(self.lanes), "single": unsigned(1), "word": range(self.words),
            "place": range(self.places)})
        m.submodules.last_word = filtered = LastKept(word)
        m.submodules.kept_words = words = Fifo(filtered.layout(word), self.depth,
                                               memory=self.memory)
        place = Signal(range(self.places))
        start = Signal.like(place)
        none = Signal()
        with m.If(self.valid):
            m.d.sync += place.eq(place + 1)
            with m.If(self.last):
                m.d.sync += start.eq(place + 1)
        m.d.comb += [
            none.eq(self.last & ~self.keep.any() & filtered.empty),
            filtered.valid.eq(self.valid), filtered.keep.eq(self.keep.any() | none),
            filtered.last.eq(self.last), filtered.i.keep.eq(Mux(none, 1, self.keep)),
            filtered.i.single.eq(_without_first(self.keep) == 0),
            filtered.i.word.eq(Mux(none, 0, self.word)),
            filtered.i.place.eq(Mux(none, start, place)),
            words.push.eq(filtered.push), words.i.eq(filtered.o),
        ]
        self._indices(m, words.o)
        return m

    def _indices(self, m, words):
        """One index per cycle of the words' kept keys."""
        current = Signal(words.payload.shape())
        word = current.payload
        valid = Signal()
        rest = Signal(self.lanes)
        for k in reversed(range(self.lanes)):
            with m.If(word.keep[k]):
                m.d.comb += self.lane.eq(k)
        m.d.comb += [
            rest.eq(_without_first(word.keep)),
            self.place.eq(word.place),
            self.o.valid.eq(valid),
            self.o.payload.key.eq(Cat(self.lane, word.word)),
            self.o.payload.last.eq(word.single & current.last),
            words.ready.eq(~valid | (self.o.ready & word.single)),
        ]
        with m.If(words.ready):
            m.d.sync += [valid.eq(words.valid), current.eq(words.payload)]
        with m.Elif(self.o.ready):
            # A register of its own: the flag enables all that counts rows and keys.
            m.d.sync += [word.keep.eq(rest), word.single.eq(_without_first(rest) == 0)]


def _without_first(bits):
    """Bits less the lowest one that is set."""
    return (bits & (bits - 1))[:len(bits)]

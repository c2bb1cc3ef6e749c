"""Keys that a selection keeps: the last of each row marked, and from flags to words of keys."""

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.pipeline import delays
from ..stream.fifo import Fifo
from .key_deal import KeyDeal

__all__ = ["KeptKeys", "LaneKeys", "LastKept"]


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


class LaneKeys(wiring.Component):
    """Kept keys of one lane of the stores, from flags of a few keys in neighbouring words.

    Throughput one key per cycle, in order; flags of which none is set take no cycle of the output.
    A query that keeps no key of the lane has one beat without a key. Flags never stall: at most
    ``depth`` may be in flight.

    Parameters
    ----------
    deal : KeyDeal
        Keys of a group, and lanes.
    depth : int
        Flags of groups that it holds.
    memory : "distributed", "auto" or "block"
        Memory of the :class:`~rtl.stream.fifo.Fifo` that holds them.
    places : int
        Numbers of the groups, a power of two.

    Members
    -------
    valid : In(1)
        There are flags of a group.
    keep : In(slots)
        Bit k: the group's key in slot k of the lane is kept.
    first : In(range(words))
        As of :class:`~rtl.attention.key_deal.KeyDeal`.
    place : In(range(places))
        Number of the group.
    last : In(1)
        The group ends its query.
    o : Out(stream.Signature(LaneKeys.layout(deal, places)))
        ``word`` of a kept key, the ``slot`` and the ``place`` it is from, whether there is ``some``
        key, and whether the beat is the query's ``last`` one.
    """

    def __init__(self, deal, depth, *, memory="distributed", places=1):
        self.deal = deal
        self.depth = depth
        self.memory = memory
        first = range(deal.words if deal.turned else deal.groups)
        self._entry = data.StructLayout({
            "keep": unsigned(deal.slots), "single": unsigned(1), "first": first,
            "place": range(places)})
        super().__init__({
            "valid": In(1), "keep": In(deal.slots), "first": In(first), "place": In(range(places)),
            "last": In(1), "o": Out(stream.Signature(self.layout(deal, places)))})

    @staticmethod
    def layout(deal, places):
        """Layout of a beat."""
        return data.StructLayout({
            "word": range(deal.words), "slot": (deal.slots - 1).bit_length(),
            "place": range(places), "some": unsigned(1), "last": unsigned(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.last_kept = filtered = LastKept(self._entry)
        m.submodules.entries = entries = Fifo(filtered.layout(self._entry), self.depth,
                                              memory=self.memory)
        none = Signal()
        m.d.comb += [
            none.eq(self.last & ~self.keep.any() & filtered.empty),
            filtered.valid.eq(self.valid), filtered.keep.eq(self.keep.any() | none),
            filtered.last.eq(self.last), filtered.i.keep.eq(self.keep),
            filtered.i.single.eq(_without_first(self.keep) == 0),
            filtered.i.first.eq(self.first), filtered.i.place.eq(self.place),
            entries.push.eq(filtered.push), entries.i.eq(filtered.o),
        ]

        current = Signal(entries.o.payload.shape())
        entry, beat = current.payload, self.o.payload
        valid = Signal()
        rest = Signal(self.deal.slots)
        for k in reversed(range(self.deal.slots)):
            with m.If(entry.keep[k]):
                m.d.comb += beat.slot.eq(k)
        m.d.comb += [
            rest.eq(_without_first(entry.keep)),
            self.o.valid.eq(valid), beat.place.eq(entry.place), beat.some.eq(entry.keep.any()),
            beat.word.eq(self.deal.word(entry.first, beat.slot)),
            beat.last.eq(entry.single & current.last),
            entries.o.ready.eq(~valid | (self.o.ready & entry.single)),
        ]
        with m.If(entries.o.ready):
            m.d.sync += [valid.eq(entries.o.valid), current.eq(entries.o.payload)]
        with m.Elif(self.o.ready):
            # A register of its own: the flag enables all that counts rows and keys.
            m.d.sync += [entry.keep.eq(rest), entry.single.eq(_without_first(rest) == 0)]
        return m


class KeptKeys(wiring.Component):
    """From flags of neighbouring keys to beats of one kept key for each lane of the stores.

    Each lane hands out the kept keys that it has, in order: a query takes as many beats as the lane
    with the most of them has, with the low lanes of the last one up to the last key. Throughput one
    beat per cycle; groups without a kept key take no cycle of the output. A query that keeps no key
    has one beat without a key. Flags never stall: at most ``depth`` groups may be in flight.
    Latency: that of the memory, and :meth:`stages`.

    Parameters
    ----------
    flags : int
        Keys of a group, a power of two.
    lanes : int
        Lanes of the stores.
    max_keys : int
        Keys of a set at most.
    depth : int
        Groups that it holds.
    memory : "distributed", "auto" or "block"
        Memory of the :class:`~rtl.stream.fifo.Fifo` that holds them.
    places : int
        Number the groups from 0 to this less 1, over and over (a power of two).

    Members
    -------
    valid : In(1)
        There is a group.
    keep : In(flags)
        Bit k: key ``word * flags + k`` is kept.
    word : In(range(ceil(max_keys / flags)))
        Index of the group in its set.
    last : In(1)
        The group ends its query.
    o : Out(stream.Signature(KeptKeys.layout(max_keys, lanes)))
        A key for each lane.
    place : Out(ArrayLayout(range(places), lanes))
        For each lane the number of the group that its key on ``o`` is from.
    slot : Out(ArrayLayout(ceil(log2(slots)), lanes))
        Slot of that key in the group.
    """

    def __init__(self, flags, lanes, max_keys, depth, *, memory="distributed", places=1):
        self.deal = KeyDeal(flags, lanes, max_keys)
        self.depth = depth
        self.memory = memory
        self.places = places
        super().__init__({
            "valid": In(1), "keep": In(flags), "word": In(range(self.deal.groups)), "last": In(1),
            "o": Out(stream.Signature(self.layout(max_keys, lanes))),
            "place": Out(data.ArrayLayout(range(places), lanes)),
            "slot": Out(data.ArrayLayout((self.deal.slots - 1).bit_length(), lanes))})

    @staticmethod
    def layout(max_keys, lanes):
        """Layout of a beat: as :class:`~rtl.attention.layouts.WordLayout` has these members."""
        return data.StructLayout({
            "word": data.ArrayLayout(range(-(-max_keys // lanes)), lanes),
            "keep": unsigned(lanes), "mask": unsigned(lanes), "last": unsigned(1)})

    @staticmethod
    def stages(flags, lanes, max_keys):
        """Cycles that the deal of the flags takes."""
        return int(KeyDeal(flags, lanes, max_keys).turned)

    def elaborate(self, platform):
        m = Module()
        deal, beat = self.deal, self.o.payload
        place = Signal(range(self.places))
        with m.If(self.valid):
            m.d.sync += place.eq(place + 1)
        turn, first = deal.first(m, self.word, "first")
        flags = deal.dealt(m, list(self.keep), turn, "dealt")
        transfer = Signal()
        # Lanes that have handed out the last key of the query at hand.
        done, ends = Signal(deal.lanes), Signal(deal.lanes)
        there, some = Signal(deal.lanes), Signal(deal.lanes)
        for number, own in enumerate(flags):
            m.submodules[f"lane_{number}"] = lane = LaneKeys(
                deal, self.depth, memory=self.memory, places=self.places)
            for port, value in ((lane.valid, self.valid), (lane.keep, Cat(own)),
                                (lane.first, first), (lane.place, place), (lane.last, self.last)):
                m.d.comb += port.eq(delays(m, value, deal.turned,
                                           f"{port.name}_of_{number}")[-1])
            key = lane.o.payload
            m.d.comb += [
                there[number].eq(lane.o.valid | done[number]),
                ends[number].eq(done[number] | key.last),
                some[number].eq(key.some & ~done[number]),
                lane.o.ready.eq(transfer & ~done[number]),
                beat.word[number].eq(key.word),
                self.place[number].eq(key.place), self.slot[number].eq(key.slot),
            ]
        m.d.comb += [
            self.o.valid.eq(there.all()), transfer.eq(self.o.valid & self.o.ready),
            beat.last.eq(ends.all()), beat.mask.eq(~some),
            # As any row: all lanes but in the last beat, where the low ones up to the last key are.
            beat.keep.eq(Cat(Const(1, 1), *(~beat.last | some[k:].any()
                                            for k in range(1, deal.lanes)))),
        ]
        with m.If(transfer):
            m.d.sync += done.eq(Mux(beat.last, 0, ends))
        return m


def _without_first(bits):
    """Bits less the lowest one that is set."""
    # Without a carry chain, of which two would follow each other.
    return Cat(bit & bits[:k].any() for k, bit in enumerate(bits))

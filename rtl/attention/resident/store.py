"""Store of the vectors of sets that stay and grow."""

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.memory import SlicedMemory, ram
from ...stream.fifo import Fifo
from ..vector_beats import VectorBeats
from .layouts import LoadLayout
from .positions import advanced, before, position_shape, reached

__all__ = ["LOADS", "ResidentStore"]

#: Loads that wait for their vectors while one runs.
LOADS = 4

# Cycles from the end of a load that is short to the number of its vectors.
CLOSING = 3


class ResidentStore(wiring.Component):
    """Memory of K or V with a region for each set, ``lanes`` vectors a word, and its input stream.

    Loads come in their order, each followed by its vectors on ``i``. A load ends with the beat that
    carries ``last``: vectors that are more than its ``count`` are swallowed, those that are short
    count as come. Either, and ``last`` within a vector, raises :attr:`broken`. A load starts a
    cycle after the end of the one before, with ``cut`` two cycles after it; read latency 1 cycle;
    throughput one word read and one beat written per cycle. Empty after reset, as far as the loads
    say: content stays.

    Parameters
    ----------
    layout : VectorLayout
        Layout of a beat.
    vector_beats : int
        Beats of a vector.
    regions : Regions
        Regions of the sets.
    memory : "auto", "block" or "distributed"
        Kind of memory: by size, block RAM or LUT RAM.
    depth : int
        Loads that wait for their vectors.
    cut : bool
        Whether vectors that come for positions the set has no longer are not stored.

    Members
    -------
    load : In(stream.Signature(LoadLayout(regions)))
        Loads, in the order of their vectors.
    i : In(stream.Signature(layout))
        Vectors.
    idle : Out(1)
        No load waits or runs.
    waiting : Out(1)
        A load has not started.
    loading : Out(range(sets))
        Set of the load that runs, or starts.
    limit : In(position_shape(regions))
        Keys of that set at present, in the same cycle. This and the next one only with ``cut``.
    aborted : In(1)
        Vectors of positions from there on are not to be stored, from two cycles later on.
    set : In(range(sets))
        Set that is asked for.
    complete : Out(position_shape(regions))
        Number of that set's vectors that have come, from position 0 on. Combinational.
    word : In(range(sets * words))
        Word to read.
    o : Out(ArrayLayout(vector, lanes))
        Word that was read, a cycle later: for each lane the ``data`` of a vector, and its ``mask``
        if the stream has one.
    broken : Out(1)
        Pulses when a load ends otherwise than it should.
    """

    def __init__(self, layout, vector_beats, regions, *, memory="auto", depth=LOADS, cut=False):
        self.layout = layout
        self.vector_beats = vector_beats
        self.regions = regions
        self.memory = memory
        self.depth = depth
        self.cut = cut
        members = {"data": data.ArrayLayout(layout.element, vector_beats * layout.lanes)}
        if "mask" in layout.members:
            members["mask"] = unsigned(1)
        #: Layout of a vector in the memory.
        self.vector = data.StructLayout(members)
        super().__init__({
            "load": In(stream.Signature(LoadLayout(regions))),
            "i": In(stream.Signature(layout)),
            "idle": Out(1), "waiting": Out(1),
            "loading": Out(range(regions.sets)),
            "set": In(range(regions.sets)), "complete": Out(position_shape(regions)),
            "word": In(range(regions.sets * regions.words)),
            "o": Out(data.ArrayLayout(self.vector, regions.lanes)),
            "broken": Out(1),
            **({"limit": In(position_shape(regions)), "aborted": In(1)} if cut else {}),
        })

    def elaborate(self, platform):
        m = Module()
        regions, layout = self.regions, LoadLayout(self.regions)
        m.submodules.loads = loads = Fifo(layout, self.depth)
        pending = Signal(range(loads.depth + 1))
        current, running = Signal(layout), Signal()
        start, transfer, whole, end = Signal(), Signal(), Signal(), Signal()
        takes, short = Signal(), Signal()
        # Cycles since a load ended short.
        closing = Signal(CLOSING)
        m.d.comb += [
            self.load.ready.eq(pending != loads.depth),
            loads.push.eq(self.load.valid & self.load.ready), loads.i.eq(self.load.payload),
            start.eq(loads.o.valid & ~running), loads.o.ready.eq(~running),
            self.i.ready.eq(takes), transfer.eq(self.i.valid & takes),
            end.eq(transfer & self.i.payload.last),
            self.waiting.eq(pending != 0), self.idle.eq(~running & ~self.waiting),
            self.loading.eq(Mux(start, loads.o.payload.set, current.set)),
        ]
        m.d.sync += [pending.eq(pending + loads.push - start), closing.eq(Cat(short, closing))]

        m.submodules.beats = beats = VectorBeats(self.layout, self.vector_beats)
        vector = Signal(self.vector)
        m.d.comb += [beats.beat.eq(self.i.payload), beats.transfer.eq(transfer),
                     whole.eq(beats.whole), vector.data.eq(beats.elements)]
        if "mask" in self.layout.members:
            m.d.comb += vector.mask.eq(self.i.payload.mask)
        # Position behind the current one, in a register of its own.
        behind = Signal(position_shape(regions))
        # A vector is due while the count is not 0.
        due, final = current.count != 0, whole & (current.count == 1)
        here = due & ~current.drop
        m.d.comb += short.eq(end & ~final & here)
        with m.If(start):
            m.d.sync += [running.eq(1), takes.eq(not self.cut), current.eq(loads.o.payload),
                         behind.eq(advanced(loads.o.payload.position, 1))]
        with m.Elif(end):
            m.d.sync += [running.eq(short), takes.eq(0)]
        with m.Elif(closing[-1]):
            m.d.sync += running.eq(0)
        with m.If(whole & due):
            m.d.sync += [current.count.eq(current.count - 1), current.position.eq(behind),
                         behind.eq(advanced(behind, 1))]
            with m.If(behind[:_lane_bits(regions)] == 0):
                m.d.sync += current.word.eq(Mux(current.word == regions.words - 1,
                                                regions.sink_words, current.word + 1))
        write, wanted, ended = Signal(), Const(1), Signal.like(behind)
        m.d.sync += ended.eq(advanced(current.position, current.count))
        if self.cut:
            wanted, ended = self._cut(m, start, takes, current.position, behind, whole & due, ended)
        m.d.comb += [
            write.eq(whole & here & wanted),
            self.broken.eq(transfer & (self.i.payload.last ^ final)),
        ]
        self._memory(m, vector, write, current)

        # How far the vectors of each set have come.
        m.submodules.progress = progress = ram(
            position_shape(regions), regions.sets, "distributed")
        note, ask = progress.write_port(), progress.read_port(domain="comb")
        m.d.comb += [ask.addr.eq(self.set), self.complete.eq(ask.data),
                     note.addr.eq(current.set), note.data.eq(behind), note.en.eq(write)]
        with m.If(closing[-1]):
            # Nobody waits for vectors that will not come.
            m.d.comb += [note.en.eq(1), note.data.eq(ended)]
        with m.If(start):
            # Of a set that was truncated less is there than had come.
            load = loads.o.payload
            m.d.comb += [note.addr.eq(load.set), note.data.eq(load.position),
                         note.en.eq(~load.drop)]
        return m

    def _cut(self, m, start, takes, position, behind, advance, ended):
        """Whether the vector at a position is wanted, and no more positions than are."""
        begins, wanted, over = Signal(), Signal(), Signal()
        limit, aborted = Signal.like(self.limit), Signal()
        m.d.sync += [
            begins.eq(start), limit.eq(self.limit), aborted.eq(self.aborted),
            # For the position of the next cycle.
            wanted.eq(~aborted | Mux(advance, before(behind, limit), before(position, limit))),
            over.eq(aborted & ~reached(limit, ended)),
        ]
        with m.If(begins):
            m.d.sync += takes.eq(1)
        return wanted, Mux(over, limit, ended)

    def _memory(self, m, vector, write, current):
        regions = self.regions
        lane = current.position[:_lane_bits(regions)]
        for number in range(regions.lanes):
            m.submodules[f"lane_{number}"] = vectors = SlicedMemory(
                self.vector, regions.sets * regions.words, self.memory)
            m.d.comb += [
                vectors.address.eq(current.base + current.word), vectors.data.eq(vector),
                vectors.write.eq(write & (lane == number)),
                vectors.read.eq(self.word), self.o[number].eq(vectors.o),
            ]


def _lane_bits(regions):
    return (regions.lanes - 1).bit_length()

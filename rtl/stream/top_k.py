"""Flags of the k largest elements of each row, by radix search over stored rows."""

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.pipeline import delays
from ..blocks.population_count import population_count
from .fifo import FifoStorage
from .row_store import RowStore

__all__ = ["TopK"]

# Bits of a digit. One more bit saves stages and row stores, and doubles the counters of each stage;
# two bits are the smallest choice.
DIGIT_BITS = 2


class _Stage(wiring.Component):
    """One digit of the k-th largest element of each row.

    For each digit value, count the candidates that reach it. The digit of the k-th largest element
    is the largest value whose count is at least ``need``. Candidates with a larger digit are
    chosen, those with a smaller one rejected; those with an equal one stay candidates for the
    remaining ``need`` places.

    Rows pass through a :class:`~rtl.stream.row_store.RowStore` and leave without their highest
    digit. Latency 6 cycles from a row's last beat to its first beat on ``o``, throughput one beat
    per cycle; never stalls.

    Members
    -------
    i : In(_beat(width, lanes, need_bits))
        Beat: flags ``racing`` (candidate) and ``above`` (chosen) of each lane, ``data`` of the
        lanes, ``need`` (places left for the candidates), and ``last``.
    write : In(1)
        ``i`` holds a beat.
    o : Out(_beat(width - digit, lanes, need_bits))
        Beat after the decision, without its highest digit.
    valid : Out(1)
        ``o`` holds a beat.
    """

    def __init__(self, width, digit, lanes, max_beats, need_bits, memory):
        self.digit, self.lanes, self.max_beats, self.memory = digit, lanes, max_beats, memory
        super().__init__({"i": In(_beat(width, lanes, need_bits)), "write": In(1),
                          "o": Out(_beat(width - digit, lanes, need_bits)), "valid": Out(1)})

    def elaborate(self, platform):
        m = Module()
        beat = self.i
        rest = len(beat.data[0]) - self.digit
        values = range(1, 1 << self.digit)
        need_bits = len(beat.need)

        # Count of the row's candidates that reach each digit value.
        start = Signal(init=1)
        counting = Signal(init=1)
        written = delays(m, self.write, 1, "written")[-1]
        enough = Signal(len(values))
        remaining = []
        with m.If(self.write):
            m.d.sync += start.eq(beat.last)
        m.d.sync += counting.eq(start)
        need = delays(m, beat.need, 2, "need")[-1]
        for k, value in enumerate(values):
            number = Signal(range(self.lanes + 1), name=f"number_{value}")
            count = Signal(range(self.lanes * self.max_beats + 1), name=f"count_{value}")
            held = Signal.like(count, name=f"held_{value}")
            reached = [beat.racing[lane] & (beat.data[lane][rest:] >= value)
                       for lane in range(self.lanes)]
            m.d.sync += number.eq(population_count(m, reached, f"reached_{value}"))
            with m.If(written):
                m.d.sync += count.eq(Mux(counting, 0, count) + number)
            m.d.sync += [enough[k].eq(count >= need), held.eq(count)]
            remaining.append(held)
        # `enough` is a thermometer code. Candidates above the chosen digit take places.
        chosen = Signal(self.digit)
        taken = Signal.like(remaining[0])
        m.d.comb += taken.eq(remaining[0])
        for k, value in enumerate(values):
            with m.If(enough[k]):
                m.d.comb += [chosen.eq(value),
                             taken.eq(remaining[k + 1] if value != values[-1] else 0)]
        left = (delays(m, need, 1, "wanted")[-1] - taken)[:need_bits]
        decision = data.StructLayout({"digit": unsigned(self.digit), "need": unsigned(need_bits)})
        m.submodules.decisions = decisions = FifoStorage(
            decision.size, 1 << (self.max_beats + 7).bit_length())
        m.d.comb += [
            decisions.i.eq(Cat(chosen, left)),
            decisions.push.eq(delays(m, self.write & beat.last, 3, "decided")[-1]),
        ]

        layout = data.StructLayout({name: field.shape for name, field in beat.shape()
                                    if name != "need"})
        m.submodules.store = store = RowStore(layout, self.max_beats, memory=self.memory)
        plain = Cat(beat[name] for name in layout.members)
        written = delays(m, Cat(plain, self.write), 2, "beat")[-1]
        m.d.comb += [store.i.eq(written[:-1]), store.write.eq(written[-1]),
                     store.last.eq(store.i.last)]

        # The first beat of a row pops its decision.
        reading = Signal(init=1)
        made = Signal(decision)
        with m.If(store.valid):
            m.d.sync += reading.eq(store.o.last)
            with m.If(reading):
                m.d.sync += made.eq(decisions.o)
        m.d.comb += decisions.pop.eq(store.valid & reading)
        word = delays(m, store.o, 1, "word")[-1]
        m.d.sync += [self.valid.eq(delays(m, store.valid, 1, "read")[-1]),
                     self.o.last.eq(word.last), self.o.need.eq(made.need)]
        for lane in range(self.lanes):
            digit = word.data[lane][rest:]
            m.d.sync += [
                self.o.racing[lane].eq(word.racing[lane] & (digit == made.digit)),
                self.o.above[lane].eq(word.above[lane]
                                      | (word.racing[lane] & (digit > made.digit))),
                self.o.data[lane].eq(word.data[lane]),
            ]
        return m


def _beat(width, lanes, need_bits):
    return data.StructLayout({
        "racing": unsigned(lanes), "above": unsigned(lanes),
        "data": data.ArrayLayout(unsigned(width), lanes), "need": unsigned(need_bits),
        "last": unsigned(1)})


class TopK(wiring.Component):
    """Flags of exactly the ``k`` largest live elements of each row.

    Ties go to the earlier element: lower beat, then lower lane. A row of fewer live elements has
    all of them flagged.

    A radix search for the k-th largest element, one :class:`_Stage` per digit from the highest
    down, then a count of the elements equal to it. Each stage stores one row while it counts the
    next, so rows of any length follow each other without a bubble. Its counters do not grow with
    ``k``, as a sorted queue of the best k would.

    Latency :attr:`latency` cycles for a row of one beat, from its last beat in to its first beat
    out, if the stages are empty; each further beat of a row adds a cycle per stage. Throughput one
    beat per cycle; never stalls.

    Parameters
    ----------
    width : int
        Width of an element, unsigned.
    lanes : int
        Elements per beat.
    max_beats : int
        Beats of the longest row.
    k : int
        Elements to flag in each row; at most, with ``run_time``.
    run_time : bool
        Whether every row comes with a number of its own.
    memory : "auto", "block" or "distributed"
        Kind of memory of the stores; see :class:`~rtl.stream.row_store.RowStore`.

    Members
    -------
    data : In(width).array(lanes)
        Elements of a beat, in the order of the lanes.
    live : In(lanes)
        Bit k clear: the element of lane k takes no part.
    write : In(1)
        The inputs hold a beat.
    last : In(1)
        The beat ends its row.
    number : In(range(k + 1))
        Elements to flag in the row of the beat, the same in all of its beats. Only with
        ``run_time``.
    keep : Out(lanes)
        Bit k set: the element of lane k is one of the ``k`` largest.
    valid : Out(1)
        ``keep`` holds the flags of a beat.
    ends : Out(1)
        That beat ends its row.
    """

    def __init__(self, width, lanes, max_beats, k, *, run_time=False, memory="auto"):
        self.width, self.lanes, self.max_beats, self.memory = width, lanes, max_beats, memory
        # A row has no more elements than this.
        self.k = min(k, lanes * max_beats)
        self.run_time = run_time
        super().__init__({**({"number": In(range(self.k + 1))} if run_time else {}),
                          "data": In(width).array(lanes), "live": In(lanes), "write": In(1),
                          "last": In(1), "keep": Out(lanes), "valid": Out(1), "ends": Out(1)})

    @staticmethod
    def stages(width):
        """Number of stages for elements of ``width`` bits."""
        return -(-width // DIGIT_BITS)

    @staticmethod
    def latency_of(width):
        """Latency for elements of ``width`` bits, in cycles."""
        return 6 * TopK.stages(width) + 2

    @property
    def latency(self):
        """Latency of a row of one beat, in cycles."""
        return self.latency_of(self.width)

    def elaborate(self, platform):
        m = Module()
        width, need_bits = self.width, self.k.bit_length()
        beat = Signal(_beat(width, self.lanes, need_bits))
        m.d.comb += [beat.racing.eq(self.live), beat.last.eq(self.last)]
        m.d.comb += [beat.data[lane].eq(value) for lane, value in enumerate(self.data)]
        m.d.comb += beat.need.eq(self.number if self.run_time else self.k)
        valid, number = self.write, 0
        while width:
            # An odd width makes the first digit the short one.
            digit = (width - 1) % DIGIT_BITS + 1
            m.submodules[f"digit_{number}"] = stage = _Stage(
                width, digit, self.lanes, self.max_beats, need_bits, self.memory)
            m.d.comb += [stage.i.eq(beat), stage.write.eq(valid)]
            beat, valid, width, number = stage.o, stage.valid, width - digit, number + 1

        # The remaining candidates are equal: the earliest ones take the places left.
        equal = Signal(range(self.lanes + 1))
        before = Signal(data.ArrayLayout(range(self.lanes), self.lanes))
        start = Signal(init=1)
        places = Signal(need_bits)
        left = Signal(need_bits)
        held = delays(m, beat, 1, "flags")[-1]
        following = delays(m, valid, 1, "flagged")[-1]
        racing = list(beat.racing)
        m.d.sync += equal.eq(population_count(m, racing, "equal"))
        m.d.sync += [before[lane].eq(population_count(m, racing[:lane], f"before_{lane}"))
                     for lane in range(1, self.lanes)]
        m.d.comb += places.eq(Mux(start, held.need, left))
        with m.If(following):
            m.d.sync += [start.eq(held.last), left.eq(Mux(places > equal, places - equal, 0))]
        m.d.sync += [self.valid.eq(following), self.ends.eq(held.last)]
        m.d.sync += [self.keep[lane].eq(held.above[lane]
                                        | (held.racing[lane] & (before[lane] < places)))
                     for lane in range(self.lanes)]
        return m

"""Largest element: of a beat, by comparison or digit by digit, and of a row so far."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .pipeline import delays

__all__ = ["MaxRadix", "MaxTree", "RunningMax", "largest"]


def largest(m, values, live, name):
    """Largest of up to three live unsigned values, and whether one is live. Combinational.

    All comparisons are made at once, and one LUT6 a bit selects: three values take fewer LUTs than
    two steps of two values would, and less time. What comes out when none is live is of no use.
    """
    some = Cat(live).any()
    if len(values) == 1:
        return values[0], some
    a, b = values[:2]
    b_over_a = live[1] & (~live[0] | (b > a))
    if len(values) == 2:
        return Mux(b_over_a, b, a), some
    c = values[2]
    c_over_a = live[2] & (~live[0] | (c > a))
    c_over_b = live[2] & (~live[1] | (c > b))
    select = Signal(2, name=f"{name}_select")
    m.d.comb += select.eq(Mux(Mux(b_over_a, c_over_b, c_over_a), 2, b_over_a))
    return Mux(select[1], c, Mux(select[0], b, a)), some


class MaxTree(wiring.Component):
    """Candidates for the largest live element of a beat: two at most, for the user's own last step.

    A tree of three-way nodes, one level a stage. Latency :attr:`latency` cycles (none for one or
    two lanes), throughput one beat per cycle.

    Parameters
    ----------
    width : int
        Width of an element, unsigned.
    lanes : int
        Elements per beat.

    Members
    -------
    data : In(width).array(lanes)
    live : In(lanes)
        Bit k clear: the element of lane k takes no part.
    o : Out(width).array(candidates)
    o_live : Out(candidates)
        Bit k clear: candidate k comes from no live element.
    """

    def __init__(self, width, lanes):
        self.width = width
        self.lanes = lanes
        count = lanes
        while count > 2:
            count = -(-count // 3)
        super().__init__({
            "data": In(width).array(lanes),
            "live": In(lanes),
            "o": Out(width).array(count),
            "o_live": Out(count),
        })

    @staticmethod
    def stages(lanes):
        """Latency for ``lanes`` elements a beat, in cycles."""
        count = 0
        while lanes > 2:
            lanes = -(-lanes // 3)
            count += 1
        return count

    @property
    def latency(self):
        """Latency in cycles."""
        return self.stages(self.lanes)

    def elaborate(self, platform):
        m = Module()
        values = [self.data[k] for k in range(self.lanes)]
        live = [self.live[k] for k in range(self.lanes)]
        for level in range(self.latency):
            following, alive = [], []
            for start in range(0, len(values), 3):
                name = f"node_{level}_{start // 3}"
                node, node_live = Signal(self.width, name=name), Signal(name=f"{name}_live")
                best, some = largest(m, values[start:start + 3], live[start:start + 3], name)
                m.d.sync += [node.eq(best), node_live.eq(some)]
                following.append(node)
                alive.append(node_live)
            values, live = following, alive
        m.d.comb += [out.eq(value) for out, value in zip(self.o, values, strict=True)]
        m.d.comb += self.o_live.eq(Cat(live))
        return m


class MaxRadix(wiring.Component):
    """Largest live element of a beat.

    From the top down, two bits a stage: the largest digit among the elements that are still in the
    race is a digit of the result, and only the elements that have it stay in. That takes ORs over
    the lanes instead of comparisons and multiplexers: for narrow elements and many lanes fewer
    LUTs than a tree. Latency :attr:`latency` cycles, throughput one beat per cycle.

    Parameters
    ----------
    width : int
        Width of an element, unsigned.
    lanes : int
        Elements per beat.
    relaxed : bool
        Rest a cycle between two digits, for shorter paths.

    Members
    -------
    data : In(width).array(lanes)
    live : In(lanes)
        Bit k clear: the element of lane k takes no part.
    o : Out(width)
        Largest live element, 0 if there is none.
    """

    def __init__(self, width, lanes, *, relaxed=False):
        self.width = width
        self.lanes = lanes
        self.relaxed = relaxed
        super().__init__({"data": In(width).array(lanes), "live": In(lanes), "o": Out(width)})

    @staticmethod
    def stages(width, relaxed=False):
        """Latency for elements of ``width`` bits, in cycles."""
        digits = -(-width // 2)
        return 2 * digits - 1 if relaxed else digits

    @property
    def latency(self):
        """Latency in cycles."""
        return self.stages(self.width, self.relaxed)

    def elaborate(self, platform):
        m = Module()
        racing = self.live
        values = [self.data[k] for k in range(self.lanes)]
        found = digit = None
        for stage in range(self.stages(self.width)):
            if stage:
                # Elements with a smaller digit than the one just found are out of the race.
                still = Signal(self.lanes, name=f"still_{stage}")
                domain = m.d.sync if self.relaxed else m.d.comb
                domain += still.eq(Cat(flag & (value[-len(digit):] == digit)
                                       for flag, value in zip(racing, values, strict=True)))
                racing, values = still, [value[:-len(digit)] for value in values]
                if self.relaxed:
                    *values, found = [delays(m, value, 1, f"resting_{stage}_{k}")[-1]
                                      for k, value in enumerate([*values, found])]
            low = max(len(values[0]) - 2, 0)
            flags = self._flags(racing, [value[low:] for value in values])
            racing_now = Signal(self.lanes, name=f"racing_{stage}")
            if self.relaxed:
                flags = delays(m, flags, 1, f"flags_{stage}")[-1]
            largest = self._largest_digit(flags)
            digit = Signal(len(largest), name=f"digit_{stage}")
            following = Signal(len(largest) + (len(found) if stage else 0), name=f"found_{stage}")
            if self.relaxed:
                before = [delays(m, found, 1, f"before_{stage}")[-1]] if stage else []
                m.d.comb += [digit.eq(largest), following.eq(Cat(largest, *before))]
            else:
                m.d.sync += following.eq(Cat(largest, found) if stage else largest)
                m.d.comb += digit.eq(following[:len(digit)])
            m.d.sync += racing_now.eq(racing)
            waiting = []
            for k, value in enumerate(values):
                waiting.append(Signal(len(value), name=f"value_{stage}_{k}"))
                m.d.sync += waiting[-1].eq(value)
            racing, values, found = racing_now, waiting, following
        m.d.comb += self.o.eq(found)
        return m

    @staticmethod
    def _flags(racing, digits):
        """Of the digits, of one or two bits, in the race: has one its high bit, both bits, its low
        bit set."""
        high = Cat(flag & d[-1] for flag, d in zip(racing, digits, strict=True)).any()
        if len(digits[0]) == 1:
            return high
        both = Cat(flag & d.all() for flag, d in zip(racing, digits, strict=True)).any()
        low = Cat(flag & d[0] for flag, d in zip(racing, digits, strict=True)).any()
        return Cat(high, both, low)

    @staticmethod
    def _largest_digit(flags):
        """Largest digit."""
        return flags if len(flags) == 1 else Cat(Mux(flags[0], flags[1], flags[2]), flags[0])


class RunningMax(wiring.Component):
    """Largest live element of a row so far.

    ``candidate`` and ``update`` are there for registers that hold a function of the maximum:
    loaded with that of the candidate in every cycle with ``update``, they are as late as the
    maximum itself.

    Latency ``candidates + 1`` cycles, throughput one beat per cycle.

    Parameters
    ----------
    width : int
        Width of an element, unsigned.
    lanes : int
        Elements per beat.
    radix : bool
        Search a beat digit by digit (:class:`MaxRadix`), and not by comparisons
        (:class:`MaxTree`): for many lanes and narrow elements that is smaller.
    relaxed : bool
        As of :class:`MaxRadix`.

    Members
    -------
    data, live : In
        Elements of a beat, and which of them take part.
    valid, first : In(1)
        ``candidates`` cycles after its elements: there was a beat; it was the first of its row.
    candidate : Out(width)
        What the maximum becomes with ``update``.
    update : Out(1)
    o : Out(width)
        Maximum; 0, the least element, if no element takes part.
    """

    def __init__(self, width, lanes, *, radix=False, relaxed=False):
        self.width = width
        self.lanes = lanes
        self.finder = (MaxRadix(width, lanes, relaxed=relaxed) if radix else
                       MaxTree(width, lanes))
        super().__init__({
            "data": In(width).array(lanes), "live": In(lanes), "valid": In(1), "first": In(1),
            "candidate": Out(width), "update": Out(1), "o": Out(width),
        })

    @staticmethod
    def stages(width, lanes, *, radix=False, relaxed=False):
        """Cycles from the elements of a beat to the candidate, for these parameters."""
        return MaxRadix.stages(width, relaxed) if radix else MaxTree.stages(lanes)

    @property
    def candidates(self):
        """Cycles from the elements of a beat to the candidate."""
        return self.finder.latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.finder = finder = self.finder
        m.d.comb += [word.eq(x) for word, x in zip(finder.data, self.data, strict=True)]
        m.d.comb += finder.live.eq(self.live)
        if isinstance(finder, MaxRadix):
            # The least element is neutral, so that a beat without live elements needs no flag.
            m.d.comb += [self.candidate.eq(finder.o),
                         self.update.eq(self.valid & (self.first | (finder.o > self.o)))]
        else:
            best, some = largest(m, [*finder.o, self.o], [*finder.o_live, ~self.first], "running")
            m.d.comb += [self.candidate.eq(Mux(some, best, 0)), self.update.eq(self.valid)]
        with m.If(self.update):
            m.d.sync += self.o.eq(self.candidate)
        return m

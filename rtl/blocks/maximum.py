"""Maximum of a beat, by comparison or by radix search, and running maximum of a row."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .pipeline import delays

__all__ = ["MaxRadix", "MaxTree", "RunningMax", "largest"]


def largest(m, values, live, name):
    """Maximum of up to three unsigned values, and whether any is live. Combinational.

    Compares all pairs at once and selects with one LUT6 per bit: smaller and faster than two
    two-way stages. The maximum is undefined if no value is live.

    Parameters
    ----------
    values : list of Value
        One to three values, unsigned.
    live : list of Value
        Flag of each value: whether it takes part.
    name : str
        Prefix of the signals' names.

    Returns
    -------
    Value, Value
        The maximum, and whether any value is live.
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
    """Reduction of a beat to one or two candidates for its maximum.

    A registered tree of three-way nodes. It stops at two candidates, so that the user can merge the
    last comparison with one of its own. Latency :attr:`latency` cycles (0 for one or two lanes),
    throughput one beat per cycle; never stalls.

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
        Candidates; undefined where not live.
    o_live : Out(candidates)
        Bit k clear: candidate k covers no live element.
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
                node = Signal(self.width, name=name)
                node_live = Signal(name=f"{name}_live")
                best, some = largest(m, values[start:start + 3], live[start:start + 3], name)
                m.d.sync += [node.eq(best), node_live.eq(some)]
                following.append(node)
                alive.append(node_live)
            values, live = following, alive
        m.d.comb += [out.eq(value) for out, value in zip(self.o, values, strict=True)]
        m.d.comb += self.o_live.eq(Cat(live))
        return m


class MaxRadix(wiring.Component):
    """Maximum of a beat by radix search.

    From the highest digit down, two bits a stage: the largest digit among the candidates is a digit
    of the maximum, and only elements with that digit stay candidates. ORs over the lanes replace
    comparators and multiplexers: fewer LUTs than :class:`MaxTree` for narrow elements and many
    lanes. Latency :attr:`latency` cycles, throughput one beat per cycle; never stalls.

    Parameters
    ----------
    width : int
        Width of an element, unsigned.
    lanes : int
        Elements per beat.
    relaxed : bool
        Add a pipeline register between digits.

    Members
    -------
    data : In(width).array(lanes)
    live : In(lanes)
        Bit k clear: the element of lane k takes no part.
    o : Out(width)
        Maximum of the live elements, 0 if there is none.
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
                # Only elements with the digit just found stay candidates.
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
        """Whether any candidate's digit has its high bit, both bits, its low bit set."""
        high = Cat(flag & d[-1] for flag, d in zip(racing, digits, strict=True)).any()
        if len(digits[0]) == 1:
            return high
        both = Cat(flag & d.all() for flag, d in zip(racing, digits, strict=True)).any()
        low = Cat(flag & d[0] for flag, d in zip(racing, digits, strict=True)).any()
        return Cat(high, both, low)

    @staticmethod
    def _largest_digit(flags):
        """Largest digit, from the flags of all."""
        return flags if len(flags) == 1 else Cat(Mux(flags[0], flags[1], flags[2]), flags[0])


class RunningMax(wiring.Component):
    """Running maximum of a row.

    A register that loads ``f(candidate)`` in every cycle with ``update`` holds ``f(o)`` without a
    cycle more of latency.

    Latency ``candidates + 1`` cycles from ``data`` to ``o``, throughput one beat per cycle; never
    stalls.

    Parameters
    ----------
    width : int
        Width of an element, unsigned.
    lanes : int
        Elements per beat.
    radix : bool
        Reduce a beat by :class:`MaxRadix` instead of :class:`MaxTree`: smaller for many lanes and
        narrow elements.
    relaxed : bool
        Add a pipeline register between digits of the radix search.

    Members
    -------
    data : In(width).array(lanes)
        Elements of a beat.
    live : In(lanes)
        Bit k clear: the element of lane k takes no part.
    valid : In(1)
        There was a beat :attr:`candidates` cycles ago.
    first : In(1)
        That beat was the first of its row.
    candidate : Out(width)
        Next value of ``o``, if ``update``.
    update : Out(1)
        ``o`` loads ``candidate``.
    o : Out(width)
        Maximum of the row so far; 0 if no element is live.
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
        """Cycles from ``data`` to ``candidate``, for these parameters."""
        return MaxRadix.stages(width, relaxed) if radix else MaxTree.stages(lanes)

    @property
    def candidates(self):
        """Cycles from ``data`` to ``candidate``."""
        return self.finder.latency

    def elaborate(self, platform):
        m = Module()
        m.submodules.finder = finder = self.finder
        m.d.comb += [word.eq(x) for word, x in zip(finder.data, self.data, strict=True)]
        m.d.comb += finder.live.eq(self.live)
        if isinstance(finder, MaxRadix):
            # 0 is the neutral element, so a beat without live elements needs no flag.
            m.d.comb += [self.candidate.eq(finder.o),
                         self.update.eq(self.valid & (self.first | (finder.o > self.o)))]
        else:
            best, some = largest(m, [*finder.o, self.o], [*finder.o_live, ~self.first], "running")
            m.d.comb += [self.candidate.eq(Mux(some, best, 0)), self.update.eq(self.valid)]
        with m.If(self.update):
            m.d.sync += self.o.eq(self.candidate)
        return m

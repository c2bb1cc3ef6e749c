"""Largest of the elements of a beat, digit by digit."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .pipeline import delays


__all__ = ["MaxRadix"]


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

"""Largest of the elements of a beat, digit by digit."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


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

    Members
    -------
    data : In(width).array(lanes)
    live : In(lanes)
        Bit k clear: the element of lane k takes no part.
    o : Out(width)
        Largest live element, 0 if there is none.
    """

    def __init__(self, width, lanes):
        self.width = width
        self.lanes = lanes
        super().__init__({"data": In(width).array(lanes), "live": In(lanes), "o": Out(width)})

    @staticmethod
    def stages(width):
        """Latency for elements of ``width`` bits, in cycles."""
        return -(-width // 2)

    @property
    def latency(self):
        """Latency in cycles."""
        return self.stages(self.width)

    def elaborate(self, platform):
        m = Module()
        racing = self.live
        values = [self.data[k] for k in range(self.lanes)]
        found = digit = None
        for stage in range(self.latency):
            if stage:
                # Elements with a smaller digit than the one just found are out of the race.
                still = Signal(self.lanes, name=f"still_{stage}")
                m.d.comb += still.eq(Cat(flag & (value[-len(digit):] == digit)
                                         for flag, value in zip(racing, values, strict=True)))
                racing, values = still, [value[:-len(digit)] for value in values]
            low = max(len(values[0]) - 2, 0)
            largest = self._largest_digit(m, racing, [value[low:] for value in values], stage)

            digit = Signal(len(largest), name=f"digit_{stage}")
            following = Signal(len(largest) + (len(found) if stage else 0), name=f"found_{stage}")
            racing_now = Signal(self.lanes, name=f"racing_{stage}")
            m.d.sync += [following.eq(Cat(largest, found) if stage else largest),
                         racing_now.eq(racing)]
            m.d.comb += digit.eq(following[:len(digit)])
            waiting = []
            for k, value in enumerate(values):
                waiting.append(Signal(len(value), name=f"value_{stage}_{k}"))
                m.d.sync += waiting[-1].eq(value)
            racing, values, found = racing_now, waiting, following
        m.d.comb += self.o.eq(found)
        return m

    @staticmethod
    def _largest_digit(m, racing, digits, stage):
        """Largest of the digits, of one or two bits, of the elements in the race."""
        high = Cat(flag & d[-1] for flag, d in zip(racing, digits, strict=True)).any()
        if len(digits[0]) == 1:
            return high
        both = Cat(flag & d.all() for flag, d in zip(racing, digits, strict=True)).any()
        low = Cat(flag & d[0] for flag, d in zip(racing, digits, strict=True)).any()
        digit = Signal(2, name=f"largest_{stage}")
        m.d.comb += digit.eq(Cat(Mux(high, both, low), high))
        return digit

"""Requantisation: wide integers of one step size to narrow ones of another."""

from amaranth import Module, Shape, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..fixed import saturated, signed_width
from .offset import without_offset

__all__ = ["RequantiserPipeline"]


class RequantiserPipeline(wiring.Component):
    """Hardware of a :class:`~rtl.fixed.Requantiser`, ``o = requantiser(i - offset)``.

    Latency :attr:`latency` cycles, throughput one result per cycle; never stalls. Rounds half up
    and saturates. A power-of-two ratio takes no multiplier; the registers of any other one map into
    a DSP block.

    Parameters
    ----------
    requantiser : Requantiser
        Rule to compute.
    low, high : int
        Range of ``i - offset``.
    shape : ShapeLike
        Shape of ``i``.
    offset : int
        Constant to subtract from ``i``.

    Members
    -------
    i : In(shape)
        Argument plus ``offset``. Undefined beyond ``low + offset..high + offset``.
    o : Out(signed(requantiser.bits))
        Result.
    """

    def __init__(self, requantiser, low, high, shape, offset=0):
        self.requantiser = requantiser
        self.low, self.high = low, high
        self.offset = offset
        super().__init__({"i": In(Shape.cast(shape)), "o": Out(signed(requantiser.bits))})

    @staticmethod
    def stages(requantiser):
        """Latency of a rule, in cycles."""
        return 2 if requantiser.multiplier == 1 else 4

    @property
    def latency(self):
        """Latency in cycles."""
        return self.stages(self.requantiser)

    def elaborate(self, platform):
        m = Module()
        rule = self.requantiser
        # Range before the shift, and a width of which the shift leaves at least one bit.
        ends = [x * rule.multiplier + rule.half for x in (self.low, self.high)]
        width = max(signed_width(*ends), rule.shift + 1)
        scaled = Signal(signed(width))
        if rule.multiplier == 1:
            m.d.comb += scaled.eq(self.i + (rule.half - self.offset))
        else:
            x = Signal(signed(signed_width(self.low, self.high)), reset_less=True)
            product = Signal(signed(width), reset_less=True)
            total = Signal(signed(width), reset_less=True)
            m.d.sync += [x.eq(without_offset(m, self.i, self.offset, len(x))),
                         product.eq(x * rule.multiplier), total.eq(product + rule.half)]
            m.d.comb += scaled.eq(total)

        rounded = scaled[rule.shift:].as_signed()
        if rule.multiplier == 1:
            held = Signal(signed(len(rounded)), reset_less=True)
            m.d.sync += held.eq(rounded)
            rounded = held
        m.d.sync += self.o.eq(saturated(rounded, rule.bits))
        return m

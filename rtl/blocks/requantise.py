"""Requantisation: a wide integer in steps of one size to a narrow one in steps of another."""

from amaranth import Module, Shape, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..fixed import saturated, signed_width

__all__ = ["RequantiserPipeline"]


class RequantiserPipeline(wiring.Component):
    """Hardware of a :class:`~rtl.fixed.Requantiser`.

    Latency :attr:`latency` cycles, throughput one result per cycle; never stalls. Only a ratio that
    is no power of two takes a multiplier, whose registers suit a DSP block.

    Parameters
    ----------
    requantiser : Requantiser
        What to compute.
    low, high : int
        Range of the argument ``x``.
    shape : ShapeLike
        Shape of the port, which carries ``x + offset``.
    offset : int
        Constant to take off the port's value.

    Members
    -------
    i : In(shape)
    o : Out(signed(requantiser.bits))
    """

    def __init__(self, requantiser, low, high, shape, offset=0):
        self.requantiser = requantiser
        self.low, self.high = low, high
        self.offset = offset
        super().__init__({"i": In(Shape.cast(shape)), "o": Out(signed(requantiser.bits))})

    @staticmethod
    def stages(requantiser):
        """Latency, in cycles."""
        return 2 if requantiser.multiplier == 1 else 4

    @property
    def latency(self):
        """Latency, in cycles."""
        return self.stages(self.requantiser)

    def elaborate(self, platform):
        m = Module()
        rule = self.requantiser
        # The least and the largest number before the shift, and a width that is not shifted empty.
        ends = [x * rule.multiplier + rule.half for x in (self.low, self.high)]
        width = max(signed_width(*ends), rule.shift + 1)
        scaled = Signal(signed(width))
        if rule.multiplier == 1:
            m.d.comb += scaled.eq(self.i + (rule.half - self.offset))
        else:
            x = Signal(signed(signed_width(self.low, self.high)), reset_less=True)
            product = Signal(signed(width), reset_less=True)
            total = Signal(signed(width), reset_less=True)
            m.d.sync += [x.eq(self.i - self.offset), product.eq(x * rule.multiplier),
                         total.eq(product + rule.half)]
            m.d.comb += scaled.eq(total)

        rounded = scaled[rule.shift:].as_signed()
        if rule.multiplier == 1:
            held = Signal(signed(len(rounded)), reset_less=True)
            m.d.sync += held.eq(rounded)
            rounded = held
        m.d.sync += self.o.eq(saturated(rounded, rule.bits))
        return m

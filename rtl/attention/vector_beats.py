"""Vectors of the beats of a stream."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["VectorBeats"]


class VectorBeats(wiring.Component):
    """Vector of the beat at hand and of those before it.

    Latency 0; all but the last beat of a vector are held. A beat with ``last`` ends a vector, so
    that the next one begins anew, even if it was too short.

    Parameters
    ----------
    layout : VectorLayout
        Layout of a beat.
    count : int
        Beats of a vector.

    Members
    -------
    beat : In(layout)
        Beat at hand.
    transfer : In(1)
        It is taken.
    whole : Out(1)
        It is taken, and completes a vector.
    elements : Out(ArrayLayout(layout.element, count * layout.lanes))
        Elements of the vector; valid with ``whole``.
    """

    def __init__(self, layout, count):
        self._count = count
        super().__init__({
            "beat": In(layout), "transfer": In(1), "whole": Out(1),
            "elements": Out(data.ArrayLayout(layout.element, count * layout.lanes))})

    def elaborate(self, platform):
        m = Module()
        beat = self.beat.data.as_value()
        if self._count == 1:
            m.d.comb += [self.elements.eq(beat), self.whole.eq(self.transfer)]
            return m
        held = Signal((self._count - 1) * len(beat))
        number = Signal(range(self._count))
        shifted = Cat(held, beat)
        m.d.comb += [self.elements.eq(shifted),
                     self.whole.eq(self.transfer & (number == self._count - 1))]
        with m.If(self.transfer):
            m.d.sync += [held.eq(shifted[len(beat):]), number.eq(number + 1)]
            with m.If(self.whole | self.beat.last):
                m.d.sync += number.eq(0)
        return m

"""A value of each row of fixed length, between the two passes."""

from amaranth import Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RowValue"]


class RowValue(wiring.Component):
    """One value per row: held from when it is known until the row has been read.

    Latency from ``i`` to ``o``: 2 cycles, if the row is read by then. Throughput one value per row
    of a length that all rows share: a value waits while no more than one row is read.

    Parameters
    ----------
    shape : ShapeLike
        Shape of a value.

    Members
    -------
    i : In(shape)
        Value of a row.
    push : In(1)
        Pulses when ``i`` is known.
    pop : In(1)
        Pulses when the row's first beat is read.
    o : Out(shape)
        Value of the row that is read, from the cycle after ``pop`` to the next one.
    """

    def __init__(self, shape):
        self.shape = Shape.cast(shape)
        super().__init__({"i": In(self.shape), "push": In(1), "pop": In(1), "o": Out(self.shape)})

    def elaborate(self, platform):
        m = Module()
        # Without a reset, the registers can move into the operands of multipliers.
        head = Signal(self.shape, reset_less=True)
        held = Signal(self.shape, reset_less=True)
        with m.If(self.push):
            m.d.sync += head.eq(self.i)
        with m.If(self.pop):
            m.d.sync += held.eq(head)
        m.d.comb += self.o.eq(held)
        return m

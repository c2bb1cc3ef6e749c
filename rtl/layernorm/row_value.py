"""A value of each row, between the two passes."""

from amaranth import Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..stream.fifo import FifoStorage

__all__ = ["RowValue"]


class RowValue(wiring.Component):
    """One value per row: held from when it is known until the row has been read.

    Latency from ``i`` to ``o``: 2 cycles (1 with ``bypass``), if the row is read by then.

    Parameters
    ----------
    shape : ShapeLike
        Shape of a value.
    rows : int
        Values that may wait for their rows; one is a register, more are a queue.
    bypass : bool
        Whether a queue hands a value on in the cycle in which it comes.

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

    def __init__(self, shape, rows, *, bypass=False):
        self.shape = Shape.cast(shape)
        self.rows = rows
        self.bypass = bypass
        super().__init__({"i": In(self.shape), "push": In(1), "pop": In(1), "o": Out(self.shape)})

    def elaborate(self, platform):
        m = Module()
        # Without a reset, the registers can move into the operands of multipliers.
        head = Signal(self.shape, reset_less=True)
        held = Signal(self.shape, reset_less=True)
        if self.rows == 1:
            with m.If(self.push):
                m.d.sync += head.eq(self.i)
        else:
            depth = 1 << (self.rows - 1).bit_length()
            m.submodules.queue = queue = FifoStorage(self.shape.width, depth, bypass=self.bypass)
            m.d.comb += [queue.i.eq(self.i), queue.push.eq(self.push), queue.pop.eq(self.pop),
                         head.eq(queue.o)]
        with m.If(self.pop):
            m.d.sync += held.eq(head)
        m.d.comb += self.o.eq(held)
        return m

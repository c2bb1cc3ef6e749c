"""Parameters of rows from registers, in place of those that TUSER brings."""

from amaranth import Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RowParameters"]


class RowParameters(wiring.Component):
    """Chooses what the beats of a stream bring for their rows: values of registers, or TUSER's.

    Values count together, from ``apply`` on: rows whose first beat is taken in that cycle or later
    have all of them, rows before it none. Combinational from ``user`` to ``o``.

    Parameters
    ----------
    layout : StructLayout
        Parameters of a row.

    Members
    -------
    user : In(layout.size)
        Parameters on the bus.
    registers : In(1)
        Take the values of registers, not those on the bus.
    apply : In(1)
        Pulse: the values count from this cycle on.
    <parameter>_value : In(shape)
        Value of a register.
    o : Out(layout.size)
        Parameters for the unit.
    """

    def __init__(self, layout):
        self._names = [name for name, _ in layout]
        widths = {name: Shape.cast(field.shape).width for name, field in layout}
        super().__init__({
            "user": In(layout.size), "registers": In(1), "apply": In(1),
            **{f"{name}_value": In(width) for name, width in widths.items()},
            "o": Out(layout.size)})

    def elaborate(self, platform):
        m = Module()
        values = Cat(Value.cast(getattr(self, f"{name}_value")) for name in self._names)
        applied = Signal(len(values))
        with m.If(self.apply):
            m.d.sync += applied.eq(values)
        m.d.comb += self.o.eq(
            Mux(self.registers, Mux(self.apply, values, applied), self.user))
        return m

"""Causes of errors: sticky bits that say what was found."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Causes"]


class Causes(wiring.Component):
    """Sticky bits of what was found. A cause that is found while all are cleared stays.

    Parameters
    ----------
    names : iterable of str
        Names of the ``n`` causes, lowest bit first: ``config.causes``.

    Members
    -------
    <cause> : In(1)
        The names of the causes, in lower case: one is found. Pulses.
    clear : In(1)
        Clear all.
    causes : Out(n)
        Causes found since a reset or ``clear``, from a register.
    error : Out(1)
        There is one of them.
    """

    def __init__(self, names):
        self._names = [name.lower() for name in names]
        super().__init__({**{name: In(1) for name in self._names}, "clear": In(1),
                          "causes": Out(len(self._names)), "error": Out(1)})

    def elaborate(self, platform):
        m = Module()
        for place, name in enumerate(self._names):
            with m.If(getattr(self, name)):
                m.d.sync += self.causes[place].eq(1)
            with m.Elif(self.clear):
                m.d.sync += self.causes[place].eq(0)
        m.d.comb += self.error.eq(self.causes.any())
        return m

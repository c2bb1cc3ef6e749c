"""Right shift by a variable amount, rounded half up and saturated."""

from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..fixed import saturated

__all__ = ["RoundShift"]


class RoundShift(wiring.Component):
    """``o = sat(round(i / 2**shift))``, rounded half up.

    Latency :attr:`LATENCY` cycles, throughput one value per cycle; never stalls.

    Parameters
    ----------
    width : int
        Width of the operand, signed.
    shift_bits : int
        Width of the shift.
    bits : int
        Width of the result, signed.

    Members
    -------
    i : In(signed(width))
        Operand.
    shift : In(shift_bits)
        Amount.
    o : Out(signed(bits))
        Result.
    """

    LATENCY = 4

    def __init__(self, width, shift_bits, bits):
        self.width, self.shift_bits, self.bits = width, shift_bits, bits
        super().__init__({"i": In(signed(width)), "shift": In(shift_bits),
                          "o": Out(signed(bits))})

    def elaborate(self, platform):
        m = Module()
        # Beyond the width a smaller half is enough for a result of 0.
        half = Signal(self.width)
        with m.Switch(self.shift):
            for amount in range(1, 1 << self.shift_bits):
                with m.Case(amount):
                    m.d.comb += half.eq(1 << (min(amount, self.width) - 1))
        low = min(self.shift_bits, 3)
        total = Signal(signed(self.width + 1), reset_less=True)
        fine = Signal.like(total, reset_less=True, name="fine")
        coarse = Signal.like(total, reset_less=True, name="coarse")
        amount = Signal(self.shift_bits)
        rest = Signal(self.shift_bits - low)
        m.d.sync += [
            total.eq(self.i + half), amount.eq(self.shift),
            fine.eq(total >> amount[:low]), rest.eq(amount[low:]),
            self.o.eq(saturated(coarse, self.bits)),
        ]
        with m.Switch(rest):
            for steps in range(1 << len(rest)):
                with m.Case(steps):
                    m.d.sync += coarse.eq(fine >> min(steps << low, self.width))
        return m

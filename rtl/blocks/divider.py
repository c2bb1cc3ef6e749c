"""Non-restoring division of unsigned integers, one quotient bit per step."""

from amaranth import Cat, Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .pipeline import delays

__all__ = ["Divider", "SerialDivider"]


class Divider(wiring.Component):
    """Pipelined divider: ``o = floor(n * 2**quotient_bits / d)`` for ``0 <= n <= d``, ``d > 0``.

    Each step adds or subtracts the divisor by the sign of the remainder, one LUT per bit, and
    yields one quotient bit. Latency :attr:`latency` cycles, throughput one quotient per cycle;
    never stalls. Undefined for other operands.

    Parameters
    ----------
    width : int
        Width of the operands.
    quotient_bits : int
        Fraction bits of the quotient.
    steps : int
        Steps between two registers.

    Members
    -------
    n : In(width)
        Numerator, at most ``d``.
    d : In(width)
        Denominator, at least 1.
    o : Out(quotient_bits + 1)
        Quotient with ``quotient_bits`` fraction bits, truncated; 1.0 where ``n == d``.
    """

    def __init__(self, width, quotient_bits, *, steps=1):
        self.width = width
        self.quotient_bits = quotient_bits
        self.steps = steps
        super().__init__({"n": In(width), "d": In(width), "o": Out(quotient_bits + 1)})

    @staticmethod
    def stages(quotient_bits, steps=1):
        """Latency for a quotient of ``quotient_bits`` fraction bits, in cycles."""
        return -(-(quotient_bits + 1) // steps)

    @property
    def latency(self):
        """Latency in cycles."""
        return self.stages(self.quotient_bits, self.steps)

    def elaborate(self, platform):
        m = Module()
        # The first step subtracts from the numerator itself, the others from twice the remainder.
        doubled, subtract, divisor, quotient = self.n, None, self.d, None
        for step in range(self.quotient_bits + 1):
            last = step == self.quotient_bits
            remainder = Signal(signed(self.width + 1), name=f"remainder_{step}")
            if step == 0:
                value = doubled - divisor
            else:
                # An extra bit below the operands supplies the carry-in of a subtraction.
                flip = subtract.replicate(self.width)
                value = (Cat(subtract, doubled).as_signed()
                         + Cat(subtract, divisor ^ flip, subtract).as_signed()) >> 1
            if last or (step + 1) % self.steps == 0:
                m.d.sync += remainder.eq(value)
                divisor = delays(m, divisor, 1, f"divisor_{step}")[-1]
                if quotient is not None:
                    quotient = delays(m, quotient, 1, f"quotient_{step}")[-1]
            else:
                m.d.comb += remainder.eq(value)
            subtract = ~remainder[-1]
            quotient = subtract if quotient is None else Cat(subtract, quotient)
            doubled = Cat(Const(0, 1), remainder)[:self.width + 1]
        m.d.comb += self.o.eq(quotient)
        return m


class SerialDivider(wiring.Component):
    """Iterative divider: ``o = floor(n * 2**quotient_bits / d)`` for ``0 <= n <= d``, ``d > 0``.

    One step of :class:`Divider` per cycle on shared hardware. Latency :attr:`latency` cycles from
    ``start``, throughput one quotient per :attr:`latency` cycles. ``o`` holds the quotient until
    the next ``start``. A ``start`` during a division restarts it.

    Parameters
    ----------
    width : int
        Width of the operands.
    quotient_bits : int
        Fraction bits of the quotient.

    Members
    -------
    n : In(width)
        Numerator, at most ``d``; sampled with ``start``.
    d : In(width)
        Denominator, at least 1; sampled with ``start``.
    start : In(1)
        Begins a division.
    o : Out(quotient_bits + 1)
        Quotient with ``quotient_bits`` fraction bits, truncated.
    """

    def __init__(self, width, quotient_bits):
        self.width = width
        self.quotient_bits = quotient_bits
        super().__init__({"n": In(width), "d": In(width), "start": In(1),
                          "o": Out(quotient_bits + 1)})

    @property
    def latency(self):
        """Latency in cycles."""
        return self.quotient_bits + 1

    def elaborate(self, platform):
        m = Module()
        remainder = Signal(signed(self.width + 1))
        divisor = Signal(self.width)
        left = Signal(range(self.quotient_bits + 1))
        subtract = ~remainder[-1]
        doubled = Cat(Const(0, 1), remainder)[:self.width + 1]
        value = (Cat(subtract, doubled).as_signed()
                 + Cat(subtract, divisor ^ subtract.replicate(self.width), subtract).as_signed()
                 ) >> 1
        following = Signal(signed(self.width + 1))
        m.d.comb += following.eq(value)
        with m.If(self.start):
            m.d.comb += following.eq(self.n - self.d)
            m.d.sync += [divisor.eq(self.d), left.eq(self.quotient_bits)]
        with m.Elif(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.If(self.start | (left != 0)):
            m.d.sync += [remainder.eq(following), self.o.eq(Cat(~following[-1], self.o))]
        return m

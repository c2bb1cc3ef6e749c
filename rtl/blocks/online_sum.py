"""Sum of a row whose unit changes by powers of two as the row goes by."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .barrel_shift import shift_right

__all__ = ["OnlineSum"]


class OnlineSum(wiring.Component):
    """Sum of terms relative to a reference that rises within the row.

    With one partial sum ``S = (S >> rise) + i`` for each beat, in one cycle: shift and addition one
    behind the other. With two, that loop has a cycle for each::

        S[t] = (S[t - 2] >> rise[t - 1] + rise[t]) + i[t],    o = (S[n - 1] >> rise[n]) + S[n]

    for a row of the beats ``0..n``; a sum of a beat before the first is 0. Shifts drop what falls
    off. One shifter does: a row's last one is due when the next row's first beat needs none.

    Throughput one beat per cycle. From ``i`` to ``o`` as many cycles as there are partial sums.

    Parameters
    ----------
    width : int
        Width of a term.
    sum_bits : int
        Width of the sum, of which it is known that it can not overflow.
    rise_bits : int
        Width of a rise.
    partial : int
        Partial sums, 1 or 2.

    Members
    -------
    valid, first : In(1)
        There is a beat; it is the first of its row.
    rise : In(rise_bits)
        Shift that is due with the beat. That of a first beat does not matter.
    i_valid : In(1)
        ``valid``, :meth:`lead` cycles later.
    i_first : In(1)
        ``first``, :meth:`lead` cycles later.
    i : In(width)
        The beat's term, :meth:`lead` cycles later.
    o : Out(sum_bits)
        Sum of the row so far (of a whole row only, with two partial sums).
    """

    def __init__(self, width, sum_bits, rise_bits, *, partial=1):
        self.sum_bits = sum_bits
        self.partial = partial
        super().__init__({
            "valid": In(1), "first": In(1), "rise": In(rise_bits),
            "i_valid": In(1), "i_first": In(1), "i": In(width), "o": Out(sum_bits),
        })

    @staticmethod
    def lead(partial):
        """Cycles that a rise has to be there before its term."""
        return partial

    def elaborate(self, platform):
        m = Module()
        if self.partial == 1:
            amount, clear = self._controls(m, self.rise, self.first)
            shifted = Mux(clear, 0, shift_right(m, self.o, amount))
            with m.If(self.i_valid):
                m.d.sync += self.o.eq(self.i + shifted)
            return m

        # A slot in which no sum goes on finishes the row before: its last but one sum.
        rise, begun = Signal.like(self.rise, name="rise_before"), Signal()
        with m.If(self.valid):
            m.d.sync += [rise.eq(self.rise), begun.eq(self.first)]
        going = self.valid & ~self.first
        amount, clear = self._controls(m, rise + Mux(going, self.rise, 0), begun)
        latest, before = Signal(self.sum_bits), Signal(self.sum_bits)
        # What was added a cycle ago is the last sum but one by the time that its shift is over.
        source = Mux(self.i_valid, latest, before)
        shifted = Signal(self.sum_bits)
        m.d.sync += shifted.eq(Mux(clear, 0, shift_right(m, source, amount)))
        with m.If(self.i_valid):
            m.d.sync += [latest.eq(self.i + Mux(self.i_first, 0, shifted)), before.eq(latest)]
        m.d.sync += self.o.eq(latest + shifted)
        return m

    def _controls(self, m, rise, clear):
        """Registered amount of a shift, and whether nothing is left after it."""
        bits = min((self.sum_bits - 1).bit_length(), len(rise))
        amount, cleared = Signal(bits, name="amount"), Signal(name="clear")
        m.d.sync += [amount.eq(rise), cleared.eq(clear | rise[bits:].any())]
        return amount, cleared

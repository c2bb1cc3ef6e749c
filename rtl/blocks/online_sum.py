"""Running sum relative to a reference that rises by powers of two."""

from functools import reduce
from operator import or_

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .choose import choose

__all__ = ["OnlineSum"]


class OnlineSum(wiring.Component):
    """Sum of terms relative to a reference that rises within the row.

    One partial sum computes, in a single-cycle loop of shift and addition::

        S[t] = (S[t - 1] >> rise[t]) + i[t],    o = S[n]

    for a row of the beats ``0..n``, with ``S`` 0 before beat 0. Two partial sums give shift and
    addition a cycle each::

        S[t] = (S[t - 2] >> rise[t - 1] + rise[t]) + i[t],    o = (S[n - 1] >> rise[n]) + S[n]

    Shifts truncate. Two partial sums share one shifter: the final shift of a row falls into the
    slot of the next row's first beat, which needs none.

    Latency ``partial`` cycles from ``i`` to ``o``, throughput one beat per cycle; never stalls.

    Parameters
    ----------
    width : int
        Width of a term.
    sum_bits : int
        Width of the sum; the caller guarantees that it does not overflow.
    rise_bits : int
        Width of a rise.
    partial : int
        Partial sums, 1 or 2.

    Members
    -------
    valid : In(1)
        ``rise`` and ``first`` hold a beat.
    first : In(1)
        The beat is the first of its row.
    rise : In(rise_bits)
        Rise of the reference before the beat; ignored with ``first``.
    i_valid : In(1)
        ``valid``, delayed by :meth:`lead` cycles.
    i_first : In(1)
        ``first``, delayed by :meth:`lead` cycles.
    i : In(width)
        Term of the beat, :meth:`lead` cycles after its ``rise``.
    o : Out(sum_bits)
        Sum of the row so far; with two partial sums, valid after its last beat only.
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
        """Cycles from a beat's ``rise`` to its term."""
        return partial

    def elaborate(self, platform):
        m = Module()
        if self.partial == 1:
            shifted = self._shifted(m, self.o, self.rise, self.first)
            with m.If(self.i_valid):
                m.d.sync += self.o.eq(self.i + shifted)
            return m

        # A slot that continues no sum holds the final shift of the row before.
        rise = Signal.like(self.rise, name="rise_before")
        begun = Signal()
        with m.If(self.valid):
            m.d.sync += [rise.eq(self.rise), begun.eq(self.first)]
        going = self.valid & ~self.first
        latest = Signal(self.sum_bits)
        before = Signal(self.sum_bits)
        # A term in this cycle turns `latest` into `before` by the time that the shift is used.
        source = Mux(self.i_valid, latest, before)
        shifted = Signal(self.sum_bits)
        m.d.sync += shifted.eq(
            self._shifted(m, source, rise + Mux(going, self.rise, 0), begun))
        with m.If(self.i_valid):
            m.d.sync += [latest.eq(self.i + Mux(self.i_first, 0, shifted)), before.eq(latest)]
        m.d.sync += self.o.eq(latest + shifted)
        return m

    def _shifted(self, m, value, rise, clear):
        """``value >> rise``, or 0 with ``clear``; ``value`` comes a cycle after the other two.

        Groups of four places are one-hot by then: an AND and an OR of them are less deep than
        multiplexers, and a clear is no group.
        """
        groups = -(-self.sum_bits // 4)
        fine, group = Signal(2, name="fine"), Signal(groups, name="group")
        m.d.sync += [fine.eq(rise), group.eq(Cat(~clear & (rise[2:] == k) for k in range(groups)))]
        near = choose([value >> places for places in range(4)], fine)
        return reduce(or_, ((near >> 4 * k) & chosen.replicate(self.sum_bits)
                            for k, chosen in enumerate(group)))

"""Array of multipliers that makes a dot product, or accumulates each product on its own."""

from amaranth import Mux, Signal, signed
from amaranth.lib.wiring import In, Out

from ...blocks.pipeline import delays
from ...blocks.products import CHAIN, DotProduct

__all__ = ["DualArray"]


class DualArray(DotProduct):
    """As :class:`~rtl.attention.products.DotProduct`; with ``accumulate`` links are running sums.

    The last adder of a DSP block adds what the neighbour hands on, or what it holds itself. The
    mode may change every cycle; a change loses the running sums.

    Parameters
    ----------
    a_shape, b_shape, count
        As of :class:`~rtl.attention.products.DotProduct`.
    low, high : int
        Range of a running sum.

    Members
    -------
    accumulate : In(1)
        The products of this cycle's ``a`` and ``b`` are added to the running sums.
    first : In(1)
        With ``accumulate``: the sums start with these products.
    sums : Out(signed(max(partial_bits, signed_width(low, high)))).array(count)
        Running sums: sum j holds the product ``stages_of_sum(count, j)`` cycles after it came.
    """

    def __init__(self, a_shape, b_shape, count, low, high):
        self._sum_range = low, high
        super().__init__(a_shape, b_shape, count)

    def _ports(self):
        width = max(self.partial_bits, self._sum_width())
        return {**super()._ports(), "accumulate": In(1), "first": In(1),
                "sums": Out(signed(width)).array(self.count)}

    def _sum_width(self):
        low, high = self._sum_range
        return max(high.bit_length(), (-low - 1).bit_length()) + 1

    @staticmethod
    def stages_of_sum(count, j):
        """Latency of the running sum ``j`` of ``count``, in cycles."""
        chain = min(count, CHAIN)
        group, link = divmod(j, chain)
        members = min(count - group * chain, chain)
        return 3 + chain - members + link

    def _controls(self, m):
        # For each number of cycles, what was said that many cycles ago.
        return (delays(m, self.accumulate, self.chain + 1, "accumulate"),
                delays(m, self.first, self.chain + 1, "first"))

    def _link(self, m, product, before, k, delay, controls, name):
        modes, firsts = controls
        index = int(name.rpartition("_")[2]) * self.chain + k
        total = Signal(self.sums[index].shape(), name=f"{name}_{k}_p", reset_less=True)
        addend = Mux(modes[delay + 2], Mux(firsts[delay + 2], 0, total),
                     0 if before is None else before)
        m.d.sync += total.eq(product + addend)
        m.d.comb += self.sums[index].eq(total)
        return total

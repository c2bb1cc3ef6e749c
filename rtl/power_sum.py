"""Sum of powers of two that are given by their exponents."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .adder_tree import AdderTree


__all__ = ["PowerSum"]


class PowerSum(wiring.Component):
    """Sum of ``2**f >> k`` over the live lanes.

    Two powers of two need no carry chain: two different ones are the OR of two one-hot words, and
    two equal ones are a single power, one higher. The first level merges the lanes in pairs that
    way; an :class:`AdderTree` adds the pairs.

    Latency :attr:`latency` cycles (one for a single lane), throughput one sum per cycle.

    Parameters
    ----------
    code_bits : int
        Width of a code ``k``.
    fraction_bits : int
        Fraction bits ``f`` of the sum; codes above it add nothing.
    lanes : int
        Codes per beat.

    Members
    -------
    code : In(code_bits).array(lanes)
    live : In(lanes)
        Bit k clear: the code of lane k adds nothing.
    o : Out(width)
    """

    def __init__(self, code_bits, fraction_bits, lanes):
        self.code_bits = code_bits
        self.fraction_bits = fraction_bits
        self.lanes = lanes
        super().__init__({
            "code": In(code_bits).array(lanes),
            "live": In(lanes),
            "o": Out((lanes << fraction_bits).bit_length()),
        })

    @staticmethod
    def stages(lanes):
        """Latency of a sum over ``lanes`` lanes, in cycles."""
        return 1 + AdderTree.stages(-(-lanes // 2))

    @property
    def latency(self):
        """Latency in cycles."""
        return self.stages(self.lanes)

    def elaborate(self, platform):
        m = Module()
        pairs = -(-self.lanes // 2)
        merged = min(self.lanes, 2)
        m.submodules.tree = tree = AdderTree(
            self.fraction_bits + merged, pairs, largest=merged << self.fraction_bits)
        for p in range(pairs):
            m.d.sync += tree.i[p].eq(self._pair(m, p))
        m.d.comb += self.o.eq(tree.o)
        return m

    def _pair(self, m, p):
        """Sum of the lanes 2p and 2p + 1, combinational."""
        f = self.fraction_bits
        a, live_a = self.code[2 * p], self.live[2 * p]
        if 2 * p + 1 == self.lanes:
            return Cat(live_a & (a == f - j) for j in range(f + 1))
        b, live_b = self.code[2 * p + 1], self.live[2 * p + 1]
        equal = Signal(1, name=f"equal_{p}")
        m.d.comb += equal.eq((a == b) & live_b)
        # Two equal powers are one of twice the size: the first lane takes both.
        low_a = Signal(2, name=f"low_a_{p}")
        high_a = self._groups(m, a, live_a, f"group_a_{p}", equal, low_a)
        low_b = Signal(2, name=f"low_b_{p}")
        high_b = self._groups(m, b, live_b & ~equal, f"group_b_{p}", None, low_b)
        bits = []
        for j in range(f + 2):
            k = f - j
            bits.append(self._hit(high_a, low_a, k) | self._hit(high_b, low_b, k))
        return Cat(bits)

    def _groups(self, m, code, live, name, double, low):
        """Split a code in its two low bits and one flag for each value of the rest.

        Bit ``j`` of a one-hot word then takes three signals a lane, six a pair: one LUT6. The flags
        count from -1, which stands for a doubled code 0.
        """
        reduced = code if double is None else code - double
        m.d.comb += low.eq(reduced[:2])
        count = 1 << max(self.code_bits - 2, 0)
        groups = {}
        for value in range(-1 if double is not None else 0, count):
            flag = Signal(1, name=f"{name}_{value}".replace("-", "m"))
            m.d.comb += flag.eq(live & (reduced >> 2 == value))
            groups[value] = flag
        return groups

    @staticmethod
    def _hit(groups, low, k):
        """Whether a split code equals the constant ``k``."""
        return groups[k >> 2] & (low == (k & 3)) if k >> 2 in groups else 0

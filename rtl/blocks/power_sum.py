"""Sum of powers of two, given by their exponents."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .adder_tree import AdderTree
from .lookup import lookup

__all__ = ["PowerSum"]


class PowerSum(wiring.Component):
    """Sum ``o`` of ``2**fraction_bits >> code[k]`` over the live lanes ``k``.

    Two powers of two add without a carry chain: different ones as the OR of two one-hot words,
    equal ones as a single power, one higher. Pairs of lanes merge that way; an :class:`AdderTree`
    adds the pairs.

    Latency :attr:`latency` cycles, throughput one sum per cycle; never stalls. Exact: ``o`` holds
    ``lanes * 2**fraction_bits``.

    Parameters
    ----------
    code_bits : int
        Width of a code.
    fraction_bits : int
        Fraction bits of the sum; codes above it add nothing.
    lanes : int
        Codes per beat.

    Members
    -------
    code : In(code_bits).array(lanes)
        Negated exponents.
    live : In(lanes)
        Bit k clear: the code of lane k adds nothing.
    o : Out((lanes << fraction_bits).bit_length())
        Sum with ``fraction_bits`` fraction bits.
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
        return 2 + AdderTree.stages(-(-lanes // 2))

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
            lanes = range(2 * p, min(2 * p + 2, self.lanes))
            equal = Signal(name=f"equal_{p}")
            if len(lanes) == 2:
                a, b = lanes
                m.d.comb += equal.eq((self.code[a] == self.code[b])
                                     & self.live[a] & self.live[b])
            # The first lane takes two equal powers, as one of twice the size.
            split = [self._split(m, self.code[k], self.live[k], equal, i, f"lane_{k}")
                     for i, k in enumerate(lanes)]
            word = Signal(self.fraction_bits + merged, name=f"pair_{p}")
            m.d.sync += word.eq(Cat(
                Cat(self._hit(flags, low, self.fraction_bits - j) for flags, low in split).any()
                for j in range(len(word))))
            m.d.comb += tree.i[p].eq(word)
        m.d.comb += self.o.eq(tree.o)
        return m

    def _split(self, m, code, live, equal, place, name):
        """Split a code into its two low bits and a one-hot word of its high bits, registered.

        A bit of the pair's word then depends on three signals a lane, six a pair: one LUT6. The
        first of two equal codes (``place`` 0) is decremented, so its flags start at -1; the second
        one adds nothing.
        """
        count = max(1 << self.code_bits >> 2, 1)
        flags = Signal(count + 1, name=f"{name}_flags")
        low = Signal(2, name=f"{name}_low")
        words, lows = [], []
        for index in range(4 << self.code_bits):
            value, alive, double = (index & ((1 << self.code_bits) - 1),
                                    index >> self.code_bits & 1, index >> self.code_bits >> 1)
            if value > self.fraction_bits or double and place:
                alive = 0
            elif double:
                value -= 1
            words.append(alive << ((value >> 2) + 1))
            lows.append(value & 3)
        index = Cat(code, live, equal)
        m.d.sync += [flags.eq(lookup(m, index, words, name=f"{name}_flags_word")),
                     low.eq(lookup(m, index, lows, name=f"{name}_low_word"))]
        return flags, low

    @staticmethod
    def _hit(flags, low, k):
        """Whether a split code equals the constant ``k``, which may be -1."""
        group = (k >> 2) + 1
        return flags[group] & (low == (k & 3)) if group < len(flags) else Const(0, 1)

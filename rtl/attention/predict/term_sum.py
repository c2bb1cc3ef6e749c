"""Sum of the terms of two vectors of codes, with the terms inside the carry chains of the sum."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.adder_tree import AdderTree
from ...blocks.pipeline import delays

__all__ = ["TermSum"]

# Terms of a chain. All but the first take no LUT beside those of their addition.
CHAIN = 4


class TermSum(wiring.Component):
    """``o = sum_j (bias + term(a[j], b[j])) + constant``: terms with signs, of tabled magnitudes.

    A code is a sign above a magnitude of two bits. The term of two codes is the word of their
    magnitudes, and its one's complement where the signs differ, one less than its negative, unless
    it is 0. ``bias = 2**word_bits`` makes it non-negative.

    A bit of a term is a function of five bits (two magnitudes and whether the signs differ), so
    that it fits the LUT that adds it: chains of four terms, then a tree. Three additions of a chain
    and the first of the tree have a register between two and two. Latency :attr:`latency` cycles,
    throughput one sum per cycle; never stalls.

    Parameters
    ----------
    words : list of list of int
        Word of two magnitudes, ``words[a][b]``.
    count : int
        Number of terms.

    Members
    -------
    a : In(ArrayLayout(3, count))
        Codes.
    b : In(ArrayLayout(3, count))
        Codes.
    o : Out((largest * chains).bit_length())
        Sum, unsigned; :attr:`constant` more than that of the terms.
    """

    def __init__(self, words, count):
        self.words, self.count = words, count
        self.word_bits = self.bits_of(words)
        self.chains = -(-count // CHAIN)
        super().__init__({"a": In(data.ArrayLayout(3, count)), "b": In(data.ArrayLayout(3, count)),
                          "o": Out(self.width(words, count))})

    @staticmethod
    def bits_of(words):
        """Width of a word."""
        return max(max(row) for row in words).bit_length()

    @classmethod
    def width(cls, words, count):
        """Width of the sum."""
        return (cls._largest(words, count) * -(-count // CHAIN)).bit_length()

    @classmethod
    def _largest(cls, words, count):
        """Bound of what a chain adds up to."""
        return min(CHAIN, count) * (2 << cls.bits_of(words)) - 1

    @property
    def constant(self):
        """What the sum has beyond that of the terms: 1 for each term but the first of a chain."""
        return self.count - self.chains

    @staticmethod
    def stages(count):
        """Latency of a sum of ``count`` terms, in cycles."""
        chains = -(-count // CHAIN)
        return 2 + AdderTree.stages(-(-chains // 2))

    @property
    def latency(self):
        """Latency, in cycles."""
        return self.stages(self.count)

    def elaborate(self, platform):
        m = Module()
        partials = [self._chain(m, start) for start in range(0, self.count, CHAIN)]
        pairs, bound = [], self._largest(self.words, self.count)
        for k in range(0, len(partials), 2):
            pair = Signal((2 * bound).bit_length(), name=f"pair_{k}")
            m.d.sync += pair.eq(sum(partials[k:k + 2]))
            pairs.append(pair)
        m.submodules.tree = tree = AdderTree(len(pairs[0]), len(pairs), largest=2 * bound)
        m.d.comb += [operand.eq(pair) for operand, pair in zip(tree.i, pairs, strict=True)]
        m.d.comb += self.o.eq(tree.o)
        return m

    def _chain(self, m, start):
        """Sum of up to four terms: the first three a cycle after their codes, all in the next."""
        total = None
        for j in range(start, min(start + CHAIN, self.count)):
            number = j - start
            a, b = self.a[j], self.b[j]
            if number == CHAIN - 1:
                a, b = (delays(m, code, 1, f"code_{name}_{j}")[-1]
                        for name, code in (("a", a), ("b", b)))
            term = self._term(m, a, b, j)
            if number:
                width = ((number + 1) * (2 << self.word_bits) - 1).bit_length()
                added = Signal(width, name=f"sum_{j}")
                m.d.comb += added.eq(_added(total, term, width))
                term = added
            total = term
            if number == CHAIN - 2 or j == self.count - 1 and number < CHAIN - 1:
                total = delays(m, total, 1, f"partial_{start}")[-1]
        return total

    def _term(self, m, a, b, j):
        """Term of two codes, plus the bias."""
        differ, negative = Signal(name=f"differ_{j}"), Signal(name=f"negative_{j}")
        zero = Cat((a[:2] == x) & (b[:2] == y) for x, row in enumerate(self.words)
                   for y, word in enumerate(row) if not word).any()
        m.d.comb += [differ.eq(a[2] ^ b[2]), negative.eq(differ & ~zero)]
        bits = []
        for place in range(self.word_bits):
            hits = Cat((a[:2] == x) & (b[:2] == y) for x, row in enumerate(self.words)
                       for y, word in enumerate(row) if word >> place & 1)
            bits.append(hits.any() ^ negative)
        return Cat(*bits, ~negative)


def _added(total, term, width):
    """``total + term + 1``, in so many bits.

    As the difference of the total and the term's complement: Yosys orders the operands of a sum as
    it likes, and only one of the two can be computed in the LUTs of the carry chain. The bit below
    keeps several sums from being merged (:mod:`rtl.blocks.adder_tree`).
    """
    complement = Cat(~term, Const(-1, width - len(term)))
    return (Cat(Const(1, 1), total) - Cat(Const(0, 1), complement))[1:1 + width]

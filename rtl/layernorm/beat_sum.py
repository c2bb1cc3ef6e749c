"""Sum of the elements of a beat."""

from amaranth import Cat, Const, Module, Shape, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..blocks.pipeline import delays

__all__ = ["BeatSum", "add"]

# Operands of a chain. A longer one would save few LUTs, and take longer.
CHAIN = 4


class BeatSum(wiring.Component):
    """Sum of ``count`` integers, signed or not, one addition a stage.

    With ``chained``, groups of operands are added one after the other, and only the groups by a
    tree. An operand that is a function of few signals is then computed within the carry chain that
    adds it, at no cost, since the other operand is a sum already. In a tree, half of the operands
    must be registered first. Operand ``k`` of a chain is taken :meth:`delay` cycles late.

    Latency :meth:`stages` cycles, throughput one sum per cycle. The sum can not overflow.

    Parameters
    ----------
    low, high : int
        Range of an operand.
    count : int
        Number of operands.
    chained : bool
        Chains, or a tree only.

    Members
    -------
    i : In(range(low, high + 1)).array(count)
        Operands; with ``chained``, each at its own time.
    o : Out(range(low * count, high * count + 1))
        Sum.
    """

    def __init__(self, low, high, count, *, chained=False):
        self.low = low
        self.high = high
        self.count = count
        self.chained = chained
        super().__init__({
            "i": In(self._shape(1)).array(count),
            "o": Out(self._shape(count)),
        })

    def _shape(self, count):
        return Shape.cast(range(self.low * count, self.high * count + 1))

    @staticmethod
    def delay(k, chained):
        """Cycles by which operand ``k`` is taken later than the first."""
        return max(k % CHAIN - 1, 0) if chained else 0

    @staticmethod
    def stages(count, chained):
        """Latency of a sum of ``count`` operands, in cycles."""
        tree = count
        cycles = 0
        if chained:
            tree = -(-count // CHAIN)
            cycles = min(count, CHAIN) - 1
        return cycles + (tree - 1).bit_length()

    def elaborate(self, platform):
        m = Module()
        terms = [(self.i[k], 1) for k in range(self.count)]
        if self.chained:
            longest = self.stages(min(self.count, CHAIN), True)
            terms = [self._chain(m, terms[start:start + CHAIN], longest, start)
                     for start in range(0, self.count, CHAIN)]
        levels = (len(terms) - 1).bit_length()
        for level in range(levels):
            terms = [self._add(m, terms[k:k + 2], f"sum_{level}_{k // 2}")
                     for k in range(0, len(terms), 2)]
        m.d.comb += self.o.eq(terms[0][0])
        return m

    def _chain(self, m, terms, longest, start):
        """Sum of a group, ``longest`` cycles after its first operand."""
        total, *others = terms
        for k, term in enumerate(others, 1):
            total = self._add(m, [total, term], f"chain_{start + k}")
        wait = longest - self.stages(len(terms), True)
        return delays(m, total[0], wait, f"chain_{start}_late")[-1], total[1]

    def _add(self, m, terms, name):
        """Sum, registered, of one or two terms, each a value and the number of operands in it."""
        count = sum(n for _, n in terms)
        total = Signal(self._shape(count), name=name)
        value = terms[0][0]
        if len(terms) == 2:
            value = add(m, value, terms[1][0], total.shape(), name)
        m.d.sync += total.eq(value)
        return total, count


def add(m, first, second, shape, name):
    """``first + second`` in a carry chain of its own, which computes ``second`` in passing.

    It is a difference, for the sake of Yosys: of a sum it would swap the operands, and the one that
    it takes for the first must be there before the carry chain. A bit below, which always borrows,
    makes the inverted operand the negated one, and hides a sum from the next one: Yosys would take
    a sum of sums apart for a carry-save tree of twice the LUTs.
    """
    operands = [Signal(shape, name=f"{name}_{part}") for part in ("to", "by")]
    m.d.comb += [operands[0].eq(first), operands[1].eq(second)]
    return (Cat(Const(0, 1), operands[0]) - Cat(Const(1, 1), ~operands[1]))[1:]

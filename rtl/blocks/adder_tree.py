"""Sum of several numbers, two additions a stage."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["LEVELS_PER_STAGE", "AdderTree"]

# Additions between two registers. The second carry chain starts while the first one still runs, so
# that two cost little more time than one.
LEVELS_PER_STAGE = 2


class AdderTree(wiring.Component):
    """Sum of ``count`` unsigned numbers.

    A binary tree of carry chains, with registers after every few levels and at the end. Latency
    :attr:`latency` cycles, throughput one sum per cycle. The sum can not overflow.

    Parameters
    ----------
    width : int
        Width of an operand.
    count : int
        Number of operands.
    largest : int or None
        Largest value of an operand, where it is less than its width allows.
    levels : int
        Additions between two registers.

    Members
    -------
    i : In(width).array(count)
    o : Out(sum_width)
    """

    def __init__(self, width, count, *, largest=None, levels=LEVELS_PER_STAGE):
        self.width = width
        self.levels = levels
        self.count = count
        self.largest = (1 << width) - 1 if largest is None else largest
        super().__init__({
            "i": In(width).array(count),
            "o": Out((self.largest * count).bit_length()),
        })

    @staticmethod
    def stages(count, levels=LEVELS_PER_STAGE):
        """Latency of a sum of ``count`` operands, in cycles."""
        return -(-(count - 1).bit_length() // levels)

    @property
    def latency(self):
        """Latency in cycles."""
        return self.stages(self.count, self.levels)

    def elaborate(self, platform):
        m = Module()
        terms = [(self.i[k], self.largest) for k in range(self.count)]
        levels = (self.count - 1).bit_length()
        for level in range(levels):
            registered = (level + 1) % self.levels == 0 or level + 1 == levels
            domain = m.d.sync if registered else m.d.comb
            following = []
            for start in range(0, len(terms), 2):
                pair = terms[start:start + 2]
                largest = sum(bound for _, bound in pair)
                partial = Signal(largest.bit_length(), name=f"sum_{level}_{start // 2}")
                domain += partial.eq(_sum([value for value, _ in pair]))
                following.append((partial, largest))
            terms = following
        m.d.comb += self.o.eq(terms[0][0])
        return m


def _sum(values):
    """Sum of one or two values that synthesis keeps as a carry chain of its own.

    Yosys would take a sum of sums apart for a carry-save tree, which costs twice the LUTs here. A
    bit below the operands, which never carries, hides the one sum from the other.
    """
    if len(values) == 1:
        return values[0]
    low = Cat(Const(1, 1), values[0]), Cat(Const(0, 1), values[1])
    return (low[0] + low[1])[1:]

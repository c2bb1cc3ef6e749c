"""Sum of several numbers, two additions a stage."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["LEVELS_PER_STAGE", "AdderTree"]

# Additions between two registers. The second carry chain starts while the first one still ripples,
# so two in a row take little longer than one.
LEVELS_PER_STAGE = 2


class AdderTree(wiring.Component):
    """Pipelined sum ``o = i[0] + ... + i[count - 1]`` of unsigned numbers.

    A binary tree of carry chains, registered every ``levels`` levels and at the end. Latency
    :attr:`latency` cycles, throughput one sum per cycle; never stalls. Exact: ``o`` is as wide as
    ``largest * count``.

    Parameters
    ----------
    width : int
        Width of an operand.
    count : int
        Number of operands.
    largest : int or None
        Largest value of an operand; ``None``: ``2**width - 1``.
    levels : int
        Additions between two registers.

    Members
    -------
    i : In(width).array(count)
        Operands, each of at most ``largest``.
    o : Out((largest * count).bit_length())
        Their sum.
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

    Yosys merges a sum of sums into a carry-save tree (``alumacc``), which costs twice the LUTs
    here. An extra bit below the operands, which never carries, prevents that.
    """
    if len(values) == 1:
        return values[0]
    low = Cat(Const(1, 1), values[0]), Cat(Const(0, 1), values[1])
    return (low[0] + low[1])[1:]

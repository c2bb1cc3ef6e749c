"""Sum of several numbers, one addition a stage."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


__all__ = ["AdderTree"]


class AdderTree(wiring.Component):
    """Sum of ``count`` unsigned numbers.

    A binary tree with a register after every addition, so that each is one carry chain. Latency
    :attr:`latency` cycles, throughput one sum per cycle. The sum can not overflow.

    Parameters
    ----------
    width : int
        Width of an operand.
    count : int
        Number of operands.
    largest : int or None
        Largest value of an operand, where it is less than its width allows.

    Members
    -------
    i : In(width).array(count)
    o : Out(sum_width)
    """

    def __init__(self, width, count, *, largest=None):
        self.width = width
        self.count = count
        self.largest = (1 << width) - 1 if largest is None else largest
        super().__init__({
            "i": In(width).array(count),
            "o": Out((self.largest * count).bit_length()),
        })

    @staticmethod
    def stages(count):
        """Latency of a sum of ``count`` operands, in cycles."""
        return (count - 1).bit_length()

    @property
    def latency(self):
        """Latency in cycles."""
        return self.stages(self.count)

    def elaborate(self, platform):
        m = Module()
        terms = [(self.i[k], self.largest) for k in range(self.count)]
        level = 0
        while len(terms) > 1:
            following = []
            for start in range(0, len(terms), 2):
                pair = terms[start:start + 2]
                largest = sum(bound for _, bound in pair)
                partial = Signal(largest.bit_length(), name=f"sum_{level}_{start // 2}")
                m.d.sync += partial.eq(sum(value for value, _ in pair))
                following.append((partial, largest))
            terms = following
            level += 1
        m.d.comb += self.o.eq(terms[0][0])
        return m

"""Sum of numbers whose signs come apart from their magnitudes."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.adder_tree import LEVELS_PER_STAGE

__all__ = ["SignedSum"]


class SignedSum(wiring.Component):
    """``o = sum_j (largest + (-1)**negative[j] size[j])``, exact and unsigned.

    No operand of the tree is ever negated: a partial sum has the sign of its first number, so that
    two of them are added where their signs agree and subtracted where they do not, and the last
    addition applies the sign of number 0. The exclusive-or of a sign with one operand fits the LUT
    of the carry chain. Registered every two additions; latency :attr:`latency` cycles, throughput
    one sum per cycle; never stalls.

    Parameters
    ----------
    width : int
        Width of a magnitude.
    count : int
        Number of magnitudes.
    largest : int
        Largest magnitude.

    Members
    -------
    size : In(ArrayLayout(width, count))
        Magnitudes, each of at most ``largest``.
    negative : In(count)
        Bit j: number j is negative.
    o : Out((2 * largest * count).bit_length())
        Sum.
    """

    def __init__(self, width, count, largest):
        self.width, self.count, self.largest = width, count, largest
        super().__init__({"size": In(data.ArrayLayout(width, count)), "negative": In(count),
                          "o": Out((2 * largest * count).bit_length())})

    @staticmethod
    def stages(count):
        """Latency of a sum of ``count`` numbers, in cycles."""
        # The sign of number 0 takes an addition as well.
        return -(-((count - 1).bit_length() + 1) // LEVELS_PER_STAGE)

    @property
    def latency(self):
        """Latency, in cycles."""
        return self.stages(self.count)

    def elaborate(self, platform):
        m = Module()
        values, signs = list(self.size), list(self.negative)
        levels = (self.count - 1).bit_length()
        for level in range(levels):
            # Partial sums are of either sign, and one bit wider at each level.
            width = ((self.largest << level + 1) - 1).bit_length() + 2
            registered = (level + 1) % LEVELS_PER_STAGE == 0
            domain = m.d.sync if registered else m.d.comb
            following = []
            for k in range(0, len(values) - 1, 2):
                total = Signal(width, name=f"sum_{level}_{k // 2}")
                domain += total.eq(_signed_sum(_extended(values[k], width, level),
                                               _extended(values[k + 1], width, level),
                                               ~(signs[k] ^ signs[k + 1])))
                following.append(total)
            signs = signs[::2]
            if len(values) % 2:
                rest = Signal(width, name=f"sum_{level}_{len(following)}")
                domain += rest.eq(_extended(values[-1], width, level))
                following.append(rest)
            values = following
            if registered:
                signs = _registered(m, signs, f"negative_{level}")
        # The constant that makes the sum unsigned comes with the sign.
        width = len(self.o)
        last = _extended(values[0], width, levels)
        constant = Const(self.largest * self.count, width)
        total = Signal(width, name="total")
        m.d.sync += total.eq(_signed_sum(constant, last, ~signs[0]))
        m.d.comb += self.o.eq(total)
        return m


def _extended(value, width, level):
    """A partial sum in ``width`` bits: magnitudes are unsigned, sums of them signed."""
    fill = value[-1] if level else Const(0, 1)
    return Cat(value, fill.replicate(max(width - len(value), 0)))[:width]


def _signed_sum(total, value, agree):
    """``total + value`` where the signs ``agree``, ``total - value`` where they do not.

    As a difference in either case: Yosys orders the operands of a sum as it likes, and only one of
    the two can be computed in the LUTs of the carry chain. The bit below them brings the borrow.
    """
    subtrahend = Cat(agree, value ^ agree.replicate(len(value)))
    return (Cat(Const(0, 1), total) - subtrahend)[1:1 + len(total)]


def _registered(m, signs, name):
    held = Signal(len(signs), name=name)
    m.d.sync += held.eq(Cat(signs))
    return list(held)

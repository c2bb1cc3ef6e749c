"""Product of two numbers of any width in DSP blocks, each of which adds to the one before."""

from amaranth import Cat, Const, Module, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..fixed import product_ends, signed_width
from .pipeline import delays
from .products import registered_product

__all__ = ["ChainedProduct"]

# Unsigned bits of the narrow port of a DSP block, and places from one block to the next one.
LIMB = 17
# Signed bits of both ports.
WIDE, NARROW = 25, 18


class ChainedProduct(wiring.Component):
    """``o = floor((a * b + addend) / 2**dropped)``, exact.

    An operand that is wider than a port is cut into limbs of 17 bits, and each pair of limbs has a
    block. Latency :attr:`latency` cycles, two more than there are pairs; throughput one product per
    cycle; never stalls.

    Parameters
    ----------
    a, b : tuple of int
        Least and largest value of each operand.
    addend : int
        Constant.
    dropped : int
        Bits that the result lacks at its lower end.

    Members
    -------
    a, b : In(range(low, high + 1))
        Operands.
    o : Out(range(low, high + 1))
        Result, in the range that those of the operands give.
    """

    def __init__(self, a, b, *, addend=0, dropped=0):
        self.ranges, self.addend, self.dropped = (a, b), addend, dropped
        self.latency = self.stages(a, b)
        super().__init__({"a": In(_shape(a)), "b": In(_shape(b)), "o": Out(_shape(
            tuple((bound + addend) >> dropped for bound in product_ends(a, b))))})

    @staticmethod
    def stages(a, b):
        """Latency for operands of two ranges, in cycles."""
        return 2 + len(_pairs(a, b))

    def elaborate(self, platform):
        m = Module()
        total, ends, weight, below = Const(self.addend), (self.addend, self.addend), 0, []
        pairs = _pairs(*self.ranges)
        # Each link is a cycle after the one before, whose sum it adds to.
        for number, limbs in enumerate(pairs):
            if sum(place for place, _ in limbs) > weight:
                needed = total[:LIMB][max(self.dropped - LIMB * weight, 0):]
                below.append(delays(m, needed, len(pairs) - number, f"below_{weight}")[-1])
                total, ends = total >> LIMB, tuple(bound >> LIMB for bound in ends)
                weight += 1
            product = registered_product(m, *(_limb(*pair) for pair in zip(
                (self.a, self.b), limbs, strict=True)), number, f"product_{number}")
            ends = tuple(sum(pair) for pair in zip(
                ends, product_ends(*(bounds for _, bounds in limbs)), strict=True))
            # Exact: Yosys loses a register's copy of the sign when it packs the block.
            link = Signal(signed(signed_width(*ends)), name=f"link_{number}", reset_less=True)
            m.d.sync += link.eq(product + total)
            total = link
        m.d.comb += self.o.eq(Cat(*below, total).as_signed()
                              >> max(self.dropped - LIMB * weight, 0))
        return m


def _shape(ends):
    """Shape of a range."""
    low, high = ends
    return signed(signed_width(low, high)) if low < 0 else unsigned(high.bit_length())


def _limbs(ends, port):
    """Limbs of an operand, by place: number and range; a port takes the last one as it is."""
    limbs = []
    while signed_width(*ends) > port:
        limbs.append((len(limbs), (0, (1 << LIMB) - 1)))
        ends = tuple(bound >> LIMB for bound in ends)
    return [*limbs, (len(limbs), ends)]


def _limb(value, limb):
    """What a limb of an operand holds."""
    place, ends = limb
    part = value[LIMB * place:][:_shape(ends).width]
    return part.as_signed() if ends[0] < 0 else part


def _pairs(a, b):
    """Pairs of limbs of both operands by rising weight, with the fewest pairs there are."""
    return min((sorted(((i, j) for i in _limbs(a, one) for j in _limbs(b, other)),
                       key=lambda pair: pair[0][0] + pair[1][0])
                for one, other in ((WIDE, NARROW), (NARROW, WIDE))), key=len)

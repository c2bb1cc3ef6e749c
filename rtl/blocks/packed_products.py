"""Two dot products that share an operand, in one DSP block for each pair of products."""

from amaranth import Cat, Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..fixed import signed_width
from .adder_tree import AdderTree
from .pipeline import delays
from .population_count import population_count
from .products import CHAIN, DotProduct, operand, product_range

__all__ = ["PackedDotProduct"]

# Width of the wide port of a DSP block, signed.
WIDE_PORT = 25
# Bits that a stage counts by table.
COUNTED = 6


class PackedDotProduct(wiring.Component):
    """``o[i] = sum_k a[k] * b[i][k] + addend[i] + offset`` for ``i`` of 0 and 1, exact.

    A DSP block multiplies ``b[1][k] * 2**shift + b[0][k]``, which its pre-adder makes, by ``a[k]``.
    Its last adder sums up to four such products and, through port C, a constant that keeps both
    fields from being negative: ``P = H * 2**shift + L`` with

    * ``L = sum_k a[k] * b[0][k] + bias``,
    * ``H = sum_k a[k] * b[1][k] + bias``.

    A field has up to ``2 * bits + 1`` bits, but the operand fits the port up to ``shift = 24 -
    bits`` only. With elements of 8 bits ``L`` is a bit wider than ``shift`` and its top bit
    carries into ``H``. The lowest bit of ``H`` is a parity of the operands' lowest bits, and tells
    that carry: the carries of all chains are counted, added to the sum of ``L`` at their weight,
    and subtracted from that of ``H``.

    Latency and throughput are those of a :class:`~rtl.blocks.products.DotProduct`; never stalls.

    Parameters
    ----------
    bits : int
        Width of an element, signed; 8 at most.
    count : int
        Number of products of a sum.
    addend_bits : int
        Width of an addend; 0 for none.

    Members
    -------
    a : In(signed(bits)).array(count)
        Elements that both sums share.
    b : In(signed(bits)).array(2, count)
        Elements of each sum.
    addend : In(addend_bits).array(2)
        Unsigned addends, a cycle after ``a`` and ``b``.
    o : Out(width).array(2)
        Sums, unsigned: the true ones plus :attr:`offset`.

    Raises
    ------
    ValueError
        If ``bits`` is too large.
    """

    def __init__(self, bits, count, addend_bits=0):
        self.bits, self.count, self.addend_bits = bits, count, addend_bits
        self.chain = min(count, CHAIN)
        self.groups = -(-count // self.chain)
        self._bounds = product_range(signed(bits), signed(bits))
        low, high = (self.chain * bound for bound in self._bounds)
        field = (high - low).bit_length()
        #: Place of the upper field.
        self.shift = min(field, WIDE_PORT - 1 - bits)
        #: Whether a lower field carries into the upper one.
        self.carries = field > self.shift
        if field > self.shift + 1:
            raise ValueError(f"PackedDotProduct: bits must be at most 8, not {bits}")
        # H is a bit below its most, so that H and a carry have no more bits than L.
        self._bias = (1 << field) - 1 - high - self.carries
        self._field = field
        #: Constant that each output carries besides the sum and the addend.
        self.offset = self.groups * self._bias
        largest = self.groups * ((1 << field) - 1) + ((1 << addend_bits) - 1)
        element = signed(bits)
        super().__init__({
            "a": In(element).array(count), "b": In(element).array(2, count),
            "addend": In(addend_bits).array(2), "o": Out(largest.bit_length()).array(2)})

    @property
    def latency(self):
        """Latency, in cycles."""
        return DotProduct.stages(self.count, self.addend_bits > 0)

    def elaborate(self, platform):
        m = Module()
        trees = [AdderTree(max(width, self.addend_bits), self.groups + (self.addend_bits > 0))
                 for width in (self.shift, self._field)]
        m.submodules.low, m.submodules.high = trees
        carries = []
        for group in range(self.groups):
            links = range(group * self.chain, min((group + 1) * self.chain, self.count))
            total = self._chain(m, links)
            m.d.comb += [trees[0].i[group].eq(total[:self.shift]),
                         trees[1].i[group].eq(total[self.shift:])]
            if self.carries:
                carries.append(total[self.shift] ^ self._parity(m, links, f"parity_{group}"))
        if self.addend_bits:
            for tree, addend, name in zip(trees, self.addend, ("low", "high"), strict=True):
                m.d.comb += tree.i[self.groups].eq(
                    delays(m, addend, self.chain + 1, f"addend_{name}")[-1])
        low, high = (tree.o for tree in trees)
        if self.carries:
            count = self._count(m, carries, trees[0].latency)
            low, high = Cat(low[:self.shift], low[self.shift:] + count), high - count
        m.d.comb += [self.o[0].eq(low), self.o[1].eq(high)]
        return m

    def _chain(self, m, links):
        """Both fields of the sum of a few pairs of products, as long after them as a chain takes.

        A chain that is short of links starts later, so that all end together.
        """
        start, total = self.chain - len(links), None
        both = 1 + (1 << self.shift)
        for k, j in enumerate(links):
            a, low, high = (operand(m, value, start + k, f"{name}_{j}") for value, name in (
                (self.a[j], "a"), (self.b[0][j], "low"), (self.b[1][j], "high")))
            packed = Signal(signed(self.shift + self.bits + 1), name=f"packed_{j}")
            m.d.comb += packed.eq(Cat(Const(0, self.shift), high).as_signed() + low)
            product = Signal(signed(signed_width(*(both * bound for bound in self._bounds))),
                             name=f"product_{j}", reset_less=True)
            m.d.sync += product.eq(packed * a)
            ends = (both * ((k + 1) * bound + self._bias) for bound in self._bounds)
            link = Signal(signed(signed_width(*ends)), name=f"link_{j}", reset_less=True)
            m.d.sync += link.eq(product + (both * self._bias if total is None else total))
            total = link
        return total

    def _parity(self, m, links, name):
        """Lowest bit of the upper field of a chain, with the chain."""
        parity = Const(self._bias & 1)
        for j in links:
            a, b = (delays(m, value[0], 1, f"{name}_{port}_{j}")[-1]
                    for value, port in ((self.a[j], "a"), (self.b[1][j], "b")))
            parity = parity ^ (a & b)
        odd = Signal(name=name)
        m.d.sync += odd.eq(parity)
        return delays(m, odd, self.chain, name)[-1]

    @staticmethod
    def _count(m, bits, cycles):
        """Number of set bits, so many cycles later: as many as a tree of so many numbers takes."""
        if not cycles:
            return bits[0]
        groups = range(0, len(bits), COUNTED)
        m.submodules.carries = tree = AdderTree(COUNTED.bit_length(), len(groups), largest=COUNTED)
        for k, start in enumerate(groups):
            count = Signal(COUNTED.bit_length(), name=f"count_{k}")
            m.d.sync += count.eq(population_count(m, bits[start:start + COUNTED], f"carries_{k}"))
            m.d.comb += tree.i[k].eq(count)
        return delays(m, tree.o, cycles - 1 - tree.latency, "carries")[-1]

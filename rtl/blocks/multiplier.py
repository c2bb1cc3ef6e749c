"""Product of two unsigned numbers in LUTs, without a DSP block."""

from amaranth import Cat, Const, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .adder_tree import AdderTree

__all__ = ["Multiplier"]


class Multiplier(wiring.Component):
    """Product ``o = a * b`` of two unsigned numbers, as a tree that adds shifted operands.

    Latency :attr:`latency` cycles (0 for ``b_width`` 1), throughput one product per cycle; never
    stalls. Exact.

    Parameters
    ----------
    a_width : int
        Width of ``a``.
    b_width : int
        Width of ``b``, and number of terms that the tree adds.

    Members
    -------
    a : In(a_width)
        Operand.
    b : In(b_width)
        Operand; the narrower one takes the smaller tree.
    o : Out(a_width + b_width)
        Product.
    """

    def __init__(self, a_width, b_width):
        self.a_width = a_width
        self.b_width = b_width
        super().__init__({"a": In(a_width), "b": In(b_width), "o": Out(a_width + b_width)})

    @staticmethod
    def stages(b_width):
        """Latency for an operand ``b`` of ``b_width`` bits, in cycles."""
        return AdderTree.stages(b_width, levels=1)

    @property
    def latency(self):
        """Latency in cycles."""
        return self.stages(self.b_width)

    def elaborate(self, platform):
        m = Module()
        m.submodules.tree = tree = AdderTree(self.a_width + self.b_width, self.b_width, levels=1)
        for k, term in enumerate(tree.i):
            m.d.comb += term.eq(Cat(Const(0, k), self.a & self.b[k].replicate(self.a_width)))
        m.d.comb += self.o.eq(tree.o[:len(self.o)])
        return m

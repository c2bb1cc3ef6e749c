"""Sums of products in DSP blocks: multiply, and add what the neighbour hands on."""

from amaranth import Cat, Module, Mux, Shape, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..fixed import product_ends, signed_width
from .adder_tree import AdderTree
from .pipeline import delays

__all__ = ["CHAIN", "DotProduct", "MultiplyAccumulate", "operand", "product_range",
           "registered_product"]

# Products of a chain. A longer chain saves adders behind it and costs registers before it, that
# delay the operands of each link by a cycle more than those of the one before.
CHAIN = 4


def _range(shape):
    shape = Shape.cast(shape)
    return (-(1 << (shape.width - 1)), (1 << (shape.width - 1)) - 1) if shape.signed else \
        (0, (1 << shape.width) - 1)


def product_range(a, b):
    """Least and largest product of values of two shapes."""
    return product_ends(_range(a), _range(b))


def _partial_bits(a, b, count):
    """Width of a sum of ``count`` products of values of two shapes."""
    return signed_width(*(count * bound for bound in product_range(a, b)))


def operand(m, value, delay, name):
    """``value``, ``delay + 1`` cycles later, in a register without reset: a DSP block's input."""
    register = Signal.like(value, name=name, reset_less=True)
    m.d.sync += register.eq(delays(m, value, delay, name)[-1])
    return register


def registered_product(m, a, b, delay, name):
    """Product of two values, ``delay + 2`` cycles later, in the registers of a DSP block."""
    operands = [operand(m, value, delay, f"{name}_{port}") for value, port in ((a, "a"), (b, "b"))]
    product = Signal(signed(signed_width(*product_range(*(o.shape() for o in operands)))),
                     name=f"{name}_m", reset_less=True)
    m.d.sync += product.eq(operands[0] * operands[1])
    return product


class DotProduct(wiring.Component):
    """``o = sum_k a[k] * b[k] + addend + offset``, exact, never negative.

    Chains of up to four products, then a tree of adders. Latency :attr:`latency` cycles,
    throughput one sum per cycle; never stalls.

    Parameters
    ----------
    a_shape, b_shape : ShapeLike
        Shapes of an element.
    count : int
        Number of products.
    addend_bits : int
        Width of the addend; 0 for none.

    Members
    -------
    a : In(a_shape).array(count)
        First operands.
    b : In(b_shape).array(count)
        Second operands.
    addend : In(addend_bits)
        Unsigned addend, a cycle after ``a`` and ``b``.
    o : Out(width(a_shape, b_shape, count, addend_bits))
        Sum, unsigned: the true one plus :attr:`offset`.
    """

    def __init__(self, a_shape, b_shape, count, addend_bits=0):
        self.a_shape, self.b_shape, self.count = Shape.cast(a_shape), Shape.cast(b_shape), count
        self._bounds = product_range(a_shape, b_shape)
        self.chain = min(count, CHAIN)
        self.groups = -(-count // self.chain)
        self.addend_bits = addend_bits
        #: Width of the sum of a chain.
        self.partial_bits = _partial_bits(a_shape, b_shape, self.chain)
        super().__init__(self._ports())

    def _ports(self):
        width = self.width(self.a_shape, self.b_shape, self.count, self.addend_bits)
        return {"a": In(self.a_shape).array(self.count), "b": In(self.b_shape).array(self.count),
                "addend": In(self.addend_bits), "o": Out(width)}

    @staticmethod
    def width(a_shape, b_shape, count, addend_bits=0):
        """Width of the output."""
        chain = min(count, CHAIN)
        operand = max(_partial_bits(a_shape, b_shape, chain), addend_bits)
        return ((-(-count // chain) + (addend_bits > 0)) * ((1 << operand) - 1)).bit_length()

    @staticmethod
    def constant(a_shape, b_shape, count):
        """Constant that the output carries besides the sum and the addend."""
        chain = min(count, CHAIN)
        return -(-count // chain) << (_partial_bits(a_shape, b_shape, chain) - 1)

    @property
    def offset(self):
        """Constant that the output carries besides the sum and the addend."""
        return self.constant(self.a_shape, self.b_shape, self.count)

    @staticmethod
    def stages(count, addend=False):
        """Latency of a sum of ``count`` products, and an addend, in cycles."""
        chain = min(count, CHAIN)
        return 2 + chain + AdderTree.stages(-(-count // chain) + addend)

    @property
    def latency(self):
        """Latency, in cycles."""
        return self.stages(self.count, self.addend_bits > 0)

    def elaborate(self, platform):
        m = Module()
        m.submodules.tree = tree = AdderTree(max(self.partial_bits, self.addend_bits),
                                             self.groups + (self.addend_bits > 0))
        controls = self._controls(m)
        pairs = list(zip(self.a, self.b, strict=True))
        for group in range(self.groups):
            members = pairs[group * self.chain:(group + 1) * self.chain]
            # A chain that is short of links starts later, so that all end together.
            total = Signal(signed(self.partial_bits), name=f"partial_{group}")
            m.d.comb += total.eq(self._chain(m, members, controls, f"chain_{group}"))
            # Half the range on top makes a signed number unsigned: its sign bit is turned.
            m.d.comb += tree.i[group].eq(Cat(total[:-1], ~total[-1]))
        if self.addend_bits:
            m.d.comb += tree.i[self.groups].eq(
                delays(m, self.addend, self.chain + 1, "addend")[-1])
        m.d.comb += self.o.eq(tree.o)
        return m

    def _controls(self, m):
        """What all links of all chains are told."""

    def _chain(self, m, pairs, controls, name):
        """Sum of the products of a few pairs, as long after them as a whole chain takes."""
        start = self.chain - len(pairs)
        total = None
        for k, (a, b) in enumerate(pairs):
            product = registered_product(m, a, b, start + k, f"{name}_{k}")
            total = self._link(m, product, total, k, start + k, controls, name)
        return total

    def _link(self, m, product, before, k, delay, controls, name):
        """Sum, a cycle later, of a product and what the link before hands on."""
        low, high = ((k + 1) * bound for bound in self._bounds)
        link = Signal(signed(signed_width(low, high)), name=f"{name}_{k}_p", reset_less=True)
        m.d.sync += link.eq(product if before is None else product + before)
        return link


class MultiplyAccumulate(wiring.Component):
    """Running sum of ``a . b`` over the beats of a row, exact.

    Every cycle adds, so ``a`` must be 0 in a cycle without a beat. Latency :attr:`latency` cycles
    from a beat to the sum up to it, throughput one beat per cycle; never stalls. With one lane the
    sum stays in the DSP block that multiplies.

    Parameters
    ----------
    a_shape, b_shape : ShapeLike
        Shapes of an element.
    lanes : int
        Products per beat.
    low, high : int
        Range of a row's sum.

    Members
    -------
    a : In(a_shape).array(lanes)
        First operands.
    b : In(b_shape).array(lanes)
        Second operands.
    first : In(1)
        The beat starts a row. Comes with ``a``.
    o : Out(signed(signed_width(low, high)))
        Sum of the row's beats so far.
    """

    def __init__(self, a_shape, b_shape, lanes, low, high):
        self.a_shape, self.b_shape, self.lanes = Shape.cast(a_shape), Shape.cast(b_shape), lanes
        self._shape = signed(signed_width(low, high))
        super().__init__({"a": In(self.a_shape).array(lanes), "b": In(self.b_shape).array(lanes),
                          "first": In(1), "o": Out(self._shape)})

    @staticmethod
    def stages(lanes):
        """Latency, in cycles."""
        return 3 if lanes == 1 else DotProduct.stages(lanes) + 1

    @property
    def latency(self):
        """Latency, in cycles."""
        return self.stages(self.lanes)

    def elaborate(self, platform):
        m = Module()
        first = Signal(reset_less=True)
        m.d.sync += first.eq(delays(m, self.first, self.latency - 2, "first")[-1])
        if self.lanes == 1:
            term = registered_product(m, self.a[0], self.b[0], 0, "product")
        else:
            m.submodules.dot = dot = DotProduct(self.a_shape, self.b_shape, self.lanes)
            m.d.comb += [dot.a[k].eq(a) for k, a in enumerate(self.a)]
            m.d.comb += [dot.b[k].eq(b) for k, b in enumerate(self.b)]
            term = Signal(self._shape)
            m.d.comb += term.eq(dot.o - dot.offset)
        total = Signal(self._shape, reset_less=True)
        m.d.sync += total.eq(term + Mux(first, 0, total))
        m.d.comb += self.o.eq(total)
        return m

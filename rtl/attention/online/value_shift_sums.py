"""Weighted sums of the values, relative to a running reference."""

from amaranth import Cat, Const, Module, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.products import DotProduct
from .shift_sum import Move, ShiftSum

__all__ = ["ValueShiftSums"]

# Cycles from the operands of a multiplier to its product.
PRODUCT_CYCLES = 2


class ValueShiftSums(wiring.Component):
    """``o_j = moved(o_j) + sum_k terms_k values_kj``, of the beats of a row.

    With one lane a sum is in the DSP block that multiplies. Latency :meth:`latency_of` cycles from
    the terms to the sums, throughput one beat per cycle; never stalls.

    Parameters
    ----------
    numbers : OnlineNumbers
        Numbers of the datapath.
    dim : int
        Number of sums.

    Members
    -------
    terms : In(ArrayLayout(term_bits, lanes))
        Terms of a beat.
    values : In(ArrayLayout(StructLayout({"data": ArrayLayout(signed(value_bits), dim)}), lanes))
        Values of the same keys.
    valid : In(1)
        There is a beat: a cycle before its sums.
    move : In(Move)
        What becomes of the sums before it is added, with ``valid``.
    o : Out(ArrayLayout(signed(held_width), dim))
        Sums of the row's beats so far.
    """

    def __init__(self, numbers, dim):
        self.numbers, self.dim = numbers, dim
        vector = data.StructLayout({"data": data.ArrayLayout(signed(numbers.value_bits), dim)})
        super().__init__({
            "terms": In(data.ArrayLayout(numbers.term_bits, numbers.lanes)),
            "values": In(data.ArrayLayout(vector, numbers.lanes)), "valid": In(1),
            "move": In(Move),
            "o": Out(data.ArrayLayout(signed(numbers.held_width), dim))})

    @staticmethod
    def _offset(numbers):
        """Constant in the sum of a beat's products, and its width."""
        shapes = unsigned(numbers.term_bits), signed(numbers.value_bits), numbers.lanes
        return DotProduct.constant(*shapes), DotProduct.width(*shapes)

    @classmethod
    def _turned(cls, numbers):
        """Whether the constant is the weight of the top bit, so that turning it takes it off."""
        offset, width = cls._offset(numbers)
        return offset == 1 << (width - 1)

    @classmethod
    def latency_of(cls, numbers):
        """Latency, in cycles."""
        if numbers.lanes == 1:
            return PRODUCT_CYCLES + 1
        return DotProduct.stages(numbers.lanes) + (not cls._turned(numbers)) + 1

    def elaborate(self, platform):
        m = Module()
        numbers = self.numbers
        for j in range(self.dim):
            beat = self._product(m, j) if numbers.lanes == 1 else self._products(m, j)
            guarded = Cat(Const(0, numbers.guard_bits), beat).as_signed()
            m.submodules[f"sum_{j}"] = total = ShiftSum(numbers.held_width, len(guarded),
                                                        numbers.block, numbers.cut)
            m.d.comb += [total.i.eq(guarded), total.valid.eq(self.valid),
                         total.move.eq(self.move), self.o[j].eq(total.o)]
        return m

    def _product(self, m, j):
        """Product of a beat of one key. The registers are those of a DSP block."""
        term, value = (Signal(shape, name=f"{name}_{j}", reset_less=True) for name, shape in
                       (("term", unsigned(self.numbers.term_bits)),
                        ("value", signed(self.numbers.value_bits))))
        product = Signal(signed(len(term) + len(value)), name=f"product_{j}", reset_less=True)
        m.d.sync += [term.eq(self.terms[0]), value.eq(self.values[0].data[j]),
                     product.eq(term * value)]
        return product

    def _products(self, m, j):
        """Sum of the products of a beat."""
        numbers = self.numbers
        m.submodules[f"products_{j}"] = products = DotProduct(
            unsigned(numbers.term_bits), signed(numbers.value_bits), numbers.lanes)
        m.d.comb += [port.eq(term) for port, term in zip(products.a, self.terms, strict=True)]
        m.d.comb += [port.eq(value.data[j])
                     for port, value in zip(products.b, self.values, strict=True)]
        if self._turned(numbers):
            return Cat(products.o[:-1], ~products.o[-1]).as_signed()
        beat = Signal(signed(len(products.o) + 1), name=f"beat_{j}", reset_less=True)
        m.d.sync += beat.eq(products.o - products.offset)
        return beat

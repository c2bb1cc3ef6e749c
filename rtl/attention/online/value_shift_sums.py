"""Weighted sums of the values, relative to a running reference."""

from amaranth import Cat, Const, Module, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.products import DotProduct
from .numbers import BLOCK
from .shift_sum import ShiftSum, codes_layout

__all__ = ["ValueShiftSums"]


class ValueShiftSums(wiring.Component):
    """``o_j = (o_j, moved by the codes) + sum_k terms_k values_kj``, of the beats of a row, exact.

    Latency :meth:`latency_of` cycles from the terms to the sums, throughput one beat per cycle;
    never stalls.

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
    codes : In(codes_layout(held_width, BLOCK))
        What moves the sums, with ``valid``.
    o : Out(ArrayLayout(signed(held_width), dim))
        Sums of the row's beats so far.
    """

    def __init__(self, numbers, dim):
        self.numbers, self.dim = numbers, dim
        vector = data.StructLayout({"data": data.ArrayLayout(signed(numbers.value_bits), dim)})
        super().__init__({
            "terms": In(data.ArrayLayout(numbers.term_bits, numbers.lanes)),
            "values": In(data.ArrayLayout(vector, numbers.lanes)), "valid": In(1),
            "codes": In(codes_layout(numbers.held_width, BLOCK)),
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
        return DotProduct.stages(numbers.lanes) + (not cls._turned(numbers)) + 1

    def elaborate(self, platform):
        m = Module()
        numbers = self.numbers
        for j in range(self.dim):
            m.submodules[f"products_{j}"] = products = DotProduct(
                unsigned(numbers.term_bits), signed(numbers.value_bits), numbers.lanes)
            m.d.comb += [port.eq(term) for port, term in zip(products.a, self.terms, strict=True)]
            m.d.comb += [port.eq(value.data[j])
                         for port, value in zip(products.b, self.values, strict=True)]
            if self._turned(numbers):
                beat = Cat(products.o[:-1], ~products.o[-1]).as_signed()
            else:
                beat = Signal(signed(len(products.o) + 1), name=f"beat_{j}", reset_less=True)
                m.d.sync += beat.eq(products.o - products.offset)
            guarded = Cat(Const(0, numbers.guard_bits), beat).as_signed()
            m.submodules[f"sum_{j}"] = total = ShiftSum(numbers.held_width, len(guarded), BLOCK)
            m.d.comb += [total.i.eq(guarded), total.valid.eq(self.valid),
                         total.codes.eq(self.codes), self.o[j].eq(total.o)]
        return m

"""Hardware of a row's scale (:mod:`rtl.attention.online.numbers`): once a row, and per output."""

import dataclasses

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...blocks.block_table import BlockTable
from ...blocks.chained_product import ChainedProduct
from ...blocks.leading_one import normalised
from ...blocks.pipeline import delays
from ...fixed import SHIFT_BITS, half
from .numbers import PLACED_BITS, OnlineNumbers, RowScale

__all__ = ["OnlineDivision", "RowFactor", "ScalePipeline"]

# Amount from which on a factor saturates; below, the largest ones leave nothing of it.
ALL = 48


@dataclasses.dataclass(frozen=True)
class OnlineDivision:
    """From weighted sums and the sum of a row to outputs, for
    :class:`~rtl.attention.output_rows.OutputRows`.
    """

    numbers: OnlineNumbers

    @property
    def factor_layout(self):
        """Shape of the factor of a row, at its place."""
        return unsigned(PLACED_BITS)

    @property
    def stages(self):
        """Cycles from a weighted sum to its output."""
        return ScalePipeline.stages(self.numbers)

    def pipeline(self, low, high):
        """Hardware for sums as they are read, of ``low..high``."""
        return ScalePipeline(self.numbers)


class RowFactor(wiring.Component):
    """Factor of a row's sum, at its place: ``P`` of the numbers.

    Latency :attr:`LATENCY` cycles, throughput one row per cycle; never stalls.

    Parameters
    ----------
    numbers : OnlineNumbers
        Numbers of the datapath.

    Members
    -------
    total : In(held_sum.bit_length())
        Sum of a row's terms as it is held; without a key, 0, the factor is undefined.
    multiplier : In(16)
        Multiplier of the outputs' scale, two cycles after ``total``.
    shift : In(6)
        Shift of that scale, with its multiplier. Only with scales at run time.
    o : Out(34)
        Factor of the row.
    """

    LATENCY = 1 + BlockTable.latency + 4

    def __init__(self, numbers):
        self.numbers = numbers
        super().__init__({"total": In(numbers.held_sum.bit_length()),
                          "multiplier": In(RowScale.MULTIPLIER_BITS),
                          **({"shift": In(SHIFT_BITS)} if numbers.run_time else {}),
                          "o": Out(PLACED_BITS)})

    def elaborate(self, platform):
        m = Module()
        numbers, bits = self.numbers, RowScale.FACTOR_BITS
        place, mantissa = normalised(m, self.total, numbers.places[0], RowScale.MANTISSA_BITS,
                                     rests=(3,))
        m.submodules.reciprocals = table = BlockTable(numbers.scale.reciprocals, bits, 1)
        m.d.comb += table.index[0].eq(mantissa)
        # The registers next to the multiplier are those of a DSP block.
        word = Signal(bits, reset_less=True)
        multiplier = Signal.like(self.multiplier, reset_less=True)
        product = Signal(bits + RowScale.MULTIPLIER_BITS, reset_less=True)
        rounded = Signal(bits, reset_less=True)
        m.d.sync += [
            word.eq(table.o[0]), multiplier.eq(delays(m, self.multiplier, 1, "multiplier")[-1]),
            product.eq(word * multiplier),
            rounded.eq((product + half(RowScale.MULTIPLIER_BITS)) >> RowScale.MULTIPLIER_BITS)]
        placed = Signal(PLACED_BITS, reset_less=True)
        m.d.sync += placed.eq(self._placed(m, rounded, self._down(m, place)))
        m.d.comb += self.o.eq(placed)
        return m

    def _down(self, m, place):
        """Places that the factor goes down, with the factor, as :meth:`_placed` has it."""
        numbers = self.numbers
        shift = self.shift if numbers.run_time else numbers.scale.shift
        # Above the least place, so that the constant is a small one.
        value = (delays(m, place, 1, "place")[-1]
                 + (shift + (numbers.places[0] + numbers.down_of_place)))
        down = Signal(signed(len(value) + 1), reset_less=True)
        amount = Signal(SHIFT_BITS, reset_less=True)
        m.d.sync += [down.eq(value),
                     amount.eq(Mux(down < 0, ALL, Mux(down >= ALL, ALL - 1, down)))]
        return delays(m, amount, 2, "amount")[-1]

    @staticmethod
    def _placed(m, factor, amount):
        """``factor``, from the top of the bits downwards by ``amount`` places; all ones from
        :data:`ALL` on.
        """
        value = Cat(Const(0, PLACED_BITS - len(factor)), factor)
        for low in range(0, SHIFT_BITS, 2):
            chosen = Signal(PLACED_BITS, name=f"placed_{low}")
            with m.Switch(amount[low:low + 2]):
                for number in range(4):
                    with m.Case(number):
                        m.d.comb += chosen.eq(~0 if number << low == ALL
                                              else value >> (number << low))
            value = chosen
        return value


class ScalePipeline(wiring.Component):
    """From a weighted sum to an output: ``saturate(floor(i * factor / 2**point + 1/2))``.

    Latency :meth:`stages` cycles, throughput one result per cycle; never stalls.

    Parameters
    ----------
    numbers : OnlineNumbers
        Numbers of the datapath.

    Members
    -------
    i : In(signed(read_width))
        Weighted sum as it is read.
    factor : In(34)
        Factor of its row, with ``i``.
    o : Out(signed(scale.bits))
        Result, rounded half up, saturated.
    """

    def __init__(self, numbers):
        self.numbers = numbers
        super().__init__({"i": In(signed(numbers.read_width)), "factor": In(PLACED_BITS),
                          "o": Out(signed(numbers.scale.bits))})

    @staticmethod
    def _ranges(numbers):
        """Ranges of a weighted sum as it is read, and of a factor."""
        return numbers.read_range, (0, (1 << PLACED_BITS) - 1)

    @classmethod
    def stages(cls, numbers):
        """Latency, in cycles."""
        return ChainedProduct.stages(*cls._ranges(numbers)) + 1

    def elaborate(self, platform):
        m = Module()
        numbers, bits = self.numbers, self.numbers.scale.bits
        m.submodules.product = product = ChainedProduct(
            *self._ranges(numbers), addend=half(numbers.point), dropped=numbers.point)
        m.d.comb += [product.a.eq(self.i), product.b.eq(self.factor)]
        value = product.o
        result = Signal(signed(bits), reset_less=True)
        # LUTs compare five bits with the sign each.
        top, sign = value[bits - 1:-1], value[-1]
        over = (top ^ sign.replicate(len(top))).any()
        end = Cat((~sign).replicate(bits - 1), sign)
        m.d.sync += result.eq(Mux(over, end, value[:bits]))
        m.d.comb += self.o.eq(result)
        return m

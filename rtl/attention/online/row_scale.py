"""Hardware of a :class:`~rtl.attention.online.numbers.RowScale`: once a row, and per output."""

import dataclasses

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.block_table import BlockTable
from ...blocks.leading_one import normalised
from ...blocks.pipeline import delays
from ...blocks.rounding_shift import RoundingShift
from ...fixed import SHIFT_BITS, half, saturated, signed_width
from .numbers import OnlineNumbers, RowScale

__all__ = ["OnlineDivision", "RowFactor", "ScalePipeline"]

# Bits of a sum that the lower one of two DSP blocks multiplies.
LOW_BITS = 17
# Width of the wide port of a DSP block.
PORT_BITS = 25


def _factor_layout(numbers):
    low, high = numbers.places
    places = range(high + numbers.block - low)
    exponent = {"shift": SHIFT_BITS} if numbers.run_time else {"place": places}
    return data.StructLayout({"word": RowScale.FACTOR_BITS, **exponent})


@dataclasses.dataclass(frozen=True)
class OnlineDivision:
    """From weighted sums and the sum of a row to outputs, for
    :class:`~rtl.attention.output_rows.OutputRows`.
    """

    numbers: OnlineNumbers

    @property
    def factor_layout(self):
        """Factor of a row: ``word``, and ``place`` of its sum's leading one above the least.

        With scales at run time the ``shift`` of a result instead, saturated.
        """
        return _factor_layout(self.numbers)

    @property
    def stages(self):
        """Cycles from a weighted sum to its output."""
        return ScalePipeline.LATENCY

    def pipeline(self, low, high):
        """Hardware for sums as they are read, of ``low..high``."""
        return ScalePipeline(self.numbers)


class RowFactor(wiring.Component):
    """Factor and place of a row's sum.

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
        Multiplier of the outputs' scale, three cycles after ``total``.
    shift : In(6)
        Shift of that scale, with its multiplier. Only with scales at run time.
    o : Out(OnlineDivision(numbers).factor_layout)
        Factor of the row.
    """

    LATENCY = 2 + BlockTable.latency + 3

    def __init__(self, numbers):
        self.numbers = numbers
        super().__init__({"total": In(numbers.held_sum.bit_length()),
                          "multiplier": In(RowScale.MULTIPLIER_BITS),
                          **({"shift": In(SHIFT_BITS)} if numbers.run_time else {}),
                          "o": Out(_factor_layout(numbers))})

    def elaborate(self, platform):
        m = Module()
        numbers, bits = self.numbers, RowScale.FACTOR_BITS
        place, mantissa = normalised(m, self.total, numbers.places[0], RowScale.MANTISSA_BITS,
                                     rests=(3,))
        m.submodules.reciprocals = table = BlockTable(numbers.scale.reciprocals, bits, 1)
        m.d.comb += table.index[0].eq(delays(m, mantissa, 1, "mantissa")[-1])
        # The registers next to the multiplier are those of a DSP block.
        word, multiplier = Signal(bits, reset_less=True), Signal.like(self.multiplier,
                                                                      reset_less=True)
        product = Signal(bits + RowScale.MULTIPLIER_BITS, reset_less=True)
        rounded = Signal(bits, reset_less=True)
        m.d.sync += [
            word.eq(table.o[0]), multiplier.eq(delays(m, self.multiplier, 1, "multiplier")[-1]),
            product.eq(word * multiplier),
            rounded.eq((product + half(RowScale.MULTIPLIER_BITS)) >> RowScale.MULTIPLIER_BITS)]
        m.d.comb += self.o.word.eq(rounded)
        if not numbers.run_time:
            m.d.comb += self.o.place.eq(delays(m, place, self.LATENCY - 1, "place")[-1])
            return m
        exponent = Signal(SHIFT_BITS + 1)
        # Any shift from here on leaves nothing of a result.
        limited = Mux(exponent[-1], (1 << SHIFT_BITS) - 1, exponent)[:SHIFT_BITS]
        m.d.sync += exponent.eq(delays(m, place, 2, "place")[-1] + self.shift + 1)
        m.d.comb += self.o.shift.eq(delays(m, limited, self.LATENCY - 4, "exponent")[-1])
        return m


class ScalePipeline(wiring.Component):
    """From a weighted sum to an output: ``saturate(round(i * word / 2**(e - cut)))``.

    ``e`` is that of the place of the factor; at run time its shift is what ``e`` is above the least
    place. Of the product only those bits go through the barrel shifter that a result can have
    before it saturates. Latency :attr:`LATENCY` cycles, throughput one result per cycle; never
    stalls.

    Parameters
    ----------
    numbers : OnlineNumbers
        Numbers of the datapath.

    Members
    -------
    i : In(signed(read_width))
        Weighted sum as it is read.
    factor : In(OnlineDivision(numbers).factor_layout)
        Factor of its row, with ``i``.
    o : Out(signed(scale.bits))
        Result, rounded half up, saturated.
    """

    LATENCY = 7

    def __init__(self, numbers):
        self.numbers = numbers
        super().__init__({"i": In(signed(numbers.read_width)),
                          "factor": In(_factor_layout(numbers)),
                          "o": Out(signed(numbers.scale.bits))})

    def elaborate(self, platform):
        m = Module()
        numbers, scale = self.numbers, self.numbers.scale
        product = self._product(m)
        if numbers.run_time:
            # What the least place cuts off is below the rounding bit of any shift.
            product = product >> (numbers.places[0] - numbers.cut)
            m.submodules.rounding = rounding = RoundingShift(len(product), scale.bits)
            m.d.comb += [rounding.i.eq(product), self.o.eq(rounding.o),
                         rounding.shift.eq(delays(m, self.factor.shift, 4, "shift")[-1])]
            return m
        places = delays(m, self.factor.place, 5, "place")
        width = signed_width(*numbers.result_range) + 1
        # Of the fraction the bit below the result counts.
        least = scale.exponent(numbers.places[0]) - numbers.cut - 1
        cut = len(places[0]) // 2
        wide = width + (1 << cut) - 1
        coarse, fine = (Signal(signed(bits), name=name, reset_less=True) for name, bits in
                        (("coarse", wide), ("fine", width)))
        rounded = Signal(signed(width), reset_less=True)
        m.d.sync += [
            coarse.eq(_window(m, product >> least, places[4][cut:], cut, wide, "coarse")),
            fine.eq(_window(m, coarse, places[5][:cut], 0, width, "fine")),
            rounded.eq((fine + 1) >> 1)]
        m.d.comb += self.o.eq(saturated(rounded, scale.bits))
        return m

    def _product(self, m):
        """Sum times factor, four cycles later, in one or two DSP blocks and their registers."""
        width = self.numbers.read_width
        low_bits = LOW_BITS if width > PORT_BITS else 0
        word, later = delays(m, self.factor.word, 1, "word")
        total = 0
        if low_bits:
            low = self._multiply(m, self.i[:low_bits], word, "low")
            partial = Signal.like(low, name="partial", reset_less=True)
            m.d.sync += partial.eq(low)
            total = partial >> low_bits
        upper = delays(m, self.i[low_bits:].as_signed(), 1, "upper")[-1]
        high = self._multiply(m, upper, later, "high")
        product = Signal(signed(len(high) + 1), reset_less=True)
        m.d.sync += product.eq(high + total)
        if not low_bits:
            return product
        return Cat(delays(m, partial[:low_bits], 1, "rest")[-1], product).as_signed()

    @staticmethod
    def _multiply(m, a, b, name):
        """Product, two cycles later: the registers are those of a DSP block."""
        one, other = (Signal.like(value, name=f"{name}_{port}", reset_less=True)
                      for value, port in ((a, "a"), (b, "b")))
        product = Signal((one * other).shape(), name=f"{name}_m", reset_less=True)
        m.d.sync += [one.eq(a), other.eq(b), product.eq(one * other)]
        return product


def _window(m, value, amount, low, width, name):
    """``(value >> (amount << low))``, its low ``width`` bits, signed. Combinational.

    The largest steps come first, so that each leaves what the smaller ones can still shift.
    """
    for first in reversed(range(0, len(amount), 2)):
        step = amount[first:first + 2]
        chosen = Signal(signed(width + (((1 << first) - 1) << low)), name=f"{name}_{first}")
        with m.Switch(step):
            for number in range(1 << len(step)):
                with m.Case(number):
                    m.d.comb += chosen.eq(value >> (number << (first + low)))
        value = chosen
    return value

"""Split softmax: exponentials as a product of two table words, and a true division.

Source: the exponent module of A3 (Ham et al., HPCA 2020), whose formats the preset ``paper`` takes.
The preset ``plus`` is the exact yardstick of the family: guard bits, and one division a row::

    d_i = max(x) - x_i      e_i = round(high[d_i >> l] * low[d_i mod 2**l])       S = sum_i e_i
    weight:  y_i = min(round(2**w * e_i / S), 2**w - 1)
    lazy:    R = floor(1 / S), of w + 2 bits      y_i = min(round(e_i * R), 2**w - 1)

Notation: ``w`` output bits, ``l`` lower bits of a distance, ``S`` a row's sum;
:mod:`rtl.softmax.exponent_product` has the tables.
"""

import dataclasses
import functools

from amaranth import Cat, Const, Signal

from ..blocks.barrel_shift import shift_right
from ..blocks.block_table import BlockTable
from ..blocks.chained_product import ChainedProduct
from ..blocks.divider import Divider, SerialDivider
from ..blocks.leading_one import normalised
from ..blocks.pipeline import delays
from ..config import register
from ..fixed import half, round_shift
from ..parameter import Choice, Integer, parameter
from .config import SoftmaxConfig
from .exponent_product import ExponentProduct, ProductTerms
from .two_pass import TwoPassMethod

__all__ = ["SplitSoftmaxConfig"]


# Output bits up to which a block RAM can hold all reciprocals.
TABLE_BITS = 12

# Steps of the division of 1 between two registers.
STEPS = 2


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitSoftmaxConfig(SoftmaxConfig):
    """Split softmax: product of two exponent tables, true division (exponents of A3, HPCA 2020).

    Exponentials have ``out_bits + guard_bits`` fraction bits. With ``order="weight"`` (as
    published) each is divided by the sum; with ``order="lazy"`` the reciprocal of the sum is
    divided out once a row.

    A ``min_length`` above 1 promises longer rows, and a serial divider takes the place of the
    pipelined one. A row of fewer beats than that takes cycles waits until the unit is empty.
    """

    UNIT = "softmax-split"
    PRESETS = {
        "plus": {},
        "paper": {"guard_bits": 0, "order": "weight"},
    }

    guard_bits: int = parameter(2, Integer(0, 8), tag="g",
                                help="bits of an exponential beyond those of the output")
    order: str = parameter("lazy", Choice(("weight", "lazy")), tag="or",
                           help="division of every exponential, or of 1 once a row")

    reciprocal: str = parameter(
        "auto", Choice(("auto", "divider", "table")), tag="re",
        help="what makes the reciprocals of the lazy order: a divider, or a block RAM of all; "
             "auto takes the block RAM for up to 12 output bits and a min_length of 1")

    min_length: int = parameter(
        1, Integer(1, 4096), tag="ml",
        help="shortest row that is to pass without a wait; long ones let the divider of the lazy "
             "order be a serial one")

    def __post_init__(self):
        super().__post_init__()
        if self.min_length > 1:
            self._require("min_length", self.order == "lazy" and self.reciprocal != "table",
                          "1 where no divider makes reciprocals")
            least = self.reciprocal_bits * self.lanes + 1
            self._require("min_length", self.min_length >= least,
                          f"1, or at least {least} for a serial divider to be in time")
            self._require("min_length", self.min_length <= self.max_length,
                          f"at most max_length, {self.max_length}")
        if self.reciprocal == "table":
            self._require("reciprocal", self.order == "lazy", "divider for the order weight")
            self._require("reciprocal", self.out_bits <= TABLE_BITS,
                          f"divider for more than {TABLE_BITS} output bits")

    @property
    def tabled(self):
        """Whether a block RAM has the reciprocals of the lazy order."""
        if self.reciprocal != "auto":
            return self.reciprocal == "table"
        return self.order == "lazy" and self.out_bits <= TABLE_BITS and self.min_length == 1

    @property
    def output_scale(self):
        """Real value of one output step, ``2 ** -out_bits``."""
        return 2.0 ** -self.out_bits

    # Exponentials --------------------------------------------------------------------------------

    @property
    def fraction_bits(self):
        """Fraction bits of an exponential."""
        return self.out_bits + self.guard_bits

    @functools.cached_property
    def exponent(self):
        """Tables of the exponentials."""
        return ExponentProduct(self.bits, self.input_scale, self.fraction_bits)

    @property
    def exponentials(self):
        """Exponential of each distance up to the last that is not 0."""
        return self.exponent.exponentials

    @property
    def sum_bits(self):
        """Width of the sum, which can not overflow: ``max_terms`` exponentials of at most 1."""
        return (self.max_terms << self.fraction_bits).bit_length()

    # Division ------------------------------------------------------------------------------------

    @property
    def reciprocal_bits(self):
        """Bits of a normalised sum below its leading one, and of its reciprocal (lazy order)."""
        return self.out_bits + 2

    @property
    def output_shift(self):
        """Right shift of the product of an exponential and a shifted reciprocal (lazy order)."""
        return self.reciprocal_bits + self.sum_bits - 1 - self.out_bits

    @property
    def row_interval(self):
        """Cycles that the unit needs from the end of one row to the end of the next."""
        return self.reciprocal_bits + 1 if self.min_length > 1 else 1

    def reciprocal_of(self, mantissa):
        """Reciprocal of ``1 + mantissa / 2**reciprocal_bits``, rounded down. Works on arrays."""
        return (1 << 2 * self.reciprocal_bits) // ((1 << self.reciprocal_bits) + mantissa)

    # Hardware ------------------------------------------------------------------------------------

    @property
    def method(self):
        """Exponentials; the sum, or its reciprocal; quotients, or products."""
        terms = ProductTerms(self.exponent)
        if self.order == "weight":
            return TwoPassMethod(terms, _Divisor(self), _Quotients(self))
        return TwoPassMethod(terms, _Reciprocal(self), _Products(self))


class _Divisor:
    """Stage: the sum of a row, to divide by."""

    latency = 0

    def __init__(self, config):
        self.config = config

    def __call__(self, m, row):
        # A sum is at least 1, but for a fully masked row, whose zeros must not be divided by 0.
        bits = self.config.fraction_bits
        whole = row.total[bits:]
        return Cat(row.total[:bits], whole[0] | ~whole.any(), whole[1:])


class _Reciprocal:
    """Stage: reciprocal of a row's sum, from a divider or a table; above it, the sum's place."""

    def __init__(self, config):
        self.config = config
        if config.tabled:
            cycles = BlockTable.latency
        elif config.min_length > 1:
            cycles = config.row_interval
        else:
            cycles = Divider.stages(config.reciprocal_bits, STEPS)
        self.latency = 1 + cycles

    def __call__(self, m, row):
        config = self.config
        bits = config.reciprocal_bits
        place, mantissa = (delays(m, value, 1, name)[-1] for value, name in zip(
            normalised(m, row.total, config.fraction_bits, bits), ("place", "mantissa"),
            strict=True))
        if config.tabled:
            words = [config.reciprocal_of(i) for i in range(1 << bits)]
            m.submodules.reciprocals = table = BlockTable(words, bits + 1, 1)
            m.d.comb += table.index[0].eq(mantissa)
            reciprocal, wait = table.o[0], table.latency
        else:
            if config.min_length > 1:
                divider = SerialDivider(bits + 1, bits)
                m.d.comb += divider.start.eq(row.end[1])
            else:
                divider = Divider(bits + 1, bits, steps=STEPS)
            m.submodules.divider = divider
            m.d.comb += [divider.n.eq(1 << bits), divider.d.eq(Cat(mantissa, Const(1, 1)))]
            reciprocal, wait = divider.o, divider.latency
        return Cat(reciprocal, delays(m, place, wait, "place_waiting")[-1])


class _Quotients:
    """Stage: exponentials over the sum, rounded half up."""

    def __init__(self, config):
        self.config = config
        self.latency = Divider.stages(config.out_bits + 1) + 1

    def __call__(self, m, codes, total):
        w = self.config.out_bits
        outputs = []
        for k, code in enumerate(codes):
            m.submodules[f"divider_{k}"] = divider = Divider(len(total), w + 1)
            m.d.comb += [divider.n.eq(code), divider.d.eq(total)]
            outputs.append(_saturated(m, round_shift(divider.o, 1), w, k))
        return outputs


class _Products:
    """Stage: exponentials times the reciprocal, rounded half up."""

    def __init__(self, config):
        self.config = config
        bits = config.reciprocal_bits
        #: Places that a reciprocal goes up at most.
        self._highest = config.sum_bits - 1 - config.fraction_bits
        self._ranges = (0, 1 << config.fraction_bits), (0, 1 << (bits + self._highest))
        self.latency = ChainedProduct.stages(*self._ranges) + 1

    def __call__(self, m, codes, result):
        config = self.config
        width = config.reciprocal_bits + 1
        factor = shift_right(m, Cat(Const(0, self._highest), result[:width]), result[width:])
        outputs = []
        for k, code in enumerate(codes):
            m.submodules[f"product_{k}"] = product = ChainedProduct(
                *self._ranges, addend=half(config.output_shift), dropped=config.output_shift)
            m.d.comb += [product.a.eq(code), product.b.eq(factor)]
            outputs.append(_saturated(m, product.o, config.out_bits, k))
        return outputs


def _saturated(m, value, bits, lane):
    """An output, registered, of at most ``2**bits - 1``."""
    output = Signal(bits, name=f"output_{lane}", reset_less=True)
    with m.If(value[bits:].any()):
        m.d.sync += output.eq((1 << bits) - 1)
    with m.Else():
        m.d.sync += output.eq(value[:bits])
    return output

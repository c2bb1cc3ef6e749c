"""Split softmax: exponentials as a product of two table words, and a true division.

Source: the exponent module of A3 (Ham et al., HPCA 2020), whose formats the preset ``paper`` takes.
The preset ``plus`` is the exact yardstick of the family: guard bits, and one division a row.

Notation: ``w`` output bits, ``f`` fraction bits of an exponential, ``S`` a row's sum.
"""

import dataclasses
import functools
from fractions import Fraction

from ..config import register
from ..parameter import Choice, Integer, parameter
from ..tables import exp_words
from .split_core import SplitDatapath, stages
from .two_pass import TwoPassConfig

__all__ = ["SplitSoftmaxConfig"]


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitSoftmaxConfig(TwoPassConfig):
    """Split softmax: product of two exponent tables, true division (exponents of A3, HPCA 2020).

    The distance ``d`` to the maximum is cut in its upper and its lower bits, each of which has a
    table of ``f + 3`` fraction bits: ``e = round(high[d >> l] * low[d & (2**l - 1)])``, with
    ``f = w + guard_bits`` fraction bits. A word of the table ``high`` is lowered a little where
    ``e`` would rise with ``d`` otherwise.

    With ``order="weight"`` (as published) every exponential is divided by the sum,
    ``y = round(e * 2**w / S)``. With ``order="lazy"`` the reciprocal ``R`` of the sum is divided
    out once a row, to ``w + 2`` bits and rounded down, and ``y = round(e * R)``. An output of 1
    becomes ``2**w - 1``, the largest there is.

    A ``min_length`` above 1 promises longer rows, and a serial divider takes the place of the
    pipelined one. A row of fewer beats than that takes cycles waits until the unit is empty.
    """

    UNIT = "softmax-split"
    PRESETS = {
        "paper": {},
        "plus": {"guard_bits": 2, "order": "lazy", "reciprocal": "table"},
    }

    _datapath = SplitDatapath

    guard_bits: int = parameter(0, Integer(0, 8), tag="g",
                                help="bits of an exponential beyond those of the output")
    order: str = parameter("weight", Choice(("weight", "lazy")), tag="or",
                           help="division of every exponential, or of 1 once a row")

    reciprocal: str = parameter(
        "divider", Choice(("divider", "table")), tag="re",
        help="what makes the reciprocals of the lazy order: a divider, or a block RAM of all")

    min_length: int = parameter(
        1, Integer(1, 4096), tag="ml",
        help="shortest row that is to pass without a wait; long ones let the divider of the lazy "
             "order be a serial one")

    def __post_init__(self):
        super().__post_init__()
        if self.min_length > 1:
            self._require("min_length", self.order == "lazy" and self.reciprocal == "divider",
                          "1 where no divider makes reciprocals")
            least = self.reciprocal_bits * self.lanes + 1
            self._require("min_length", self.min_length >= least,
                          f"1, or at least {least} for a serial divider to be in time")
            self._require("min_length", self.min_length <= self.max_length,
                          f"at most max_length, {self.max_length}")
        if self.reciprocal == "table":
            self._require("reciprocal", self.order == "lazy", "divider for the order weight")
            self._require("reciprocal", self.out_bits <= 12, "divider for more than 12 output bits")

    @property
    def output_scale(self):
        """Real value of one output step, ``2 ** -out_bits``."""
        return 2.0 ** -self.out_bits

    # Exponentials --------------------------------------------------------------------------------

    @property
    def fraction_bits(self):
        """Fraction bits of an exponential."""
        return self.out_bits + self.guard_bits

    @property
    def low_bits(self):
        """Lower bits of a distance, which index the table :attr:`low`."""
        return self.bits // 2

    @property
    def table_bits(self):
        """Fraction bits of the words of the tables."""
        return self.fraction_bits + 3

    @functools.cached_property
    def low(self):
        """Words of the table of the lower bits."""
        scale = Fraction(self.input_scale)
        return exp_words((i * scale for i in range(1 << self.low_bits)), 1 << self.table_bits)

    @functools.cached_property
    def high(self):
        """Words of the table of the upper bits."""
        scale = Fraction(self.input_scale) * (1 << self.low_bits)
        words = list(exp_words((i * scale for i in range(1 << (self.bits - self.low_bits))),
                               1 << self.table_bits))
        for i in range(1, len(words)):
            limit = self.product(words[i - 1], self.low[-1])
            if self.product(words[i], self.low[0]) > limit:
                # The largest word that is not rounded up any more.
                words[i] = ((2 * limit + 1) << (self.table_bits - self.fraction_bits - 1)) - 1
        return tuple(words)

    def product(self, high, low):
        """Exponential of two table words. Works on arrays."""
        shift = 2 * self.table_bits - self.fraction_bits
        return (high * low + (1 << (shift - 1))) >> shift

    @functools.cached_property
    def exponentials(self):
        """Exponential of each distance up to the last that is not 0."""
        words = [self.product(high, low) for high in self.high for low in self.low]
        while len(words) > 1 and not words[-1]:
            words.pop()
        return tuple(words)

    @property
    def sum_bits(self):
        """Width of the sum, which can not overflow: ``max_length`` exponentials of at most 1."""
        return (self.max_length << self.fraction_bits).bit_length()

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
    def stages(self):
        """Cycles that the method takes for its terms, its row result and its outputs."""
        return stages(self)

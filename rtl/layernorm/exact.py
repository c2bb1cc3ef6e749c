"""LayerNorm with exact integer statistics: what the approximate units are measured by."""

import dataclasses
import functools
import math
from fractions import Fraction

from ..config import register
from ..parameter import Integer, parameter
from ..tables import newton_words
from .config import LayerNormConfig
from .lengths import LENGTH_BITS

__all__ = ["ExactLayerNormConfig"]

# Fraction bits of Newton's step: of the mantissa, of the slope, of the offset.
MANTISSA_BITS = 15
SLOPE_BITS = 16
OFFSET_BITS = 20


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class ExactLayerNormConfig(LayerNormConfig):
    """Configuration of an exact LayerNorm unit.

    The sums ``E`` and ``Q`` of the elements and their squares are exact, and so is the variance
    ``(L * Q - E**2) / L**2``. The reciprocal of its root is a guess from a table of
    ``2**rsqrt_index_bits`` words and one step of Newton's. The mean is rounded to
    ``mean_fraction_bits``.
    """

    UNIT = "layernorm-exact"
    PRESETS = {
        "standard": {},
        "rms": {"rms": True},
    }

    mean_fraction_bits: int = parameter(5, Integer(0, 8), tag="mf",
                                        help="fraction bits of the mean")
    rsqrt_index_bits: int = parameter(7, Integer(2, 10), tag="ri",
                                      help="index of the guess's table")
    rsqrt_bits: int = parameter(12, Integer(4, 15), tag="rb",
                                help="fraction bits of the reciprocal root")

    # Newton's step ----------------------------------------------------------------------------

    @property
    def mantissa_bits(self):
        """Fraction bits of the mantissa ``m`` of the radicand, ``1 <= m < 4``."""
        return MANTISSA_BITS

    @property
    def slope_bits(self):
        """Fraction bits of the slope ``b`` of ``a - b * m``."""
        return SLOPE_BITS

    @property
    def offset_bits(self):
        """Fraction bits of the offset ``a`` of ``a - b * m``."""
        return OFFSET_BITS

    @property
    def top_square(self):
        """Largest square."""
        return max(abs(value) for value in self.value_range) ** 2

    def radicand(self, total, squares, negated_mean, length):
        """``W``, exact."""
        return squares if self.rms else length * squares - total * total

    def variance_weight(self, length):
        """``L``, squared but for RMSNorm."""
        return Fraction(length if self.rms else length ** 2)

    @property
    def largest_radicand(self):
        """All squares at their largest, and a mean of 0."""
        return max(self.channels * self.top_square * (1 if self.rms else self.channels), 1)

    @property
    def factor_bits(self):
        """24 bits and a sign are the wider operand of a DSP block."""
        return max(24, self.root_bits + 4)

    @property
    def normal_integer_bits(self):
        """Enough, as no element is further from the mean than ``sqrt(L)`` standard deviations.

        What the mean is rounded by is on top, and counts most where ``r`` is at its largest.
        """
        rounded = 0
        if not self.rms:
            mean = max(map(abs, self.value_range))
            error = Fraction(1, 2 << self.mean_bits) + Fraction(mean, 1 << LENGTH_BITS)
            rounded = error * Fraction(2) ** (1 + self.top_exponent - self.base_exponent)
        bound = math.isqrt(self.channels) + 2 + math.ceil(rounded)
        return min(super().normal_integer_bits, bound.bit_length() + 1)

    @functools.cached_property
    def rsqrt(self):
        """``(offset, slope)`` of Newton's step for every index."""
        scale = 1 if self.variable else self.scales[self.channels].root
        return newton_words(self.rsqrt_index_bits, OFFSET_BITS, SLOPE_BITS, scale)

    # Hardware ----------------------------------------------------------------------------------

    @functools.cached_property
    def schedule(self):
        """Pipeline stages of the hardware."""
        from .exact_core import schedule
        return schedule(self)

    def create(self):
        """Create the unit's hardware."""
        from .exact_core import ExactLayerNorm
        return ExactLayerNorm(self)

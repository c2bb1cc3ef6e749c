"""AILayerNorm: LayerNorm whose statistics take neither multiplier nor wide squares.

Source: SOLE (Wang et al., ICCAD 2023), section on AILayerNorm, on inputs quantised with
power-of-two factors (FQ-ViT). The square of an element is that of a code of four bits, from a table
of 16 words; the mean of the squares is what that leaves inexact.
"""

import dataclasses
import functools
from fractions import Fraction

from ..config import register
from ..parameter import Choice, Integer, parameter
from ..tables import rsqrt_words
from .config import LayerNormConfig

__all__ = ["AILayerNormConfig"]

# Octaves below the largest standard deviation in which the reciprocal is told apart. With the
# table's 8 bits it is of 17 bits then, and with a sign the narrower operand of a DSP block.
OCTAVES = 8


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class AILayerNormConfig(LayerNormConfig):
    """Configuration of an AILayerNorm unit.

    The magnitude ``a = abs(raw - zero_point)`` is compressed to ``code_bits`` bits and a flag: to
    ``round(a >> high_shift)`` if it is at least ``threshold``, to ``round(a >> low_shift)`` if not,
    at most the largest code. Its square counts ``code**2 << 2 * (shift + alpha)``. With
    ``E = sum(x)`` and ``Q`` the sum of these squares, ``mu = E / L`` (rounded), the variance is
    ``(Q - E * mu) / L``, and ``r`` comes from a table of ``2**rsqrt_index_bits`` words, indexed by
    the parity of the place of the variance's leading one and the bits below it.
    """

    UNIT = "layernorm-ai"
    PRESETS = {
        "paper": {},
        "rms": {"rms": True},
    }

    bits: int = parameter(8, Integer(2, 10), tag="b", help="width of an element")
    code_bits: int = parameter(4, Integer(2, 6), tag="k", help="width of a compressed magnitude")
    threshold: int = parameter(64, Integer(1, 1023), tag="t",
                               help="magnitude from which on high_shift holds")
    low_shift: int = parameter(2, Integer(0, 8), tag="ls", help="shift of magnitudes below")
    high_shift: int = parameter(4, Integer(0, 8), tag="hs", help="shift of magnitudes from there")
    compression: str = parameter("half-even", Choice(("half-even", "half-up", "truncate")), tag="r",
                                 help="rounding of a magnitude to its code")
    rsqrt_index_bits: int = parameter(6, Integer(2, 10), tag="ri",
                                      help="index of the reciprocal root's table")
    rsqrt_bits: int = parameter(8, Integer(4, 12), tag="rb",
                                help="fraction bits of the reciprocal root")

    def _check_fractions(self):
        self._require("high_shift", self.high_shift >= self.low_shift,
                      f"at least low_shift, which is {self.low_shift}")
        self._require("low_shift", self.top_square > 0, "small enough for a code above 0")
        super()._check_fractions()

    # Squares -----------------------------------------------------------------------------------

    def compressed(self, raw):
        """Code and flag of one element as it comes, as ``(code, flag)``."""
        magnitude = abs(raw - self.zero_point)
        flag = int(magnitude >= self.threshold)
        shift = self.high_shift if flag else self.low_shift
        code = magnitude >> shift
        rest, half = magnitude - (code << shift), (1 << shift) >> 1
        if shift and self.compression != "truncate":
            code += rest > half or rest == half and (self.compression == "half-up" or code & 1)
        return min(int(code), (1 << self.code_bits) - 1), flag

    @functools.cached_property
    def codes(self):
        """``(code, flag)`` of every element, from the least raw one to the largest."""
        low, high = self.raw_range
        return tuple(self.compressed(raw) for raw in range(low, high + 1))

    @property
    def flag_shift(self):
        """What the flag shifts a code by."""
        return self.high_shift - self.low_shift

    @functools.cached_property
    def top_square(self):
        """Largest square, in units of ``4**low_shift``."""
        return max((code << self.flag_shift * flag) ** 2 for code, flag in self.codes) \
            << 2 * self.top_alpha

    # Statistics --------------------------------------------------------------------------------

    @property
    def square_shift(self):
        """Weight of a sum of squares in the radicand, as a shift."""
        return 0 if self.rms else 2 * self.low_shift + self.mean_bits

    def radicand(self, total, squares, negated_mean, length):
        """``W``: with the fraction of the mean, and less ``E`` times the mean."""
        if self.rms:
            return squares
        return (squares << self.square_shift) + total * negated_mean

    def variance_weight(self, length):
        """``L``, in the unit of the radicand."""
        if self.rms:
            return Fraction(length, 4 ** self.low_shift)
        return Fraction(length << self.mean_bits)

    @property
    def largest_radicand(self):
        """All squares at their largest, and a mean of 0."""
        return max(self.channels * self.top_square << self.square_shift, 1)

    @property
    def lowest_radicand(self):
        """No squares left by the table, and the sum at its largest."""
        if self.rms:
            return 0
        most = max(abs(value) for value in self.value_range)
        return -self.channels * most * ((most << self.mean_bits) + 1)

    # Reciprocal square root --------------------------------------------------------------------

    @property
    def factor_bits(self):
        """Enough for eight octaves: below, the codes of the elements are too coarse anyhow."""
        return self.root_bits + 1 + OCTAVES

    @functools.cached_property
    def rsqrt(self):
        """Words of ``R``; for rows of variable length without the root of the length."""
        scale = 1 if self.variable else self.scales[self.channels].root
        return rsqrt_words(self.rsqrt_index_bits, self.rsqrt_bits, scale)

    # Hardware ----------------------------------------------------------------------------------

    @functools.cached_property
    def schedule(self):
        """Pipeline stages of the hardware."""
        from .ai_core import schedule
        return schedule(self)

    def create(self):
        """Create the unit's hardware."""
        from .ai_core import AILayerNorm
        return AILayerNorm(self)

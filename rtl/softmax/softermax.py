"""Softermax: base-2 online softmax with an integer maximum.

Source: Stevens et al., DAC 2021; widths of its Table I in the preset ``paper``, wider ones in
``plus``. The number of segments of the reciprocal is not published; four are taken here.

Notation: ``p`` position, a logit on the axis of octaves; ``u`` unnormalised exponential; ``S`` sum.
"""

import dataclasses
import functools
import math
from fractions import Fraction

from ..config import register
from ..fixed import half_up
from ..parameter import Choice, Integer, parameter
from ..tables import exp2_words, ln2, quotient_word
from .config import SoftmaxConfig, partial_sums, pipeline
from .grid import FractionAxis
from .softermax_core import SoftermaxDatapath

__all__ = ["SoftermaxConfig"]


# Significant bits of the factor from logits to positions.
FACTOR_BITS = 12


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class SoftermaxConfig(SoftmaxConfig):
    """Softermax: base 2, online, with an integer maximum (Stevens et al., DAC 2021).

    A logit becomes a position, ``p = round(x * input_scale / ln 2 * 2**f)`` with ``f`` fraction
    bits, so that powers of two stand in for powers of e. The running maximum ``m`` is rounded up to
    an integer; ``u = 2**frac(p) >> (m - floor(p))``, truncated to ``exp_fraction_bits``, and
    ``S = (S >> rise of m) + sum(u)``, each beat's sum truncated to ``sum_fraction_bits``. The
    output is ``round((u >> late) * R / 2**place)``, with the rise of the maximum after the beat,
    and the reciprocal ``R`` of the sum, normalised to 1..2: linear in each of
    ``reciprocal_segments`` segments, rounded to ``reciprocal_fraction_bits``. An output above 1,
    which truncated sums can lead to, becomes 1.
    """

    UNIT = "softmax-softermax"
    PRESETS = {
        "paper": {},
        "plus": {"position_fraction_bits": 4, "sum_fraction_bits": 15,
                 "reciprocal_fraction_bits": 12, "reciprocal_segments": 16},
    }

    _datapath = SoftermaxDatapath

    position_fraction_bits: int = parameter(2, Integer(0, 6), tag="pf",
                                            help="fraction bits of a position")
    exp_fraction_bits: int = parameter(15, Integer(6, 20), tag="ef",
                                       help="fraction bits of an unnormalised exponential")
    sum_fraction_bits: int = parameter(6, Integer(2, 20), tag="sf",
                                       help="fraction bits of the sum")
    reciprocal_fraction_bits: int = parameter(7, Integer(4, 16), tag="rf",
                                              help="fraction bits of the reciprocal")
    reciprocal_segments: int = parameter(4, Choice((2, 4, 8, 16)), tag="rs",
                                         help="segments of the reciprocal")
    partial_sums: int = partial_sums()
    pipeline: str = pipeline()

    def __post_init__(self):
        super().__post_init__()
        self._require("sum_fraction_bits", self.sum_fraction_bits <= self.exp_fraction_bits,
                      f"at most exp_fraction_bits, {self.exp_fraction_bits}")
        # A step of more octaves would need positions wider than any real logit.
        self._require("input_scale", self.input_scale <= 16.0, "at most 16")

    @property
    def output_scale(self):
        """Real value of one output step, ``2 ** -(out_bits - 1)``: 1.0 is an output."""
        return 2.0 ** -(self.out_bits - 1)

    # Positions -----------------------------------------------------------------------------------

    @functools.cached_property
    def position_factors(self):
        """``(multiplier, shift)`` from logits to positions: twelve significant bits."""
        ratio = Fraction(self.input_scale) / ln2() * (1 << self.position_fraction_bits)
        shift = FACTOR_BITS - 1 - math.floor(math.log2(ratio))
        multiplier = half_up(ratio * Fraction(2) ** shift)
        zeros = (multiplier & -multiplier).bit_length() - 1
        multiplier, shift = multiplier >> zeros, shift - zeros
        if shift < 0:
            multiplier, shift = multiplier << -shift, 0
        # Far beyond the width of a logit, all positions are 0.
        return (multiplier, shift) if shift < 40 else (0, 0)

    @functools.cached_property
    def axis(self):
        """Axis on which maxima and distances are taken."""
        return FractionAxis(self.bits, self.position_factors,
                            fraction_bits=self.position_fraction_bits)

    # Exponentials --------------------------------------------------------------------------------

    @functools.cached_property
    def fractions(self):
        """Powers ``2 ** (i / 2**f)`` of all fractions, with ``exp_fraction_bits`` fraction bits."""
        count = 1 << self.position_fraction_bits
        exponents = (Fraction(-i, count) for i in range(count))
        return exp2_words(exponents, 1 << self.exp_fraction_bits)

    @functools.cached_property
    def exponentials(self):
        """Exponential of each distance to the integer maximum; 0 for every larger distance."""
        count = 1 << self.position_fraction_bits
        octaves = self.exp_fraction_bits + 1
        return tuple(self.fractions[-d % count] >> -(-d // count) for d in range(octaves * count))

    @property
    def sum_bits(self):
        """Width of the sum, which can not overflow: ``max_length`` exponentials of at most 1."""
        return (self.max_length << self.sum_fraction_bits).bit_length()

    # Reciprocal ----------------------------------------------------------------------------------

    @property
    def smallest_place(self):
        """Place of the leading one in the smallest sum of a row that is not fully masked: 1/2."""
        return self.sum_fraction_bits - 1

    @property
    def mantissa_bits(self):
        """Bits of the sum below its leading one that the reciprocal looks at."""
        return min(self.sum_bits - 1, self.reciprocal_fraction_bits + 1)

    @functools.cached_property
    def segment_ends(self):
        """Reciprocals at the ends of the segments, with two bits more than the result."""
        one = 1 << (self.reciprocal_fraction_bits + 2)
        count = self.reciprocal_segments
        return tuple(quotient_word(one * count, count + j) for j in range(count + 1))

    def reciprocal(self, mantissa):
        """Reciprocal of ``1 + mantissa / 2**mantissa_bits``, an integer."""
        bits = self.mantissa_bits
        segment, rest = divmod(mantissa * self.reciprocal_segments, 1 << bits)
        high, low = self.segment_ends[segment:segment + 2]
        return ((high << bits) - (high - low) * rest + (2 << bits)) >> (bits + 2)

    @functools.cached_property
    def reciprocals(self):
        """Reciprocals of all mantissas."""
        return tuple(self.reciprocal(i) for i in range(1 << self.mantissa_bits))

    @property
    def factor_shift(self):
        """Largest left shift of a reciprocal, which makes up for the place of the sum."""
        return self.sum_bits - 1 - self.smallest_place

    @property
    def output_shift(self):
        """Right shift of the product of an exponential and a shifted reciprocal."""
        return (self.exp_fraction_bits + self.reciprocal_fraction_bits + self.factor_shift
                - 1 - (self.out_bits - 1))

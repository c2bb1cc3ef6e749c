"""Grids on which maxima and distances are taken: positions of logits, references above them.

``bits`` is the width of a logit, ``input_scale`` its real value of one step.
"""

import dataclasses
import functools
import math
from fractions import Fraction

from ..fixed import half_up, round_shift, signed_range
from ..tables import ln2

__all__ = ["FractionGrid", "InputGrid", "OctaveGrid"]


@dataclasses.dataclass(frozen=True)
class OctaveGrid:
    """The reference is the maximum itself.

    Positions are logits in offset binary, or ``round(logit * multiplier / 2**shift)``.
    """

    bits: int
    #: ``(multiplier, shift)`` from logit steps to positions.
    factors: tuple
    #: Rounding of a position, "round" (half up) or "truncate".
    rounding: str = "round"
    #: Low bits of a position that the maximum ignores.
    bucket_shift = 0

    @functools.cached_property
    def origin(self):
        """What the least logit comes to, before positions are made unsigned."""
        multiplier, shift = self.factors
        return round_shift(signed_range(self.bits)[0] * multiplier, shift, self.rounding)

    def position(self, x):
        """Position of a logit, non-negative. Works on arrays."""
        multiplier, shift = self.factors
        return round_shift(x * multiplier, shift, self.rounding) - self.origin

    @functools.cached_property
    def position_bits(self):
        """Width of a position."""
        return max(self.position(signed_range(self.bits)[1]).bit_length(), 1)

    @property
    def bucket_bits(self):
        """Width of what the maximum is taken of."""
        return self.position_bits - self.bucket_shift

    def octave(self, bucket):
        """What references that rise by it are apart. Works on arrays."""
        return bucket

    def reference(self, bucket):
        """Position of the reference that a maximum's bucket stands for. Works on arrays."""
        return bucket

    @functools.cached_property
    def octave_bits(self):
        """Width of an octave."""
        return self.octave((1 << self.bucket_bits) - 1).bit_length()

    @functools.cached_property
    def reference_bits(self):
        """Width of a reference."""
        return self.reference((1 << self.bucket_bits) - 1).bit_length()

    @functools.cached_property
    def gap(self):
        """Bound of the distance from a maximum to its reference."""
        buckets = range(min(1 << self.bucket_bits, 4096))
        # One more than was seen, for the buckets that were not tried.
        return max(self.reference(b) - (b << self.bucket_shift) for b in buckets) + 1


@dataclasses.dataclass(frozen=True)
class FractionGrid(OctaveGrid):
    """Positions count octaves, with fraction bits; references are maxima, rounded up to octaves."""

    #: Fraction bits of a position.
    fraction_bits: int = 0

    @functools.cached_property
    def origin(self):
        """Position of the least logit, rounded down to an octave."""
        return super().origin >> self.fraction_bits << self.fraction_bits

    @functools.cached_property
    def position_bits(self):
        """Width of a position."""
        return max(super().position_bits, self.fraction_bits + 1)

    def octave(self, bucket):
        """A position rounded up to an octave. Works on arrays."""
        return (bucket + ((1 << self.fraction_bits) - 1)) >> self.fraction_bits

    def reference(self, bucket):
        """Position of the reference for a maximum. Works on arrays."""
        return self.octave(bucket) << self.fraction_bits

    @functools.cached_property
    def octave_bits(self):
        """Width of an octave."""
        return max(super().octave_bits, 1)


@dataclasses.dataclass(frozen=True)
class InputGrid(OctaveGrid):
    """References lie on whole octaves (factors of two), at or above the maximum.

    A position counts steps of the input, doubled or halved until an octave holds about
    ``2**fraction_bits`` of them. A rise of the reference is a whole number of octaves, so what is
    relative to it is corrected by an exact shift; the position of a reference is rounded.
    """

    #: Real value of one logit step.
    input_scale: float = 1.0
    #: Log2 of the positions per octave, to the nearest.
    fraction_bits: int = 0

    @classmethod
    def of(cls, bits, input_scale, fraction_bits, rounding="round"):
        """Grid for logits of ``bits`` bits worth ``input_scale``."""
        shift = round(fraction_bits - math.log2(ln2() / Fraction(input_scale)))
        return cls(bits, (1 << max(shift, 0), max(-shift, 0)), rounding, input_scale,
                   fraction_bits)

    @functools.cached_property
    def per_octave(self):
        """Positions per octave, as a fraction."""
        multiplier, shift = self.factors
        return ln2() / Fraction(self.input_scale) * multiplier / (1 << shift)

    @functools.cached_property
    def bucket_shift(self):
        """Low bits of a position that the maximum ignores: only its octave is needed."""
        return min(max(0, math.floor(math.log2(self.per_octave))), self.position_bits - 1)

    @functools.cached_property
    def octave_factors(self):
        """``(A, p, G, q)``: octave of a position, ``(position * A >> p) + 1``, and position of an
        octave, ``(octave * G + 2**(q - 1)) >> q``."""
        p = self.position_bits + 6
        octaves = Fraction(2) ** p / self.per_octave
        q = self.position_bits + 4
        positions = self.per_octave * Fraction(2) ** q
        return math.ceil(octaves), p, half_up(positions), q

    def octave(self, bucket):
        """Octave, on the grid of references, at or above every position in a bucket."""
        a, p, _, _ = self.octave_factors
        top = (bucket << self.bucket_shift) + ((1 << self.bucket_shift) - 1)
        return (top * a >> p) + 1

    def reference(self, bucket):
        """Position of the reference that a maximum's bucket stands for. Works on arrays."""
        _, _, g, q = self.octave_factors
        return round_shift(self.octave(bucket) * g, q)

"""Numbers of the one-pass datapath: grid of the references, terms, ranges, and the row's scale.

Notation: ``x`` logit, ``v`` element of a value, ``d`` distance to the reference in positions, ``g``
positions per octave (factor of two), ``t`` term, ``S`` sum of the terms, ``A`` weighted sum.
"""

import dataclasses
import functools
import math
from fractions import Fraction

from ...fixed import Requantiser, round_shift, signed_range, signed_width
from ...softmax.grid import InputGrid
from ...tables import exp2_words, reciprocal_words

__all__ = ["PLACED_BITS", "OnlineNumbers", "RowScale"]

# ``2**(f - 5)`` is at most an eighth of the least sum of a row, which is above ``0.25 * 2**f``.
CUT = 5
# Octaves between two moves of the sums, and blocks that a sum moves at most, by the most fraction
# bits of a term: what a rise beyond drops is further below the reference than the least term.
BLOCKS = {12: (4, 3), 16: (8, 2)}
# Width of a factor at its place: two of the narrow ports of a DSP block, less their signs.
PLACED_BITS = 34
# Bits of it above that of the ratio that makes a value's range an output's.
RATIO_BITS = 7


@dataclasses.dataclass(frozen=True)
class RowScale:
    """Scale ``T = multiplier / 2**shift`` of a row's outputs, and what a row's sum makes of it.

    With ``S = 2**p (1 + m)``, the word ``w`` of the ten bits of ``m`` below the leading one is
    ``2**17 / (1 + m)`` (mean over the interval that these bits leave, 17 bits)::

        F = round(multiplier * w / 2**16)                 17 bits, once a row
        T / S = F / 2**(shift + 1 + p)

    The relative error of ``F`` is at most ``2**-11 + 2**-16``.

    A scale at run time has any multiplier of 16 bits and a shift of 6; one whose top bit is not
    set leaves the factor as many bits less.

    Attributes
    ----------
    multiplier : int
        16 bits, its top bit set.
    shift : int
        May be negative.
    bits : int
        Width of the result, signed, which saturates.
    """

    #: Bits of a sum below its leading one that are looked at.
    MANTISSA_BITS = 10
    #: Width of a reciprocal and of a factor.
    FACTOR_BITS = 17
    #: Width of the multiplier.
    MULTIPLIER_BITS = 16

    multiplier: int
    shift: int
    bits: int

    @classmethod
    def of(cls, requantiser: Requantiser):
        """Return the scale whose ``T`` is the ratio of a requantiser, its leading one on top."""
        whole = requantiser.normalised
        return cls(whole.multiplier, whole.shift, whole.bits)

    @property
    def ratio(self):
        """``T`` as a fraction."""
        return self.multiplier * Fraction(2) ** -self.shift

    @functools.cached_property
    def reciprocals(self):
        """Word of each mantissa."""
        return reciprocal_words(1 << self.MANTISSA_BITS, self.FACTOR_BITS)

    def factor(self, word):
        """Factor of a row whose sum has the reciprocal ``word``. Works on arrays."""
        return round_shift(word * self.multiplier, self.MULTIPLIER_BITS)


@dataclasses.dataclass(frozen=True)
class OnlineNumbers:
    """Terms and sums of a row, relative to a reference on whole octaves.

    The reference is that of the codes of softmax-e2 (:class:`~rtl.softmax.grid.InputGrid`): the
    octave above the bucket of the largest logit so far. Sums stand relative to the least octave of
    its block of ``B`` (:attr:`block`). With ``o`` the octave of the reference within its block, and
    ``r`` the blocks by which a beat raises it::

        S   = move_0(S, r)   + sum_k t(d_k)      2**(G + o)
        A_j = move_c(A_j, r) + sum_k t(d_k) v_kj 2**(G + o)
        t(0) = 2**f - 1,   t(d) = round(2**f 2**(-d / g)),   0 from d >= (f + 1) g
        move_c(x, 0) = x,   move_c(x, r) = (x >> (B r + c)) << c,   0 from r > R

    Shifts truncate towards minus infinity. ``c`` is :attr:`cut`, ``f - 5``: a move takes no more
    than an eighth of a value's step from ``A / S``, and so does reading. Up to 12 fraction bits
    ``B = 4`` and ``R = 3``, above ``B = 8`` and ``R = 2``: keys before a rise by more blocks are at
    least 13, or 17, octaves below the reference, where later ones have the term 0 as well. A key
    that takes no part has the position 0 and the term 0.

    The outputs are ``y_j = saturate(round((A_j >> c << c) T / S))``, with ``T / S`` in fixed point,
    ``F`` as of :class:`RowScale` and ``p`` the place of the leading one of ``S``::

        P = min(floor(F 2**(L + c - e)), 2**34 - 1),   e = shift + 1 + p
        y_j = saturate(floor((A_j >> c) P / 2**L + 1/2));   0 for S = 0

    ``L`` is :attr:`point`: as many bits as leave room for ``T < 2**(out_bits - value_bits + 7)``,
    from which on a 128th of the values' range has outputs that saturate. What ``P`` cuts off is at
    most ``2**-12`` of the outputs' range, for sums below ``2**15`` times the least one.

    Attributes
    ----------
    bits : int
        Width of a logit, signed.
    input_scale : float
        Real value of one logit step.
    octave_bits : int
        Log2 of ``g``, to the nearest.
    fraction_bits, guard_bits : int
        ``f`` and ``G``.
    value_bits : int
        Width of ``v``, signed.
    lanes, max_keys : int
        Keys of a beat and of a row.
    scale : RowScale
        From sums to outputs.
    run_time : bool
        Multiplier and shift of the scale come with each set; the scale's own stand for none.
    sink : bool
        A row may have a sink ``s`` in its first beat: it enters the reference, and ``t(d_s) 2**G``
        enters ``S`` alone.
    """

    bits: int
    input_scale: float
    octave_bits: int
    fraction_bits: int
    guard_bits: int
    value_bits: int
    lanes: int
    max_keys: int
    scale: RowScale
    run_time: bool = False
    sink: bool = False

    @property
    def block(self):
        """Octaves of a block, a power of two."""
        return self._blocks[0]

    @property
    def reach(self):
        """Blocks that a sum moves at most."""
        return self._blocks[1]

    @property
    def _blocks(self):
        return next(blocks for bits, blocks in BLOCKS.items() if self.fraction_bits <= bits)

    @functools.cached_property
    def grid(self):
        """Grid of positions and references."""
        return InputGrid.of(self.bits, self.input_scale, self.octave_bits)

    @property
    def summands(self):
        """Logits of a beat that enter maximum and sum, a sink among them."""
        return self.lanes + self.sink

    @functools.cached_property
    def terms(self):
        """Term of each distance; 0 for larger ones."""
        g, f = self.grid.per_octave, self.fraction_bits
        count = math.ceil((f + 1) * g)
        words = exp2_words((d / g for d in range(1, count)), 1 << f)
        return (self.largest_term, *words)

    @property
    def largest_term(self):
        """Term of the distance 0."""
        return (1 << self.fraction_bits) - 1

    @property
    def largest_sum(self):
        """Largest sum of the terms of a row at the least octave of a block, guard bits included."""
        return ((self.max_keys + self.sink) * self.largest_term) << self.guard_bits

    @functools.cached_property
    def least_sum(self):
        """Least sum of a row with a key: its largest logit is within an octave's reach."""
        term = self.terms[min(self.grid.gap, len(self.terms) - 1)]
        return max(term, 1) << self.guard_bits

    @property
    def places(self):
        """Least and largest place of the leading one of the sum of a row with a key."""
        return self.least_sum.bit_length() - 1, self.largest_sum.bit_length() - 1

    @property
    def sum_range(self):
        """Least and largest weighted sum with a reference at the least octave of its block.

        Truncation adds nothing: it follows a division by ``2**block``.
        """
        low, high = signed_range(self.value_bits)
        most = (self.max_keys * self.largest_term) << self.guard_bits
        return most * low, most * high

    @property
    def cut(self):
        """Low bits of a weighted sum that moves and reading take from it."""
        return self.fraction_bits - CUT

    # Scale of a row ----------------------------------------------------------------------------

    @property
    def point(self):
        """Fraction bits ``L`` of a factor at its place, less ``c``."""
        least = self.places[0] - self.cut
        return max(PLACED_BITS - RATIO_BITS + least + self.value_bits - self.scale.bits,
                   RowScale.FACTOR_BITS + 1)

    @property
    def most_ratio(self):
        """Ratios ``T`` below this one never make a factor saturate."""
        # The places above the point: those of ``T``, less those of the least sum.
        return Fraction(2) ** min(RATIO_BITS + self.scale.bits - self.value_bits,
                                  PLACED_BITS - RowScale.FACTOR_BITS - 1 + CUT - 2)

    @property
    def down_of_place(self):
        """What :meth:`down` adds to the shift of a scale and the place of a leading one."""
        return RowScale.FACTOR_BITS + 1 - self.cut - self.point

    def down(self, shift, place):
        """Places that the factor goes down from the top of its 34 bits; saturates if negative.

        For a scale's ``shift`` and the ``place`` of the leading one of ``S``. Works on arrays.
        """
        return shift + place + self.down_of_place

    # Hardware ----------------------------------------------------------------------------------

    @functools.cached_property
    def largest_octave(self):
        """Octave of the highest reference."""
        return self.grid.octave((1 << self.grid.bucket_bits) - 1)

    @property
    def term_bits(self):
        """Width of a term that is shifted to the octave of its reference."""
        return self.fraction_bits + self.block - 1

    @property
    def held_sum(self):
        """Largest sum as it is held."""
        return self.largest_sum << (self.block - 1)

    @property
    def held_range(self):
        """Least and largest weighted sum as it is held."""
        return tuple(bound << (self.block - 1) for bound in self.sum_range)

    @property
    def held_width(self):
        """Width of a weighted sum as it is held, signed."""
        return signed_width(*self.held_range)

    @property
    def read_range(self):
        """Least and largest of what is read of a weighted sum, its low bits cut off."""
        return tuple(bound >> self.cut for bound in self.held_range)

    @property
    def read_width(self):
        """Width of that, signed."""
        return signed_width(*self.read_range)

"""REXP: softmax by reciprocal exponentiation, from two one-dimensional tables and a multiplier.

Source: Vasyltsov & Chang, arXiv 2111.10770. The preset ``paper`` follows it; the preset ``plus``
keeps its structure (two tables, a multiplication) and repairs what they are indexed by.

Notation: ``w`` output bits, ``M = 2**w - 1`` (an output of 1), ``U`` the exponent table's word for
1, ``S`` a row's sum.
"""

import dataclasses
import functools
from fractions import Fraction

from ..config import register
from ..parameter import Choice, Integer, Words, parameter
from ..tables import quotient_word
from .exponent_table import ExponentTableConfig
from .rexp_core import FinalRexp, RunningRexp, stages

__all__ = ["RexpSoftmaxConfig"]


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class RexpSoftmaxConfig(ExponentTableConfig):
    """REXP softmax: two tables and a multiplication (Vasyltsov & Chang, arXiv 2111.10770).

    ``s = exponentials[index(max - x)]``, ``S = sum(s)``, ``y = s * alpha``, with ``alpha`` a table
    of reciprocals indexed by ``S``.

    With a linear index (as published) alpha is ``min(round(M * 2**f / j), M)`` for the index
    ``j = S >> (w - f)``, truncated or rounded, at least ``2**f`` and at most the last of
    ``alpha_entries``. The product is divided by ``M`` and rounded half up (``scaling="exact"``), or
    cut to its upper ``w`` bits (``"cheap"``). A row whose sum lies beyond the table is not
    normalised: its outputs sum up to more than 1.

    With a floating index alpha is ``2**K * M / S`` for the middle of all sums that look alike,
    ``K = w + sum_mantissa_bits + 3``, and ``y = round(s * alpha / 2**K)``.

    No output is above 1, and a larger logit never has a smaller output.
    """

    UNIT = "softmax-rexp"
    PRESETS = {
        "paper": {},
        "plus": {"exp_step": 0.03125, "exp_index": "round", "exp_guard_bits": 1,
                 "sum_index": "floating", "sum_mantissa_bits": 4, "alpha_entries": 0},
        "online": {"reference": "running", "code_fraction_bits": 2, "exp_index": "round",
                   "exp_guard_bits": 1, "sum_index": "floating", "sum_mantissa_bits": 4,
                   "alpha_entries": 0},
    }

    exp_guard_bits: int = parameter(
        0, Integer(0, 4), tag="eg",
        help="floating index: bits of the exponent table beyond those of the output")
    alpha_entries: int = parameter(
        16, Integer(0, 4096), tag="an",
        help="entries of the table of reciprocals; 0: as many as the longest row needs")
    alpha_words: tuple = parameter((), Words(), tag="aw",
                                   help="contents of the table of reciprocals; computed if empty")
    scaling: str = parameter("exact", Choice(("exact", "cheap")), tag="sc",
                             help="scaling of the product: exact, or its upper bits (linear index)")
    multiplier: str = parameter("dsp", Choice(("dsp", "lut")), tag="mu",
                                help="what multiplies: DSP blocks, or LUTs")

    def __post_init__(self):
        super().__post_init__()
        if self.sum_index == "linear":
            self._require("exp_guard_bits", self.exp_guard_bits == 0, "0 for a linear index")
            least = (1 << self.sum_fraction_bits) + 1
            self._require("alpha_entries", self.alpha_entries == 0 or self.alpha_entries >= least,
                          f"0 or at least {least} for {self.sum_fraction_bits} fraction bits")
            self._require("alpha_entries", self.alpha_count <= 4096,
                          f"1..4096, where the longest row needs {self.alpha_count}")
        else:
            self._require("alpha_entries", self.alpha_entries == 0, "0 for a floating index")
            self._require("scaling", self.scaling == "exact", "exact for a floating index")
        if self.alpha_words:
            self._require("alpha_words", len(self.alpha_words) == self.alpha_count,
                          f"a list of {self.alpha_count} words")
            self._require("alpha_words", max(self.alpha_words) <= self.alpha_unit,
                          f"a list of words of at most {self.alpha_unit}")

    @property
    def unit(self):
        """Word of the exponent table that stands for 1."""
        return (1 << self.out_bits + self.exp_guard_bits) - 1

    # Table of reciprocals ------------------------------------------------------------------------

    @functools.cached_property
    def alpha_count(self):
        """Entries of the table of reciprocals."""
        if self.sum_index == "floating":
            return self.floating_entries
        return self.alpha_entries or (self.linear_index(self.max_length * self.unit) + 1)

    def linear_index(self, total):
        """Linear index of a sum, before it is bounded. Works on arrays."""
        shift = self.out_bits - self.sum_fraction_bits
        half = 1 << shift >> 1 if self.sum_rounding == "round" else 0
        return (total + half) >> shift

    def linear_number(self, total):
        """Number of the reciprocal for a sum (linear index). Works on arrays."""
        return self.linear_index(total).clip(1 << self.sum_fraction_bits, self.alpha_count - 1)

    @property
    def alpha_shift(self):
        """Fraction bits ``K`` of alpha (floating index)."""
        return self.out_bits + self.sum_mantissa_bits + 3

    @property
    def alpha_unit(self):
        """Largest word of the table of reciprocals: no product passes 1."""
        if self.sum_index == "linear":
            return (1 << self.out_bits) - 1
        half = 1 << self.alpha_shift >> 1
        return (((1 << self.out_bits) << self.alpha_shift) - half - 1) // self.unit

    @functools.cached_property
    def alphas(self):
        """Words of the table of reciprocals."""
        if self.alpha_words:
            return self.alpha_words
        if self.sum_index == "linear":
            one = 1 << self.sum_fraction_bits
            return tuple(quotient_word(self.alpha_unit * one, max(j, one))
                         for j in range(self.alpha_count))
        scaled = ((1 << self.out_bits) - 1) << self.alpha_shift
        ranges = [self.sum_range(j) for j in range(self.alpha_count)]
        return tuple(min(quotient_word(scaled, Fraction(sum(ends), 2)), self._alpha_limit(ends[1]))
                     for ends in ranges)

    def _alpha_limit(self, end):
        """Largest alpha for sums below ``end``: no exponential is larger than its row's sum."""
        if not self.running:
            return self.alpha_unit
        largest = max(word for word in self.exponentials if word < end)
        half = 1 << self.alpha_shift >> 1
        return (((1 << self.out_bits) << self.alpha_shift) - half - 1) // max(largest, 1)

    # Hardware ------------------------------------------------------------------------------------

    @property
    def stages(self):
        """Cycles that the method takes for its terms, its row result and its outputs."""
        return stages(self)

    @property
    def _datapath(self):
        return RunningRexp if self.running else FinalRexp

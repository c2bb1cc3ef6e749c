"""2D LUT: softmax from an exponent table and a two-dimensional table, without a multiplication.

Source: Vasyltsov & Chang, arXiv 2111.10770. The preset ``paper`` follows it; the preset ``plus``
keeps its structure (two tables, no multiplier, no divider) and repairs what they are indexed by::

    e_i = exponentials[index(max(x) - x_i)]      S = sum_i e_i
    y_i = sigma[row(e_i)][column(S)],            sigma[r][c] = min(round(M * e(r) / S(c)), M)

Notation: ``w`` output bits, ``M = 2**w - 1`` (an output of 1), ``S`` a row's sum, ``e(r)`` and
``S(c)`` what a row and a column of the table stand for; :mod:`rtl.softmax.exponent_table` has the
indices.
"""

import dataclasses
import functools
from fractions import Fraction

from amaranth import Cat, Const

from ..blocks.pipeline import delays
from ..config import register
from ..fixed import half
from ..parameter import Choice, Integer, Words, parameter
from ..tables import quotient_word
from .config import SoftmaxConfig
from .exponent_table import ExponentLookup, ExponentTable, SumIndex
from .input_codes import InputCodes, corrected_words
from .online import OnlineMethod
from .row_sum import NormalisedSum, rests
from .sigma_table import sigma_table
from .two_pass import TwoPassMethod

__all__ = ["Lut2dSoftmaxConfig"]


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class Lut2dSoftmaxConfig(ExponentTable, SoftmaxConfig):
    """2D-LUT softmax: exponent table, two-dimensional table, no multiplier (Vasyltsov & Chang).

    Of each element the number of its row is stored, not the exponential.

    Rows stand for values of ``e``: ``r / (rows - 1)`` with ``row_spacing="linear"`` (as published),
    or powers of a constant ratio down to the smallest that an output can tell, and 0
    (``"logarithmic"``). Columns stand for values of ``S``: steps of ``2**-sum_fraction_bits`` up to
    the last of ``columns`` with a linear index (as published), or every sum with a floating one. A
    row whose sum lies beyond the table is not normalised: its outputs sum up to more than 1.

    No output is above 1, and a larger logit never has a smaller output.
    """

    UNIT = "softmax-lut2d"
    PRESETS = {
        "plus": {},
        "online": {"reference": "running", "code_fraction_bits": 2},
        "paper": {"exp_step": 0.1, "exp_entries": 101, "exp_index": "truncate", "rows": 11,
                  "row_index": "truncate", "row_spacing": "linear", "columns": 60,
                  "sum_index": "linear", "sum_mantissa_bits": 0},
    }

    sum_mantissa_bits: int = parameter(3, Integer(0, 6), tag="sm",
                                       help="floating index of the sum: bits below the leading one")
    rows: int = parameter(16, Integer(2, 32), tag="ro",
                          help="rows of the two-dimensional table: values of the exponential")
    row_index: str = parameter("round", Choice(("truncate", "round")), tag="ri",
                               help="row of an exponential: top bits as published, or the nearest")
    row_spacing: str = parameter("logarithmic", Choice(("linear", "logarithmic")), tag="rs",
                                 help="values of rows: equal steps as published, or equal ratios")
    columns: int = parameter(0, Integer(0, 1024), tag="co",
                             help="columns of the two-dimensional table: values of the sum; 0: as "
                                  "many as the longest row needs")
    sigma_memory: str = parameter(
        "block", Choice(("block", "lut")), tag="st",
        help="what holds the two-dimensional table: a block RAM for every two lanes, or LUTs")
    sigma_words: tuple = parameter(
        (), Words(), tag="sw",
        help="contents of the two-dimensional table, row by row; computed if empty")

    def __post_init__(self):
        super().__post_init__()
        if self.sum_index == "linear":
            least = 1 << self.sum_fraction_bits
            self._require("columns", self.columns == 0 or self.columns >= least,
                          f"0 or at least {least} for {self.sum_fraction_bits} fraction bits")
            self._require("columns", self.column_count <= 1024,
                          f"1..1024, where the longest row needs {self.column_count}")
        else:
            self._require("columns", self.columns == 0, "0 for a floating index")
        if self.sigma_words:
            words, count = self.sigma_words, self.rows * self.column_count
            self._require("sigma_words", len(words) == count, f"a list of {count} words")
            self._require("sigma_words", max(words) <= self.one,
                          f"a list of words of at most {self.one}")
            self._require("sigma_words", not any(words[:self.column_count]),
                          "a list that starts with a row of zeros")
            self._require("sigma_words", all(a <= b for a, b in zip(
                words, words[self.column_count:], strict=False)),
                          "a list of rows that do not fall")

    # Rows ----------------------------------------------------------------------------------------

    @functools.cached_property
    def levels(self):
        """Exponential that each row stands for, in words of the exponent table."""
        if self.row_spacing == "linear":
            return tuple(Fraction(self.one * r, self.rows - 1) for r in range(self.rows))
        # From half an output step, for a sum of 1, to 1.
        ratio = Fraction(1, max(self.rows - 2, 1))
        octaves = (ratio * (self.rows - 1 - r) * self.octaves for r in range(1, self.rows))
        return (Fraction(0), *(Fraction(self.one) * Fraction(2.0 ** -float(o)) for o in octaves))

    @property
    def octaves(self):
        """Octaves from the lowest row but 0 to the highest (logarithmic spacing)."""
        return Fraction(min(self.out_bits - 1, (self.rows - 2)), 1)

    @functools.cached_property
    def row_numbers(self):
        """Row of each word of the exponent table."""
        if self.row_index == "truncate" and self.row_spacing == "linear":
            return tuple(e * (self.rows - 1) >> self.out_bits for e in self.exponentials)
        numbers = []
        for e in self.exponentials:
            below = max(r for r, level in enumerate(self.levels) if level <= e)
            above = min(below + 1, self.rows - 1)
            nearer = 2 * e >= self.levels[below] + self.levels[above]
            numbers.append(above if self.row_index == "round" and nearer else below)
        return tuple(numbers)

    # Columns -------------------------------------------------------------------------------------

    @functools.cached_property
    def column_count(self):
        """Columns of the two-dimensional table."""
        if self.sum_index == "floating":
            return self.floating_entries
        return self.columns or max(self.linear_index(self.max_terms * self.exponentials[0]),
                                   1 << self.sum_fraction_bits)

    def linear_index(self, total):
        """Linear index of a sum, before it is bounded. Works on arrays.

        Truncated, it is the upper bits of ``S``; rounded, ``S / M``, but for the division.
        """
        shift = self.out_bits - self.sum_fraction_bits
        if self.sum_rounding == "truncate":
            return total >> shift
        return (total + (total >> self.out_bits) + half(shift)) >> shift

    def linear_number(self, total):
        """Number of the column for a sum, from 0 on (linear index). Works on arrays."""
        return self.linear_index(total).clip(1 << self.sum_fraction_bits, self.column_count) - 1

    @functools.cached_property
    def sigma(self):
        """Words of the two-dimensional table: ``sigma[row][column]``."""
        count = self.column_count
        if self.sigma_words:
            return tuple(self.sigma_words[r * count:(r + 1) * count] for r in range(self.rows))
        if self.sum_index == "linear":
            step = Fraction(1 << self.sum_fraction_bits)
            sums = [Fraction(self.one * max(c, step)) / step for c in range(1, count + 1)]
        else:
            least = 1 if self.running else self.one
            sums = [max(Fraction(sum(self.sum_range(c))) / 2, least) for c in range(count)]
        return tuple(tuple(min(quotient_word(self.one * level, total), self.one) for total in sums)
                     for level in self.levels)

    # Hardware ------------------------------------------------------------------------------------

    @property
    def method(self):
        """Exponents and their rows of the table; an index of their sum; words of the table."""
        outputs = sigma_table(self)
        if self.running:
            result = NormalisedSum(self, self.sum_mantissa_bits, rests(self))
            return OnlineMethod(InputCodes(self), result, _LateWords(self, outputs))
        return TwoPassMethod(_ExponentsAndRows(self, outputs),
                             SumIndex(self, self.column_count), outputs)


class _ExponentsAndRows:
    """Stage: exponents of a beat, and codes of their rows in the two-dimensional table."""

    def __init__(self, config, table):
        self.config, self.table = config, table
        self.lookup = ExponentLookup(config)
        self.latency = self.lookup.latency
        self.largest = max(config.exponentials[0], 1)
        self.code_shape = table.code_bits

    def __call__(self, m, distances, live):
        config = self.config
        codes = [self.table.code(r) for r in config.row_numbers]
        return (self.lookup(m, distances, live, config.exponentials, "term"),
                self.lookup(m, distances, live, codes, "code", self.code_shape))


class _LateWords:
    """Stage: rows of the corrected distances of a beat, and their words of the table."""

    def __init__(self, config, table):
        self.config, self.table = config, table
        self.latency = 2 + table.latency

    def __call__(self, m, beat):
        config, table = self.config, self.table
        rows = [table.code(r) for r in config.row_numbers][:config.zero_code]
        codes = corrected_words(m, config, beat.codes_later(m, 1), beat.late, rows, "row")
        # Codes are narrower where no exponential reaches a row but 0.
        spare = Const(0, table.code_bits)
        codes = [code if len(code) >= len(spare) else Cat(code, spare) for code in codes]
        return table(m, [code[:table.code_bits] for code in codes],
                     delays(m, beat.result, 1, "column")[-1])

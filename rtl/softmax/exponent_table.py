"""Table of ``e**-d`` and index of a sum: what the methods of Vasyltsov & Chang share.

Source: arXiv 2111.10770::

    d_i = max(x) - x_i      index_i = min(round or floor of d_i * input_scale / exp_step, last)
    S = sum_i exponentials[index_i]      exponentials[i] = round(U * e**(-i * exp_step))
    linear index of S:    floor or round of S / U * 2**sum_fraction_bits, bounded
    floating index of S:  place of the leading one, and sum_mantissa_bits bits below it

Notation: ``U`` the word that stands for 1 (:attr:`ExponentTable.one`).
"""

import dataclasses
import functools
import inspect
import math
from fractions import Fraction

from amaranth import Mux, Signal

from ..blocks.lookup import constant_multiple, lookup
from ..blocks.pipeline import delays
from ..fixed import clip, half, half_up, round_shift
from ..parameter import Choice, Integer, PositiveReal, Words, parameter
from ..tables import exp2_words, exp_words
from .config import partial_sums, pipeline
from .grid import InputGrid
from .row_sum import NormalisedSum

__all__ = ["ExponentLookup", "ExponentTable", "SumIndex"]


# Significant bits of the factor from logit steps to table steps, where no short one is exact.
FACTOR_BITS = 12

# Distances of up to this many bits are looked up; wider ones are scaled to an index first.
DIRECT_BITS = 8

# Steps after which the normalisation of a sum has a register, with the final maximum.
RESTS = (2,)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExponentTable:
    """Parameters and tables of the two methods, to be mixed into a configuration.

    ``class RexpSoftmaxConfig(ExponentTable, SoftmaxConfig)``: fields of
    :class:`~rtl.softmax.config.SoftmaxConfig` come first, then those of this class.

    A linear index of the sum counts steps of ``2**-sum_fraction_bits``; a floating one covers every
    sum.

    With ``reference="running"`` distances are taken to a reference that runs with the row, on whole
    octaves at or above the maximum (:class:`rtl.softmax.grid.InputGrid`), in steps of the input or
    coarser; the exponent table has a word for each. A row is read once, and its latency does not
    grow with its length.
    """

    out_bits: int = parameter(8, Integer(2, 16), tag="o",
                              help="width of an output, unsigned, and precision of the tables")
    exp_step: float = parameter(0.03125, PositiveReal(), tag="es",
                                help="distance of two entries of the exponent table")
    exp_entries: int = parameter(0, Integer(0, 1024), tag="en",
                                 help="entries of the exponent table; 0: until it has run out")
    exp_words: tuple = parameter((), Words(), tag="ew",
                                 help="contents of the exponent table; computed if empty")
    exp_index: str = parameter("round", Choice(("truncate", "round")), tag="ei",
                               help="index of the exponent table: top bits as published, or "
                                    "rounded")
    sum_index: str = parameter("floating", Choice(("linear", "floating")), tag="si",
                               help="index of the sum: linear as published, or floating-point")
    sum_rounding: str = parameter("truncate", Choice(("truncate", "round")), tag="sr",
                                  help="linear index of the sum: top bits as published, or rounded")
    sum_fraction_bits: int = parameter(0, Integer(0, 8), tag="sf",
                                       help="linear index of the sum: fraction bits")
    sum_mantissa_bits: int = parameter(4, Integer(0, 6), tag="sm",
                                       help="floating index of the sum: bits below the leading one")

    reference: str = parameter("final", Choice(("final", "running")), tag="re",
                               help="what exponents are relative to: the final maximum as "
                                    "published, or a running one for a short latency")
    code_fraction_bits: int = parameter(
        0, Integer(0, 4), tag="kf",
        help="running reference: log2 of the table's entries per octave, to the nearest")
    partial_sums: int = partial_sums()
    pipeline: str = pipeline()

    def __post_init__(self):
        super().__post_init__()
        if self.reference == "running":
            self._check_running()
        else:
            self._require("code_fraction_bits", self.code_fraction_bits == 0,
                          "0 for the final maximum")
            self._require("partial_sums", self.partial_sums == 1, "1 for the final maximum")
            self._require("pipeline", self.pipeline == "short", "short for the final maximum")
        if self.exp_words:
            self._require("exp_entries", self.exp_entries == 0,
                          "0 where exp_words gives the table")
            self._require("exp_words", 2 <= len(self.exp_words) <= 1024, "a list of 2..1024 words")
            self._require("exp_words", self.exp_words[0] <= self.one,
                          f"a list of words of at most {self.one}")
            # The largest element of a row has the first word, and its sum is not to be 0.
            self._require("exp_words", any(self.exp_words), "a list of words that are not all 0")
            falling = tuple(sorted(self.exp_words, reverse=True))
            self._require("exp_words", self.exp_words == falling,
                          "a list of words that do not rise")
        else:
            self._require("exp_step", self.entries <= 1024,
                          "large enough for a table of 1024 entries to run out")
            self._require("exp_entries", self.exp_entries != 1, "0 or at least 2")
        if self.sum_index == "linear":
            self._require("sum_mantissa_bits", self.sum_mantissa_bits == 0, "0 for a linear index")
            self._require("sum_fraction_bits", self.sum_fraction_bits < self.out_bits,
                          f"at most {self.out_bits - 1} for {self.out_bits} output bits")
        else:
            self._require("sum_mantissa_bits", self.sum_mantissa_bits > 0,
                          "at least 1 for a floating index")
            self._require("sum_fraction_bits", self.sum_fraction_bits == 0,
                          "0 for a floating index")
            self._require("sum_rounding", self.sum_rounding == "truncate",
                          "truncate for a floating index")

    def _check_running(self):
        step = type(self).parameters()["exp_step"].default
        self._require("exp_step", self.exp_step == step, f"{step}, as it says nothing, for a "
                      "running reference")
        self._require("exp_entries", self.exp_entries == 0, "0 for a running reference")
        self._require("exp_words", not self.exp_words, "empty for a running reference")
        self._require("sum_index", self.sum_index == "floating",
                      "floating for a running reference")
        # A step of more than 16 octaves would need references wider than any real logit.
        self._require("input_scale", self.input_scale <= 16.0, "at most 16 for a running reference")

    @classmethod
    def algorithm(cls):
        """Equations of the method, and those that this module has of both."""
        return f"{super().algorithm()}\n\n{inspect.cleandoc(__doc__)}"

    @property
    def running(self):
        """Whether exponents are relative to a running reference."""
        return self.reference == "running"

    # Exponent table ------------------------------------------------------------------------------

    @property
    def one(self):
        """Word of the exponent table that stands for 1."""
        return (1 << self.out_bits) - 1

    @property
    def output_scale(self):
        """Real value of one output step, ``1 / (2**out_bits - 1)``."""
        return 1 / ((1 << self.out_bits) - 1)

    @functools.cached_property
    def entries(self):
        """Entries of the exponent table."""
        if self.running:
            return math.floor(self.grid.per_octave * Fraction(math.log2(2 * self.one))) + 2
        if self.exp_words or self.exp_entries:
            return len(self.exp_words) or self.exp_entries
        return math.floor(Fraction(math.log(2 * self.one)) / _decimal(self.exp_step)) + 2

    @functools.cached_property
    def exponentials(self):
        """Words of the exponent table."""
        if self.running:
            return exp2_words((i / self.grid.per_octave for i in range(self.entries)), self.one)
        step = _decimal(self.exp_step)
        return self.exp_words or exp_words((i * step for i in range(self.entries)), self.one)

    @functools.cached_property
    def grid(self):
        """Running reference: grid on which maxima and distances are taken."""
        return InputGrid.of(self.bits, self.input_scale, self.code_fraction_bits, self.exp_index)

    @property
    def code_bits(self):
        """Running reference: width of a code, a distance of at most :attr:`top_code`."""
        return (self.entries - 1).bit_length()

    @property
    def top_code(self):
        """Running reference: code of all that counts as 0."""
        return (1 << self.code_bits) - 1

    @functools.cached_property
    def zero_code(self):
        """Running reference: smallest distance whose word is 0."""
        return next(i for i, word in enumerate(self.exponentials) if not word)

    @property
    def terms(self):
        """Running reference: what each code adds to the sum."""
        return self.exponentials + (0,) * (self.top_code + 1 - self.entries)

    @functools.cached_property
    def index_factors(self):
        """``(multiplier, shift)`` from distances to indices; exact, if 12 bits can be."""
        ratio = _decimal(self.input_scale) / _decimal(self.exp_step)
        # All from here on is beyond the table, or at its start.
        ratio = min(ratio, Fraction(self.entries))
        if ratio * (1 << self.bits) < Fraction(1, 2):
            return 0, 0
        shift = ratio.denominator.bit_length() - 1
        if ratio.denominator == 1 << shift and ratio.numerator < 1 << FACTOR_BITS:
            return ratio.numerator, shift
        shift = FACTOR_BITS - 1 - math.floor(math.log2(ratio))
        return half_up(ratio * (1 << shift)), shift

    def index(self, distance):
        """Index into the exponent table. Works on arrays of non-negative integers."""
        multiplier, shift = self.index_factors
        return clip(round_shift(distance * multiplier, shift, self.exp_index), 0, self.entries - 1)

    @functools.cached_property
    def span(self):
        """Smallest distance from which on the index is the last one; ``2**bits`` if none is."""
        low, high = 0, 1 << self.bits
        while low < high:
            middle = (low + high) // 2
            if self.index(middle) == self.entries - 1:
                high = middle
            else:
                low = middle + 1
        return low

    # Sum -----------------------------------------------------------------------------------------

    @property
    def sum_bits(self):
        """Width of the sum, which can not overflow: ``max_terms`` words of at most 1."""
        return (self.max_terms * self.exponentials[0]).bit_length()

    @property
    def sum_places(self):
        """Places that the leading one of a sum can have (floating index), lowest and highest."""
        least = self.exponentials[min(self.grid.gap, self.zero_code - 1) if self.running else 0]
        return max(least.bit_length() - 1, 0), self.sum_bits - 1

    @property
    def smallest_place(self):
        """Lowest place of the leading one of a sum."""
        return self.sum_places[0]

    def sum_range(self, index):
        """Bounds of the sums, first and first no more, that have a floating index."""
        lowest, _ = self.sum_places
        place, mantissa = divmod(index, 1 << self.sum_mantissa_bits)
        step = Fraction(2) ** (place + lowest - self.sum_mantissa_bits)
        first = ((1 << self.sum_mantissa_bits) + mantissa) * step
        return first, first + step

    @property
    def floating_entries(self):
        """Number of floating indices."""
        lowest, highest = self.sum_places
        return (highest - lowest + 1) << self.sum_mantissa_bits


def _decimal(value):
    """``value``, a float, as the decimal fraction that it is written as."""
    return Fraction(repr(value))


# Stages of the methods, with the final maximum --------------------------------------------------

class ExponentLookup:
    """Stage: words of the elements of a beat by their distances, registered.

    Latency 1 cycle, or 2 where a distance is scaled to an index first.
    """

    def __init__(self, config):
        self.config = config
        #: Whether distances are looked up as they are.
        self.direct = (config.span - 1).bit_length() <= DIRECT_BITS
        self.latency = 1 if self.direct else 2

    def __call__(self, m, distances, live, words, name, width=None):
        """Word of each lane, 0 where ``live`` is 0.

        ``words`` (integers) are those of the entries of the exponent table, or what belongs to
        them; ``width`` is that of the result, the least that holds them if not given.
        """
        config = self.config
        if self.direct:
            words = [words[config.index(d)] for d in range(config.span)] + [words[-1]]
            indices = distances
        else:
            indices, live = self._indices(m, distances, live, name)
            words = list(words)
        # All from where the words stay the same is beyond the table.
        tail = words[-1]
        while len(words) > 1 and words[-1] == tail:
            words.pop()
        bits = (len(words) - 1).bit_length()
        words += [tail] * ((1 << bits) - len(words))
        results = []
        for k, index in enumerate(indices):
            result = Signal(width or max(max(words), 1).bit_length(), name=f"{name}_{k}",
                            reset_less=True)
            far = index[bits:].any()
            word = lookup(m, index[:bits], words, name=f"{name}_word_{k}") if bits else words[0]
            with m.If(~live[k] | (far if not tail else 0)):
                m.d.sync += result.eq(0)
            with m.Elif(far if tail else 0):
                m.d.sync += result.eq(tail)
            with m.Else():
                m.d.sync += result.eq(word)
            results.append(result)
        return results

    def _indices(self, m, distances, live, name):
        """Registered indices of distances that are too wide for a table."""
        config = self.config
        multiplier, shift = config.index_factors
        added = half(shift) if config.exp_index == "round" else 0
        last = config.entries - 1
        indices = []
        for k, distance in enumerate(distances):
            scaled = (constant_multiple(distance, multiplier) + added) >> shift
            index = Signal(last.bit_length(), name=f"{name}_index_{k}")
            m.d.sync += index.eq(Mux(scaled >= last, last, scaled))
            indices.append(index)
        return indices, delays(m, live, 1, f"{name}_live")[-1]


class SumIndex:
    """Stage: index of a row's sum, registered.

    Parameters
    ----------
    config : ExponentTable
        With ``linear_index(total)``, which works on Values.
    last : int
        Largest linear index; the least one is ``2**sum_fraction_bits``.
    """

    def __init__(self, config, last):
        self.config, self.last = config, last
        self.latency = 1 + (len(RESTS) if config.sum_index == "floating" else 0)

    def __call__(self, m, row):
        config = self.config
        if config.sum_index == "floating":
            value = NormalisedSum(config, config.sum_mantissa_bits, RESTS)(m, row)
        else:
            value = self._bounded(config.linear_index(row.total))
        index = Signal(len(value), name="sum_index")
        m.d.sync += index.eq(value)
        return index

    def _bounded(self, linear):
        """Linear index, at least 1.0 and at most the last."""
        least, last = 1 << self.config.sum_fraction_bits, self.last
        value = Mux(linear < least, least, linear)
        if last < (1 << len(linear)) - 1:
            value = Mux(linear > last, last, value)
        return value[:last.bit_length()]

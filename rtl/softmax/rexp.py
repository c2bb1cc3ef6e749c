"""REXP: softmax by reciprocal exponentiation, from two one-dimensional tables and a multiplier.

Source: Vasyltsov & Chang, arXiv 2111.10770. The preset ``paper`` follows it; the preset ``plus``
keeps its structure (two tables, a multiplication) and repairs what they are indexed by::

    s_i = exponentials[index(max(x) - x_i)]      S = sum_i s_i
    linear:    y_i = round(s_i * alpha[j] / M),      alpha[j] = min(round(M * 2**f / j), M),
               j = S >> (w - f), at least 2**f and at most the last of alpha_entries
    floating:  y_i = round(s_i * alpha[S] / 2**K),   alpha[S] = round(2**K * M / S)

Notation: ``w`` output bits, ``M = 2**w - 1`` (an output of 1), ``S`` a row's sum, ``f`` its
fraction bits, ``K = w + sum_mantissa_bits + 3``; :mod:`rtl.softmax.exponent_table` has the indices.
"""

import dataclasses
import functools

from amaranth import Cat, Const, Signal

from ..blocks.lookup import lookup
from ..blocks.multiplier import Multiplier
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
from .two_pass import TwoPassMethod

__all__ = ["RexpSoftmaxConfig"]


# Widest operands of a DSP48E1, unsigned.
DSP_WIDTHS = 24, 17


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class RexpSoftmaxConfig(ExponentTable, SoftmaxConfig):
    """REXP softmax: two tables and a multiplication (Vasyltsov & Chang, arXiv 2111.10770).

    With a linear index (as published) the product is divided by ``M`` and rounded half up
    (``scaling="exact"``), or cut to its upper ``w`` bits (``"cheap"``). A row whose sum lies beyond
    the table is not normalised: its outputs sum up to more than 1. With a floating index alpha is
    that of the middle of all sums that look alike.

    No output is above 1, and a larger logit never has a smaller output.
    """

    UNIT = "softmax-rexp"
    PRESETS = {
        "plus": {},
        "online": {"reference": "running", "code_fraction_bits": 2},
        "paper": {"exp_step": 1.0, "exp_index": "truncate", "exp_guard_bits": 0,
                  "sum_index": "linear", "sum_mantissa_bits": 0, "alpha_entries": 16},
    }

    exp_guard_bits: int = parameter(
        1, Integer(0, 4), tag="eg",
        help="floating index: bits of the exponent table beyond those of the output")
    alpha_entries: int = parameter(
        0, Integer(0, 4096), tag="an",
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
            self._require("alpha_words", max(self.alpha_words) <= self.largest_alpha,
                          f"a list of words of at most {self.largest_alpha}")

    @property
    def one(self):
        """Word of the exponent table that stands for 1."""
        return (1 << self.out_bits + self.exp_guard_bits) - 1

    # Table of reciprocals ------------------------------------------------------------------------

    @functools.cached_property
    def alpha_count(self):
        """Entries of the table of reciprocals."""
        if self.sum_index == "floating":
            return self.floating_entries
        return self.alpha_entries or (self.linear_index(self.max_terms * self.one) + 1)

    def linear_index(self, total):
        """Linear index of a sum, before it is bounded. Works on arrays."""
        shift = self.out_bits - self.sum_fraction_bits
        return (total + (half(shift) if self.sum_rounding == "round" else 0)) >> shift

    def linear_number(self, total):
        """Number of the reciprocal for a sum (linear index). Works on arrays."""
        return self.linear_index(total).clip(1 << self.sum_fraction_bits, self.alpha_count - 1)

    @property
    def alpha_shift(self):
        """Fraction bits ``K`` of alpha (floating index)."""
        return self.out_bits + self.sum_mantissa_bits + 3

    @property
    def largest_alpha(self):
        """Largest word of the table of reciprocals: no product passes 1."""
        if self.sum_index == "linear":
            return (1 << self.out_bits) - 1
        return self._alpha_limit(self.one)

    @functools.cached_property
    def alphas(self):
        """Words of the table of reciprocals."""
        if self.alpha_words:
            return self.alpha_words
        if self.sum_index == "linear":
            one = 1 << self.sum_fraction_bits
            return tuple(quotient_word(self.largest_alpha * one, max(j, one))
                         for j in range(self.alpha_count))
        scaled = ((1 << self.out_bits) - 1) << self.alpha_shift
        ranges = [self.sum_range(j) for j in range(self.alpha_count)]
        return tuple(min(quotient_word(scaled, (low + high) / 2), self._alpha_limit_below(high))
                     for low, high in ranges)

    def _alpha_limit(self, largest):
        """Largest alpha by which no exponential up to ``largest`` passes 1 (floating index)."""
        return (((1 << self.out_bits) << self.alpha_shift) - half(self.alpha_shift) - 1) // largest

    def _alpha_limit_below(self, end):
        """Largest alpha for sums below ``end``: no exponential is larger than its row's sum."""
        if not self.running:
            return self.largest_alpha
        return self._alpha_limit(max(word for word in self.exponentials if word < end) or 1)

    # Hardware ------------------------------------------------------------------------------------

    @property
    def method(self):
        """Exponents; an index of their sum; products of exponents and an alpha."""
        if self.running:
            result = NormalisedSum(self, self.sum_mantissa_bits, rests(self))
            return OnlineMethod(InputCodes(self), result, _LateProducts(self))
        return TwoPassMethod(_Exponents(self), SumIndex(self, self.alpha_count - 1),
                             _Products(self))


class _Exponents:
    """Stage: exponents of a beat, which are terms and codes in one."""

    def __init__(self, config):
        self.config = config
        self.lookup = ExponentLookup(config)
        self.latency = self.lookup.latency
        self.largest = max(config.exponentials[0], 1)
        self.code_shape = self.largest.bit_length()

    def __call__(self, m, distances, live):
        words = self.lookup(m, distances, live, self.config.exponentials, "term")
        return words, words


class _Products:
    """Stage: products of the exponents of a beat and its row's alpha, scaled.

    ``round(p / M) == ((p + 2**(w - 1)) * (2**w + 1)) >> 2 * w`` for every product, so the exact
    scaling is part of the constants: alpha twice, side by side, times ``s``.
    """

    def __init__(self, config):
        self.config = config
        #: Whether the exact scaling takes an addition of its own, behind the multiplication.
        self.separate = (config.sum_index == "linear" and config.scaling == "exact"
                         and (config.multiplier == "lut" or 2 * config.out_bits > DSP_WIDTHS[0]))
        width = max(config.exponentials[0].bit_length(), 1)
        product = Multiplier.stages(width) if config.multiplier == "lut" else 1
        self.latency = 2 + product + self.separate

    def __call__(self, m, codes, index):
        codes = [delays(m, code, 1, f"code_{k}")[-1] for k, code in enumerate(codes)]
        return self.products(m, codes, self.alpha(m, index))

    def alpha(self, m, index):
        """Word of the table of reciprocals, registered."""
        alpha = Signal(max(self.config.alphas).bit_length() or 1, name="alpha")
        m.d.sync += alpha.eq(lookup(m, index, self.config.alphas, name="alpha_word"))
        return alpha

    def products(self, m, codes, alpha):
        """Products of exponents and alpha, scaled; ``latency - 1`` cycles."""
        config = self.config
        w = config.out_bits
        if config.sum_index == "floating":
            factor, shift = alpha, config.alpha_shift
            offset = half(shift)
        elif config.scaling == "cheap":
            factor, shift, offset = alpha, w, 0
        elif self.separate:
            factor, shift, offset = alpha, 0, 0
        else:
            factor = Cat(alpha, Const(0, w - len(alpha)), alpha)
            shift, offset = 2 * w, ((1 << w) + 1) << (w - 1)
        outputs = []
        for k, code in enumerate(codes):
            if config.multiplier == "lut":
                m.submodules[f"multiplier_{k}"] = multiplier = Multiplier(len(factor), len(code))
                m.d.comb += [multiplier.a.eq(factor), multiplier.b.eq(code)]
                product = multiplier.o
            else:
                product = Signal(len(code) + len(factor), name=f"product_{k}", reset_less=True)
                m.d.sync += product.eq(code * factor)
            scaled = Signal(len(product) + 1, name=f"scaled_{k}", reset_less=True)
            m.d.sync += scaled.eq(product + offset)
            outputs.append(self._divided(m, scaled) if self.separate else (scaled >> shift)[:w])
        return outputs

    def _divided(self, m, product):
        """A product divided by ``M``, rounded half up, registered."""
        w = self.config.out_bits
        quotient = Signal(w, reset_less=True)
        total = product[:2 * w] + half(w)
        m.d.sync += quotient.eq((total + (total >> w)) >> w)
        return quotient


class _LateProducts:
    """Stage: products of the exponents of corrected distances and the row's alpha, scaled."""

    def __init__(self, config):
        self.config = config
        self.products = _Products(config)
        self.latency = self.products.latency + 1

    def __call__(self, m, beat):
        config = self.config
        words = corrected_words(m, config, beat.codes_later(m, 1), beat.late,
                                config.exponentials[:config.zero_code], "exponent")
        return self.products.products(m, words, self.products.alpha(m, beat.result))

"""Exponentials as products of two table words (the exponent module of A3, HPCA 2020).

For a distance ``d`` in steps of ``input_scale``, cut after its ``l`` lower bits::

    e(d) = round(high[d >> l] * low[d mod 2**l])    high[i] = exp(-i * 2**l * input_scale)
                                                    low[i] = exp(-i * input_scale)

The tables have three fraction bits more than ``e``. A word of ``high`` is lowered a little where
``e`` would rise with ``d`` otherwise.
"""

import dataclasses
import functools
from fractions import Fraction

from amaranth import Signal

from ..blocks.chained_product import ChainedProduct
from ..blocks.lookup import lookup
from ..fixed import half, round_shift
from ..tables import exp_words

__all__ = ["ExponentProduct", "ProductTerms"]


# Distances of up to this many bits are looked up as a whole: that takes no more LUTs than two
# tables do, and no multiplication.
WHOLE_BITS = 7


@dataclasses.dataclass(frozen=True)
class ExponentProduct:
    """Tables of the two factors, and their products.

    Attributes
    ----------
    bits : int
        Width of a distance.
    input_scale : float
        Real value of one step of a distance.
    fraction_bits : int
        Fraction bits of an exponential.
    """

    bits: int
    input_scale: float
    fraction_bits: int

    @property
    def low_bits(self):
        """Lower bits of a distance, which index the table :attr:`low`."""
        return self.bits // 2

    @property
    def table_bits(self):
        """Fraction bits of the words of the tables."""
        return self.fraction_bits + 3

    @property
    def shift(self):
        """Right shift of a product of two words."""
        return 2 * self.table_bits - self.fraction_bits

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

    @property
    def ranges(self):
        """Ranges of the words of the upper and of the lower bits."""
        return ((0, 1 << self.table_bits),) * 2

    def product(self, high, low):
        """Exponential of two table words, rounded half up. Works on arrays."""
        return round_shift(high * low, self.shift)

    @functools.cached_property
    def exponentials(self):
        """Exponential of each distance up to the last that is not 0."""
        words = [self.product(high, low) for high in self.high for low in self.low]
        while len(words) > 1 and not words[-1]:
            words.pop()
        return tuple(words)

    @property
    def whole_bits(self):
        """Width of the distances whose exponential is not 0."""
        return (len(self.exponentials) - 1).bit_length()


class ProductTerms:
    """Stage: exponentials of the distances of a beat, which are terms and codes in one.

    Latency 3 cycles (two tables, product, rounding), one more for each further DSP block that a
    product takes, or 1 where one table holds the exponentials.

    Parameters
    ----------
    exponent : ExponentProduct
        Tables of the exponentials.
    """

    def __init__(self, exponent):
        self.exponent = exponent
        #: Largest term.
        self.largest = 1 << exponent.fraction_bits
        #: Width of a code.
        self.code_shape = exponent.fraction_bits + 1
        #: Whether one table holds the exponentials.
        self.whole = exponent.whole_bits <= WHOLE_BITS
        self.latency = 1 if self.whole else ChainedProduct.stages(*exponent.ranges)

    def __call__(self, m, distances, live):
        """Exponential of each lane, twice; 0 where ``live`` is 0."""
        term = self._looked_up if self.whole else self._multiplied
        terms = [term(m, distance, live[k], k) for k, distance in enumerate(distances)]
        return terms, terms

    def _looked_up(self, m, distance, live, lane):
        bits = self.exponent.whole_bits
        term = Signal(self.code_shape, name=f"term_{lane}", reset_less=True)
        with m.If(live & ~distance[bits:].any()):
            m.d.sync += term.eq(lookup(m, distance[:bits], self.exponent.exponentials,
                                       name=f"term_word_{lane}"))
        with m.Else():
            m.d.sync += term.eq(0)
        return term

    def _multiplied(self, m, distance, live, lane):
        exponent = self.exponent
        cut = exponent.low_bits
        m.submodules[f"exponent_product_{lane}"] = product = ChainedProduct(
            *exponent.ranges, addend=half(exponent.shift), dropped=exponent.shift)
        m.d.comb += product.b.eq(lookup(m, distance[:cut], exponent.low, name=f"low_word_{lane}"))
        with m.If(live):
            m.d.comb += product.a.eq(lookup(m, distance[cut:], exponent.high,
                                            name=f"high_word_{lane}"))
        return product.o

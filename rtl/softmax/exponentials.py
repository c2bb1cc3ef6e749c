"""Exponentials relative to the row's maximum, as codes: softmax without its division.

With the exponentials of :mod:`rtl.softmax.exponent_product`, for ``w`` output bits::

    y_i = min(2**w - 1, round(2**w * e**-d_i)),    d_i = max(x) - x_i

Attention keeps such rows, and divides by their sums itself.
"""

import dataclasses
import functools

from amaranth import Cat, Module, Mux

from ..blocks.pipeline import delays
from ..stream.row_unit import RowDatapath
from .config import SoftmaxConfig
from .exponent_product import ExponentProduct, ProductTerms
from .final_maximum import FinalMaximum

__all__ = ["ExponentialsConfig", "ExponentialsDatapath"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExponentialsConfig(SoftmaxConfig):
    """Rows of ``min(2**w - 1, round(2**w * e**-d))``, with the distance ``d`` to the row's maximum.

    A row's largest element has the code ``2**w - 1``, whatever the row; what takes no part has 0.
    Streams, throughput and errors are those of a softmax unit; a row is stored once.
    """

    UNIT = "softmax-exponentials"

    @property
    def output_scale(self):
        raise AttributeError("Exponentials must be divided by their sum to be worth something")

    @functools.cached_property
    def exponent(self):
        """Tables of the exponentials."""
        return ExponentProduct(self.bits, self.input_scale, self.out_bits)

    @functools.cached_property
    def codes(self):
        """Code of each distance up to the last that is not 0."""
        return tuple(min(word, (1 << self.out_bits) - 1) for word in self.exponent.exponentials)

    @property
    def skeleton(self):
        return ExponentialsDatapath

    @property
    def method(self):
        """Stage that makes the exponentials."""
        return ProductTerms(self.exponent)


class ExponentialsDatapath(RowDatapath):
    """Maximum of a row; exponentials relative to it, saturated to ``out_bits``.

    Latency :meth:`latency_of` cycles; throughput one beat per cycle, rows back to back.

    Parameters
    ----------
    config : ExponentialsConfig
        Configuration of the unit.
    terms : ProductTerms
        Stage that makes the exponentials.
    """

    #: Stores that hold a row until it is complete, one behind the other.
    passes = 1

    def __init__(self, config, terms):
        super().__init__(config)
        self.terms = terms

    @staticmethod
    def latency_of(config, terms):
        """Cycles from the last beat of a row accepted to its first beat valid."""
        return FinalMaximum(config).latency + terms.latency + 1

    def elaborate(self, platform):
        m = Module()
        rows, distances = FinalMaximum(self.config)(m, self)
        terms, _ = self.terms(m, distances, rows.o.live)
        w, cycles = self.config.out_bits, self.terms.latency + 1
        m.d.sync += [element.eq(Mux(term[w], Cat(term[w]).replicate(w), term[:w]))
                     for element, term in zip(self.o.data, terms, strict=True)]
        m.d.comb += [
            self.o.keep.eq(delays(m, rows.o.keep, cycles, "read_keep")[-1]),
            self.o.last.eq(delays(m, rows.o.last, cycles, "read_last")[-1]),
            self.o_valid.eq(delays(m, rows.valid, cycles, "read_valid")[-1]),
            self.leaving.eq(rows.leaving),
        ]
        return m

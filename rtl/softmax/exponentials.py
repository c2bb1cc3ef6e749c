"""Exponentials relative to the row's maximum, as codes: softmax without its division."""

import dataclasses
import functools

from .exponentials_core import ExponentialsDatapath, latency
from .split import SplitSoftmaxConfig

__all__ = ["ExponentialsConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExponentialsConfig(SplitSoftmaxConfig):
    """Rows of ``min(2**w - 1, round(2**w * e**-d))``, with the distance ``d`` to the row's maximum.

    The exponentials are those of :class:`~rtl.softmax.split.SplitSoftmaxConfig`, of ``w`` bits. A
    row's largest element has the code ``2**w - 1``, whatever the row; what takes no part has 0.
    Streams, throughput and errors are those of a softmax unit, and there is one pass less.
    """

    _datapath = ExponentialsDatapath

    @property
    def passes(self):
        return 1

    @property
    def latency(self):
        """Clock cycles from the last beat of a row of one beat accepted to its first beat valid."""
        return latency(self)

    @property
    def output_scale(self):
        raise AttributeError("Exponentials must be divided by their sum to be worth something")

    @functools.cached_property
    def codes(self):
        """Code of each distance up to the last that is not 0."""
        return tuple(min(word, (1 << self.out_bits) - 1) for word in self.exponentials)

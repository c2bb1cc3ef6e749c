"""Pipeline stages of a LayerNorm unit."""

import dataclasses

from .elements import Elements
from .mean import Mean
from .reciprocal_root import ReciprocalRoot
from .statistics import Statistics
from .timeline import stage_of

__all__ = ["Schedule"]


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Pipeline stages: cycles from a beat accepted until what is made of it is known.

    The store is written as late as the statistics allow: a row is read as soon as it is complete,
    and its first beat meets mean and factor in the cycle in which each is known.
    """

    #: Elements as they come, a stage before the alphas of their channels.
    raw: int
    #: Elements times their factors.
    value: int
    #: Sum of the elements of the row so far.
    total: int
    #: Sum of the squares of the row so far.
    squares: int
    #: Negated mean.
    mean: int
    #: Radicand.
    radicand: int
    #: Reciprocal of the deviation.
    factor: int
    #: The beat that is read, and the reciprocal of the deviation of its row.
    read: int

    @classmethod
    def of(cls, config):
        """Stages of the unit of a configuration."""
        method = config.method
        raw = max(config.alpha_words.latency, 1) - 1
        at = {"raw": raw, "alpha": raw + 1, "live": raw + 1}
        at["value"] = raw + Elements.latencies(config)["raw"]
        at["total"] = at["value"] + Statistics.total_latency(config)
        at["squares"] = stage_of(method.squares.latencies(config), at) + 1
        at["mean"] = at["total"] + Mean.latencies(config)["total"]
        at["epsilon"] = at["length"] = at["total"]
        at["radicand"] = stage_of(method.radicand.latencies(config), at)
        factor = at["radicand"] + ReciprocalRoot.latencies(config)["radicand"]
        return cls(raw=raw, value=at["value"], total=at["total"], squares=at["squares"],
                   mean=at["mean"], radicand=at["radicand"], factor=factor,
                   # A register takes the factor, or a queue that it can pass in the same cycle.
                   read=factor + (not config.variable))

    @property
    def write(self):
        """Beat to be written to the store."""
        return self.read - 3

    @property
    def output(self):
        """Output."""
        return self.read + 7

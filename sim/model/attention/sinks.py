"""Sink logits of the rows of sets."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from rtl.config import UnitConfig

__all__ = ["Sinks"]


@dataclasses.dataclass(frozen=True, eq=False)
class Sinks:
    """Sinks of some sets, as :class:`rtl.attention.sink.Sink`.

    Attributes
    ----------
    logit : int64 array, shape (sets, 1)
        Of each set, or of all.
    valid : boolean array of that shape
        The rows have it.
    """

    logit: np.ndarray
    valid: np.ndarray

    @classmethod
    def of(cls, sinks: Sequence[object]) -> Sinks | None:
        """Return those of some sets, each with ``logit`` and ``valid``; None, if they have none."""
        if not sinks or sinks[0] is None:
            return None
        return cls(*(np.array([getattr(sink, name) for sink in sinks], kind)[:, None]
                     for name, kind in (("logit", np.int64), ("valid", bool))))

    @classmethod
    def fixed(cls, config: UnitConfig) -> Sinks | None:
        """Return that of a configuration, for all sets."""
        return cls.of([config.fixed_sink])

    def __getitem__(self, some: slice | np.ndarray) -> Sinks:
        return self if len(self.logit) == 1 else Sinks(self.logit[some], self.valid[some])

    def rows(self, shape: tuple[int, ...]) -> dict[str, np.ndarray]:
        """Return what a softmax unit takes for rows of that shape (sets, queries)."""
        return {"sink": np.broadcast_to(self.logit, shape),
                "sink_valid": np.broadcast_to(self.valid, shape).astype(np.int64)}

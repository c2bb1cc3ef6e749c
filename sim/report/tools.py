"""What the tables of the documentation are made with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from rtl import UnitConfig

from .. import model
from ..metrics import SoftmaxErrors, softmax_errors
from ..reference import softmax

__all__ = ["joined", "largest", "normal_errors", "table"]


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; all columns but the first are numbers."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def joined(cells: Iterable[object]) -> str:
    """Return one cell of several."""
    return " / ".join(map(str, cells))


def normal_errors(config: UnitConfig, length: int, sigma: float = 3.0) -> SoftmaxErrors:
    """Return the errors of 1000 rows of normal logits.

    Against float64 softmax of the same quantised logits.
    """
    rng = np.random.default_rng(length)
    low, high = -(1 << (config.bits - 1)), (1 << (config.bits - 1)) - 1
    x = np.floor(rng.normal(0, sigma, (1000, length)) / config.input_scale + 0.5)
    x = np.clip(x, low, high).astype(np.int64)
    return softmax_errors(softmax(x * config.input_scale),
                          model.run(config, x) * config.output_scale)


def largest(scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return whether each score is one of the ``counts`` largest of its row."""
    ranks = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1)
    return ranks < counts[:, None]

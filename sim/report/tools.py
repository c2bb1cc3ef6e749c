"""What the tables of the documentation are made with."""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Iterable, Sequence

import numpy as np

from rtl import UnitConfig
from rtl.emit import synthesis

from .. import model
from ..emission import emitted
from ..metrics import SoftmaxErrors, softmax_errors
from ..reference import softmax

__all__ = ["cores", "joined", "largest", "normal_errors", "shells", "table"]


def table(header: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; all columns but the first are numbers."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def joined(cells: Iterable[object]) -> str:
    """Return one cell of several."""
    return " / ".join(map(str, cells))


def cores(configs: Iterable[UnitConfig]) -> list[synthesis.Figures]:
    """Return the synthesis figures of each config's core, two at a time."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda config: _figures(config, config.name), configs))


def shells(configs: Iterable[UnitConfig]) -> list[synthesis.Figures]:
    """Return the figures of each config with its AXI4-Stream shell, two at a time."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda config: _figures(config, f"{config.name}_axis"), configs))


@functools.cache
def _figures(config: UnitConfig, top: str) -> synthesis.Figures:
    # Several tables show the same units.
    return synthesis.measure(emitted(config), top)


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

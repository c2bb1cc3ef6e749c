"""Calibration of softmax inputs: the step of a logit, and an offset for each head.

A code is ``clip(round(logit / step) + offset)``. Softmax is shift invariant: the offset decides
only which logits saturate. Here each head's largest logits go to the top of the range, so that what
saturates is so far below that its weight is 0, or nearly.

Methods
-------
largest
    The offset puts the largest logit seen at the top. The step is the finest power of two with
    which, in every head, the row of the least maximum keeps all weights that the output resolves.
percentile
    As largest, without the share of rows beyond the percentile on both sides.
least-squares
    Step and offsets with the least squared error of the weights that the unit puts out, over rows
    that were seen.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from rtl.fixed import signed_range
from rtl.softmax.config import SoftmaxConfig

from .. import model
from ..reference import softmax
from .errors import AccuracyError

__all__ = ["METHODS", "NEVER", "HeadRows", "codes", "fit"]

# A logit below is as good as minus infinity: models mask by the least number of float16, bfloat16
# or float32, by -1e9 or -1e4, and no bias is as large.
NEVER = -9e3

METHODS = ("largest", "percentile", "least-squares")
# Exponents of the steps that are tried.
EXPONENTS = range(-8, 3)
# Percentiles of the maxima that least squares tries to put at the top.
TOPS = (100.0, 99.9, 99.0, 95.0)


@dataclasses.dataclass(frozen=True, eq=False)
class HeadRows:
    """Logits that one head has put out.

    Attributes
    ----------
    maxima : float array, shape (rows,)
        Largest logit of each row.
    rows : float array, shape (some rows, longest)
        Rows, filled up with minus infinity; so are elements that take no part.
    """

    maxima: np.ndarray
    rows: np.ndarray


def codes(logits: np.ndarray, step: float, offset: int | np.ndarray, bits: int) -> np.ndarray:
    """Return the codes of logits, rounded half up; what takes no part is at the bottom.

    ``offset`` is an integer, or an array of some that is broadcastable to the logits.
    """
    low, high = signed_range(bits)
    twice = np.floor(np.maximum(logits, -1e30) / step * 2.0)
    return np.clip(np.floor((twice + 2 * offset + 1) / 2), low, high).astype(np.int32)


def fit(config: SoftmaxConfig, heads: list[HeadRows], *, method: str = "least-squares",
        percentile: float = 99.9,
        fixed_step: bool = False) -> tuple[SoftmaxConfig, list[int]]:
    """Return the config with its step, and the offset of each head.

    Parameters
    ----------
    config : SoftmaxConfig
        Unit.
    heads : list of HeadRows
        Of all heads that the unit serves.
    method : str
        One of ``METHODS``.
    percentile : float
        Of the method of that name, 50..100.
    fixed_step : bool
        The step stays as the config has it.

    Raises
    ------
    AccuracyError
        If the method or the percentile does not exist.
    """
    if method not in METHODS:
        raise AccuracyError(f"Parameter method must be one of {', '.join(METHODS)}, not {method!r}")
    if not 50.0 <= percentile <= 100.0:
        raise AccuracyError(f"Parameter percentile must be in 50..100, not {percentile!r}")
    if method == "least-squares":
        return _least_squares(config, heads, fixed_step)
    share = 100.0 if method == "largest" else percentile
    step = config.input_scale
    if not fixed_step:
        # Weights below half an output step are 0.
        depth = math.log(2.0) * (config.out_bits + 1)
        spread = max(float(np.ptp(np.percentile(head.maxima, (100.0 - share, share))))
                     for head in heads)
        step = next((2.0 ** e for e in EXPONENTS
                     if (spread + depth) / 2.0 ** e <= (1 << config.bits) - 1),
                    2.0 ** EXPONENTS[-1])
    offsets = [_offset(head, share, step, config.bits) for head in heads]
    return dataclasses.replace(config, input_scale=step), offsets


def _offset(head: HeadRows, share: float, step: float, bits: int) -> int:
    top = float(np.percentile(head.maxima, share))
    return signed_range(bits)[1] - math.floor(top / step + 0.5)


def _least_squares(config: SoftmaxConfig, heads: list[HeadRows],
                   fixed_step: bool) -> tuple[SoftmaxConfig, list[int]]:
    steps = [config.input_scale] if fixed_step else [2.0 ** e for e in EXPONENTS]
    exact = [softmax(head.rows) for head in heads]
    best: tuple[float, SoftmaxConfig, list[int]] | None = None
    for step in steps:
        trial = dataclasses.replace(config, input_scale=step)
        total, offsets = 0.0, []
        for head, weights in zip(heads, exact, strict=True):
            errors = {}
            for share in TOPS:
                offset = _offset(head, share, step, config.bits)
                if offset not in errors:
                    errors[offset] = _error(trial, head, weights, offset)
            # Of equals the first: the one that saturates least.
            offsets.append(min(errors, key=errors.get))
            total += errors[offsets[-1]]
        if best is None or total < best[0]:
            best = total, trial, offsets
    return best[1], best[2]


def _error(config: SoftmaxConfig, head: HeadRows, exact: np.ndarray, offset: int) -> float:
    x = codes(head.rows, config.input_scale, offset, config.bits)
    y = model.run(config, x, head.rows == -np.inf) * config.output_scale
    return float(np.square(y - exact).sum())

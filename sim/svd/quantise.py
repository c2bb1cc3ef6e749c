"""From a layer in a basis to the integers of the engine: weights, biases, basis, steps.

The engine has one step for all products of the preview, ``g = logit_scale / 2**shift``, and one for
those of the other columns, ``g / 2**tail_shift``. Column j has its own step ``d_j`` of the weights,
and ``h'_j`` its own step ``e_j``; the scale of the column is thus folded into the hidden vector:

    d_j e_j = g                      in the preview
    d_j e_j = g / 2**tail_shift      in the other columns

* In the preview ``d_j`` is the least one with which the largest weight fits: the rounding of a
  weight to 8 bits is by far the largest error.
* In the other columns ``d_j`` is the one with which the rounding of the weights costs as much as
  that of ``h'_j``, within what the widths allow.
* ``shift`` is the largest one with which ``h'_j`` of the calibration, and a quarter more, fits
  every column.

The full view keeps the sums of the preview, and with them the rounding of its weights, which costs
a top word in a hundred. With ``residual`` it adds what the preview's weights lack, in steps of
``d_j / 2**tail_shift``.

With the transform in the engine, ``1 / e_j`` and the step of the hidden vector are folded into the
rows of the basis, of 16 bits with a shift for each row.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from rtl.fixed import signed_range
from rtl.svd.config import (
    BASIS_BITS,
    BASIS_SHIFT_BITS,
    BIAS_BITS,
    LOGIT_BITS,
    OFFSET_BITS,
    SHIFT_BITS,
    SvdSoftmaxConfig,
)

from ..data.svd_image import SvdImage
from .basis import Factors
from .errors import SvdError

__all__ = ["HEAD_ROOM", "Quantised", "logit_step", "quantise"]

# What ranges of the calibration are widened by, as a part of them.
HEAD_ROOM = 0.25

# States that the range of the logits is taken from, at most.
SAMPLED = 128

# The largest logit is taken to be this at least: a range of 0 has no step.
LEAST_LOGIT = 1e-3

# Columns below this part of the largest one are taken to have it: a layer may lack directions.
NEGLIGIBLE = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class Quantised:
    """Layer in integers.

    Attributes
    ----------
    config : SvdSoftmaxConfig
        Engine.
    image : SvdImage
        Integers of its memory.
    factors : Factors
        What they stand for.
    steps : float64 array, shape (dim,)
        Real value of a step of each ``h'_j``.
    hidden_step : float
        Real value of a step of a hidden vector, where the engine transforms it.
    """

    config: SvdSoftmaxConfig
    image: SvdImage
    factors: Factors
    steps: np.ndarray
    hidden_step: float

    def codes(self, hidden: np.ndarray) -> np.ndarray:
        """Return what the engine is given for hidden states (states, dim): int64, saturated.

        The codes of the states, or with ``transform="supplied"`` of ``h'``.
        """
        if self.config.transform == "engine":
            values = hidden.astype(np.float64) / self.hidden_step
        else:
            values = self.factors.rotate(hidden) / self.steps
        return np.clip(_rounded(values), *self.config.hidden_range).astype(np.int64)

    def saturated(self, hidden: np.ndarray) -> float:
        """Return the part of the elements of ``h'`` of hidden states that saturate."""
        low, high = self.config.hidden_range
        values = _rounded(self.factors.rotate(hidden) / self.steps)
        return float(((values < low) | (values > high)).mean())


def quantise(factors: Factors, config: SvdSoftmaxConfig, window: int, count: int,
             hidden: np.ndarray, head_room: float = HEAD_ROOM) -> Quantised:
    """Return a layer in the integers of an engine.

    Parameters
    ----------
    factors : Factors
        Layer.
    config : SvdSoftmaxConfig
        Engine: widths, shift of the tail, step of a logit, transform.
    window, count : int
        Columns of the preview, words of the full view.
    hidden : float array, shape (states, dim)
        Hidden states, for the ranges.
    head_room : float
        What their ranges are widened by, as a part of them.

    Raises
    ------
    SvdError
        If the layer does not fit the engine.
    """
    dim, columns = len(factors.values), factors.columns
    if config.dim != dim:
        raise SvdError(f"Parameter dim must be the columns of the layer, {dim}, not {config.dim}")
    least = logit_step(factors, hidden, head_room)
    if config.logit_scale < least:
        raise SvdError(f"Parameter logit_scale must be at least {least:g} for the logits of these "
                       f"states, not {config.logit_scale:g}")
    steps = _steps(factors, config, window, hidden, head_room)
    bias = _rounded(factors.bias / steps.product)
    low, high = signed_range(BIAS_BITS)
    if bias.min() < low or bias.max() > high:
        raise SvdError(f"Biases must be within {high * steps.product:g}, not "
                       f"{np.abs(factors.bias).max():g}")
    preview = _codes(columns[:, :window], steps.weights[:window], config.bits)
    tail = _codes(columns[:, window:], steps.weights[window:], config.full_bits)
    if config.residual:
        finer = steps.weights[:window] / 2.0 ** config.tail_shift
        rest = _codes(columns[:, :window] - preview * (steps.weights[:window]).astype(np.float32),
                      finer, config.full_bits)
        tail = np.concatenate([rest, tail], axis=1)
    hidden_step = float(np.abs(hidden).max() * (1.0 + head_room)
                        / config.hidden_range[1]) or 1.0
    image = SvdImage(
        preview, tail, bias.astype(np.int32), steps.shift, count,
        *(_basis(factors, steps.hidden, hidden_step) if config.transform == "engine" else ()))
    try:
        image.check(config)
    except ValueError as error:
        raise SvdError(str(error)) from None
    return Quantised(config, image, factors, steps.hidden, hidden_step)


def logit_step(factors: Factors, hidden: np.ndarray, head_room: float = HEAD_ROOM) -> float:
    """Return the least power of two in which 16 bits hold the largest logits of hidden states.

    Of some hundred states. Logits far below may saturate: they are worth nothing.
    """
    chosen = hidden[np.linspace(0, len(hidden) - 1, min(len(hidden), SAMPLED)).astype(int)]
    top = max(float(factors.preview(factors.rotate(row[None]), len(factors.values)).max())
              for row in chosen)
    most = max(top * (1.0 + head_room), LEAST_LOGIT)
    return 2.0 ** math.ceil(math.log2(most / signed_range(LOGIT_BITS)[1]))


@dataclasses.dataclass(frozen=True, eq=False)
class _Steps:
    """Steps of all columns.

    Attributes
    ----------
    shift : int
        The image's shift.
    product : float
        Real value of a step of the preview's products.
    weights, hidden : float64 arrays, shape (dim,)
        Real values of a step of the weights and of ``h'`` in each column.
    """

    shift: int
    product: float
    weights: np.ndarray
    hidden: np.ndarray


def _steps(factors: Factors, config: SvdSoftmaxConfig, window: int, hidden: np.ndarray,
           head_room: float) -> _Steps:
    columns, rotated = factors.columns, factors.rotate(hidden)
    in_preview = np.arange(config.dim) < window
    # The least step that each factor of a product takes.
    weight = _at_least(np.abs(columns).max(axis=0).astype(np.float64)) / np.where(
        in_preview, signed_range(config.bits)[1], signed_range(config.full_bits)[1])
    element = _at_least(np.abs(rotated).max(axis=0) * (1.0 + head_room)) / config.hidden_range[1]
    finer = np.where(in_preview, 1.0, 2.0 ** config.tail_shift)
    shift = math.floor(math.log2(config.logit_scale / (weight * element * finer).max()))
    if shift < 0:
        needed = config.logit_scale / 2.0 ** shift
        raise SvdError(f"Parameter logit_scale must be at least {needed:g} for the products of "
                       f"this layer, not {config.logit_scale:g}")
    shift = min(shift, (1 << SHIFT_BITS) - 1)
    product = config.logit_scale / 2.0 ** shift
    products = product / finer
    equal = np.sqrt(products * _at_least(_root_mean_square(columns))
                    / _at_least(_root_mean_square(rotated)))
    weights = np.where(in_preview, weight, np.clip(equal, weight, products / element))
    return _Steps(shift, product, weights, products / weights)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Integers, half up, as floats."""
    return np.floor(values + 0.5)


def _root_mean_square(columns: np.ndarray) -> np.ndarray:
    return np.sqrt(np.square(columns).mean(axis=0, dtype=np.float64))


def _at_least(values: np.ndarray) -> np.ndarray:
    """Values, of which none is negligible beside the largest."""
    return np.maximum(values, values.max(initial=0.0) * NEGLIGIBLE or 1.0)


def _codes(columns: np.ndarray, steps: np.ndarray, bits: int) -> np.ndarray:
    """Weights in steps of their columns."""
    most = signed_range(bits)[1]
    codes = np.empty(columns.shape, np.int8 if bits <= 8 else np.int16)
    for number, step in enumerate(steps):
        codes[:, number] = np.clip(_rounded(columns[:, number] / step), -most, most)
    return codes


def _basis(factors: Factors, steps: np.ndarray, hidden_step: float
           ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of the basis, offsets and shifts of the rows."""
    rows = factors.transform * (hidden_step / steps)[:, None]
    offset = -factors.offset / steps
    # Of a row and of its offset, whichever has the less room.
    room = np.minimum(signed_range(BASIS_BITS)[1] / np.abs(rows).max(axis=1),
                      signed_range(OFFSET_BITS)[1] / np.maximum(np.abs(offset), 1.0))
    shifts = np.floor(np.log2(room)).astype(np.int64)
    if shifts.min() < 0:
        raise SvdError(f"Rows of the basis must fit {BASIS_BITS} bits: parameter hidden_bits must "
                       "be larger, or the ranges of the states smaller")
    shifts = np.minimum(shifts, (1 << BASIS_SHIFT_BITS) - 1)
    return (_rounded(rows * 2.0 ** shifts[:, None]).astype(np.int16),
            _rounded(offset * 2.0 ** shifts).astype(np.int64), shifts)

"""Calibration of a LayerNorm with an output step for each channel.

``y[c] = step[c] * unit``: the steps are folded into the unit's gamma and beta, so that the unit
works in steps of 1 and does not change. What reads the output multiplies by the step of its
channel, which the weights of the next linear layer take up.
"""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np

from rtl.layernorm.config import LayerNormConfig

from .. import model
from .calibrate import calibrate, normalise
from .errors import AccuracyError
from .logits import METHODS

__all__ = ["NormScales", "codes", "fit", "steps"]

# Ends of the range that least squares tries, as parts of the largest value of all.
INPUT_ENDS = (1.0, 0.9, 0.8, 0.7, 0.6)
OUTPUT_ENDS = np.linspace(0.4, 1.0, 13)
# Deviations of a row that a channel's range holds at least, and its beta: few rows show less of a
# channel than there is. All gammas are then at most the largest output over this, which 8 bits hold
# best.
DEVIATIONS = 4.0


@dataclasses.dataclass(frozen=True, eq=False)
class NormScales:
    """A calibrated LayerNorm.

    Attributes
    ----------
    config : LayerNormConfig
        Unit, with an output scale of 1.
    input_steps, output_steps : float arrays, shape (channels,)
        Real value of a step of the input and of the output in each channel.
    input_offset : float
        Real value of the zero point.
    """

    config: LayerNormConfig
    input_steps: np.ndarray
    input_offset: float
    output_steps: np.ndarray


def fit(name: str, inputs: np.ndarray, gamma: np.ndarray, beta: np.ndarray, *, epsilon: float,
        out_bits: int, method: str = "least-squares", percentile: float = 99.9,
        head_room: float = 0.1, per_channel: bool = True, **parameters: object) -> NormScales:
    """Return config and scales of a LayerNorm unit.

    Parameters
    ----------
    name : str
        Unit.
    inputs : float array, shape (rows, channels)
        Inputs of the layer.
    gamma, beta : float arrays, shape (channels,)
        Weights of the layer.
    epsilon : float
        What the layer adds to the variance.
    out_bits : int
        Width of an output.
    method : str
        largest: ranges hold all that was seen, and ``head_room``; percentile: but for what is
        beyond it; least-squares: the ranges with the least squared error of the output.
    percentile : float
        Of the method of that name, 50..100.
    head_room : float
        Share by which the input's range goes beyond what was seen.
    per_channel : bool
        A step of the output for each channel, or one for all.
    **parameters
        Of the config, as of :func:`sim.accuracy.calibrate.calibrate`.
    """
    if method not in METHODS:
        raise AccuracyError(f"Parameter method must be one of {', '.join(METHODS)}, not {method!r}")
    if not 50.0 <= percentile <= 100.0:
        raise AccuracyError(f"Parameter percentile must be in 50..100, not {percentile!r}")
    if not 0.0 <= head_room <= 10.0:
        raise AccuracyError(f"Parameter head_room must be in 0..10, not {head_room!r}")
    inputs = np.asarray(inputs, np.float64)
    rms = bool(parameters.get("rms"))
    outputs = normalise(inputs, gamma, beta, epsilon=epsilon, rms=rms)
    output = steps(outputs, out_bits, method, percentile, per_channel)
    if per_channel:
        least = np.maximum(DEVIATIONS * np.abs(gamma), 0.0 if rms else np.abs(beta))
        output = np.maximum(output, least / ((1 << (out_bits - 1)) - 1))

    def fitted(low: np.ndarray, high: np.ndarray) -> NormScales:
        """Calibrate for inputs between ``low`` and ``high``, (channels,)."""
        with warnings.catch_warnings():
            # Each trial would warn; the errors of the places are what compare shows.
            warnings.simplefilter("ignore", UserWarning)
            result = calibrate(name, np.clip(inputs, low, high), gamma / output,
                               None if rms else beta / output, epsilon=epsilon, output_scale=1.0,
                               out_bits=out_bits, head_room=head_room, fewest_tokens=0,
                               **parameters)
        # Channels whose values stand for themselves times their own step.
        alphas = np.array(result.config.alphas)
        return NormScales(result.config, result.input_scale * 2.0 ** alphas, result.input_offset,
                          output)

    low, high = inputs.min(0), inputs.max(0)
    if method == "largest":
        return fitted(low, high)
    if method == "percentile":
        return fitted(*np.percentile(inputs, (100.0 - percentile, percentile), axis=0))
    # Only channels that reach far beyond the others are clipped: they decide the range of all.
    trials = [fitted(np.maximum(low, low.min() * end), np.minimum(high, high.max() * end))
              for end in INPUT_ENDS]
    return min(trials, key=lambda scales: _error(scales, inputs, outputs))


def codes(inputs: np.ndarray, scales: NormScales) -> np.ndarray:
    """Return the unit's inputs for float inputs (..., channels), rounded half up."""
    values = np.floor((inputs - scales.input_offset) / scales.input_steps + 0.5)
    return np.clip(values + scales.config.zero_point, *scales.config.raw_range).astype(np.int64)


def _error(scales: NormScales, inputs: np.ndarray, outputs: np.ndarray) -> float:
    y = model.run(scales.config, codes(inputs, scales)) * scales.output_steps
    return float(np.square(y - outputs).sum())


def steps(outputs: np.ndarray, bits: int, method: str, percentile: float,
                  per_channel: bool) -> np.ndarray:
    """Return the steps (channels,) with which ``bits`` bits, signed, hold values (rows, channels).

    ``per_channel``: each channel has its own, or all have the same.
    """
    most = (1 << (bits - 1)) - 1
    if not per_channel:
        whole = steps(outputs.reshape(-1, 1), bits, method, percentile, True)
        return np.repeat(whole, outputs.shape[1])
    sizes = np.abs(outputs)
    top = np.percentile(sizes, percentile, axis=0) if method == "percentile" else sizes.max(0)
    top = np.where(top > 0, top, 1.0)
    if method != "least-squares":
        return top / most
    best, errors = top / most, np.full(len(top), np.inf)
    for end in OUTPUT_ENDS:
        step = top * end / most
        rounded = np.clip(np.floor(outputs / step + 0.5), -most - 1, most) * step
        error = np.square(rounded - outputs).sum(0)
        best, errors = np.where(error < errors, step, best), np.minimum(error, errors)
    return best

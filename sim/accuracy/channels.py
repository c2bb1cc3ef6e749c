"""Scales of a LayerNorm inside a model: the range of its input, as its outputs ask for.

Steps come from :mod:`sim.accuracy.calibrate`. ``y[c] = step[c] * unit``: the steps of the output
are folded into the unit's gamma and beta, so that the unit does not change. What reads the output
multiplies by the step of its channel, which the weights of the next linear layer take up.
"""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np

from rtl.layernorm.config import LayerNormConfig

from .. import model
from .calibrate import Calibration, calibrate, normalise
from .errors import AccuracyError
from .logits import METHODS

__all__ = ["NormScales", "codes", "fit"]

# Ends of the input's range that least squares tries besides the largest value, as parts of that.
INPUT_ENDS = (0.9, 0.8, 0.7, 0.6)


@dataclasses.dataclass(frozen=True, eq=False)
class NormScales:
    """A calibrated LayerNorm.

    Attributes
    ----------
    config : LayerNormConfig
        Unit.
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
    exact = normalise(inputs, gamma, beta, epsilon=epsilon, rms=bool(parameters.get("rms")))

    def fitted(low: np.ndarray, high: np.ndarray,
               steps: str | np.ndarray = "channel" if per_channel else "common") -> Calibration:
        """Calibrate for inputs between ``low`` and ``high``, (channels,)."""
        with warnings.catch_warnings():
            # Each trial would warn; the errors of the places are what compare shows.
            warnings.simplefilter("ignore", UserWarning)
            return calibrate(name, np.clip(inputs, low, high), gamma,
                             None if parameters.get("rms") else beta, epsilon=epsilon,
                             output_step=steps, method=method, percentile=percentile,
                             head_room=head_room, fewest_tokens=0,
                             **{**parameters, "out_bits": out_bits})

    def error(result: Calibration) -> float:
        outputs = model.run(result.config, result.quantise(inputs))
        return float(np.square(result.dequantise_output(outputs) - exact).sum())

    low, high = inputs.min(0), inputs.max(0)
    if method == "largest":
        best = fitted(low, high)
    elif method == "percentile":
        best = fitted(*np.percentile(inputs, (100.0 - percentile, percentile), axis=0))
    else:
        # Only channels that reach far beyond the others are clipped: they decide the range of all.
        best = fitted(low, high)
        trials = [fitted(np.maximum(low, low.min() * end), np.minimum(high, high.max() * end),
                         best.output_scales) for end in INPUT_ENDS]
        best = min([best, *trials], key=error)
    # Channels whose values stand for themselves times their own step.
    alphas = np.array(best.config.alphas)
    return NormScales(best.config, best.input_scale * 2.0 ** alphas, best.input_offset,
                      best.output_scales)


def codes(inputs: np.ndarray, scales: NormScales) -> np.ndarray:
    """Return the unit's inputs for float inputs (..., channels), rounded half up."""
    values = np.floor((inputs - scales.input_offset) / scales.input_steps + 0.5)
    return np.clip(values + scales.config.zero_point, *scales.config.raw_range).astype(np.int64)

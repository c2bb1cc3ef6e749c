"""Calibration: from a model's float activations and weights to the integers of a LayerNorm unit.

The input is quantised with one scale and zero point and a power-of-two factor for each channel
(FQ-ViT, Lin et al., IJCAI 2022): ``x = (q - zero_point) * 2**alpha * scale + offset``. The scale of
the coarsest factor spans the whole tensor with head room, and each channel takes the factor with
which its squared error is least. Gamma and beta are folded with the step of the output, one for all
channels or one for each; a step is the one with which the squared error of the rounded output is
least.

    result = calibrate("layernorm-exact", activations, gamma, beta, epsilon=1e-12, bits=10,
                       output_step="channel")
    y = result.dequantise_output(sim.model.run(result.config, result.quantise(activations)))

Calibrate on many tokens, some thousand, and measure on others (:meth:`Calibration.relative_error`).
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import warnings

import numpy as np

from rtl import unit
from rtl.layernorm.config import LayerNormConfig

from .. import model
from .logits import METHODS

__all__ = ["Calibration", "calibrate", "common_mean", "input_factors", "normalise", "output_scale",
           "quantise_input"]

# Largest outputs that are tried as the end of the range, as parts of the largest one of all.
CLIPPED = np.linspace(0.1, 1.0, 91)

# Head room of the input's range, as a part of it.
HEAD_ROOM = 0.125

# Tokens below which a warning is given.
FEWEST_TOKENS = 256

# Tokens that steps, factors and the error are taken from, at most.
SAMPLED_TOKENS = 2048

# Relative error above which a warning is given.
LARGEST_ERROR = 0.25

# Part of the tokens with a deviation that the unit does not resolve, above which one is given.
MOST_NARROW = 0.01

# What the largest channel is more than the median one, from which on factors have three bits.
WIDE_RATIO = 16

# Zero points that are tried.
ZERO_POINTS = 5

# Parameters of a config that calibration chooses.
FITTED = ("zero_point", "alpha", "channels", "gamma", "gamma_fraction_bits", "beta",
          "beta_fraction_bits")


@dataclasses.dataclass(frozen=True, eq=False)
class Calibration:
    """Config of a unit, and the scales of its input and output.

    Attributes
    ----------
    config : LayerNormConfig
        Configuration with zero point, alphas, gammas, betas and epsilon. With a step for each
        channel its ``output_scale`` is their geometric mean.
    input_scale : float
        Real value of one step of a channel whose alpha is 0.
    input_offset : float
        Real value of the zero point: 0, or a mean that all channels share, which LayerNorm takes
        off again.
    output_scales : float array, shape (channels,)
        Real value of one output step of each channel.
    tokens : int
        Tokens that it was calibrated on.
    error : float
        :meth:`relative_error` on these tokens; of others it is larger.
    """

    config: LayerNormConfig
    input_scale: float
    input_offset: float
    output_scales: np.ndarray
    tokens: int = 0
    error: float = math.nan

    def quantise(self, inputs: np.ndarray) -> np.ndarray:
        """Return the integers, int64, that stand for float inputs, (..., channels)."""
        config = self.config
        return quantise_input(np.asarray(inputs, np.float64) - self.input_offset, self.input_scale,
                              config.zero_point, config.alphas, config.raw_range)

    def dequantise(self, values: np.ndarray) -> np.ndarray:
        """Return the real inputs, float64, that integers (..., channels) stand for."""
        return ((np.asarray(values, np.int64) - self.config.zero_point)
                * 2.0 ** np.array(self.config.alphas) * self.input_scale + self.input_offset)

    def dequantise_output(self, outputs: np.ndarray) -> np.ndarray:
        """Return the real outputs, float64, that the unit's outputs (..., channels) stand for."""
        return np.asarray(outputs) * self.output_scales

    def relative_error(self, inputs: np.ndarray, exact: np.ndarray) -> float:
        """Return the mean error of the unit's outputs, in parts of the deviation of all outputs.

        ``exact`` are the layer's outputs for the float ``inputs``, both (..., channels); the error
        includes the quantisation of the input.
        """
        got = self.dequantise_output(model.run(self.config, self.quantise(inputs)))
        return float(np.abs(got - exact).mean() / (np.std(exact) or 1.0))

    def narrow_rows(self, inputs: np.ndarray) -> float:
        """Return the part of rows (..., channels) whose deviation the unit does not resolve."""
        steps = (self.dequantise(self.quantise(inputs)) - self.input_offset) / self.input_scale
        squares = np.square(steps).mean(axis=-1)
        if not self.config.rms:
            squares -= np.square(steps.mean(axis=-1))
        resolved = self.config.smallest_deviation ** 2
        return float((squares + self.config.epsilon < resolved).mean())


def calibrate(name: str, inputs: np.ndarray, gamma: np.ndarray, beta: np.ndarray | None = None, *,
              epsilon: float = 0.0, output_step: str | np.ndarray = "common",
              method: str = "least-squares", percentile: float = 99.9, head_room: float = HEAD_ROOM,
              fewest_tokens: int = FEWEST_TOKENS, preset: str | None = None,
              **parameters: object) -> Calibration:
    """Return the config with which a unit computes a model's LayerNorm or RMSNorm.

    A plain function of arrays: it neither loads a model nor keeps anything.

    Parameters
    ----------
    name : str
        Unit, ``"layernorm-ai"`` or ``"layernorm-exact"``.
    inputs : float array, shape (..., channels)
        Inputs of the layer, a token a row, as many as there are and of all kinds.
    gamma, beta : float arrays, shape (channels,)
        Weights of the layer; no beta stands for 0.
    epsilon : float
        What the layer adds to the variance.
    output_step : "common", "channel", or float array, shape (channels,)
        One step for all channels (``config.output_scale``), or one for each, folded into gamma and
        beta (``output_scales``): the consumer scales each channel, a linear layer by its weights.
        An array has the steps themselves.
    method, percentile : str, float
        How an output step is chosen, as of :func:`output_scale`.
    head_room : float
        What the range of the input is widened by, as a part of it: other tokens reach further.
    fewest_tokens : int
        Fewer tokens give a warning.
    preset : str
        Preset of the unit; the first one by default.
    **parameters
        Further parameters of the config. ``output_scale`` is not chosen here if it is given. What
        is not given follows: ``alpha_bits`` is 3 where the largest channel has 16 times the median
        one's magnitude, else 2; ``gamma_bits`` is ``out_bits + 2`` and ``beta_bits`` ``out_bits +
        4``, as far as loaded parameters have room.

    Raises
    ------
    ValueError
        If the arrays do not fit each other or hold anything but finite numbers, a parameter does
        not exist (the message names the nearest one), is not allowed, or is chosen here.

    Warns
    -----
    UserWarning
        If the tokens are few, more than a hundredth of them have a deviation below
        ``config.smallest_deviation``, or the error on them exceeds a quarter of the outputs'
        deviation.
    """
    cls = _checked(name, {"output_step": output_step, "method": method, "percentile": percentile,
                          "preset": preset}, parameters)
    arrays = _arrays(inputs, gamma, beta, (epsilon, head_room))
    inputs, channels = arrays.pop("inputs"), len(arrays["gamma"])
    if not isinstance(output_step, str) and (np.shape(output_step) != (channels,)
                                             or not np.all(np.asarray(output_step) > 0)):
        raise ValueError(f"Parameter output_step must be {channels} positive steps, not "
                         f"{output_step!r:.40}")
    preset = next(iter(cls.PRESETS)) if preset is None else preset
    chosen = _widths(cls, preset, inputs, {**parameters, "channels": channels})

    offset = 0.0 if chosen.rms else common_mean(inputs)
    scale, zero_point, alpha = input_factors(inputs - offset, chosen.raw_range, chosen.alpha_bits,
                                             head_room=head_room,
                                             weights=np.square(arrays["gamma"]))
    sampled = _sampled(inputs)
    outputs = normalise(sampled, **arrays, epsilon=epsilon, rms=chosen.rms)
    one_step = isinstance(output_step, str) and output_step == "common"
    if not isinstance(output_step, str):
        steps = np.asarray(output_step, np.float64)
    elif one_step:
        step = parameters.get("output_scale") or output_scale(
            outputs, chosen.out_bits, method=method, percentile=percentile)
        steps = np.full(channels, float(step))
    else:
        # A channel that hardly moves must not take the fraction bits of the others' gammas, and few
        # tokens can show less of a channel than its beta.
        steps = np.maximum.reduce([
            output_scale(outputs, chosen.out_bits, axis=0, method=method, percentile=percentile),
            np.abs(arrays["gamma"]) / (2 << chosen.out_bits),
            np.abs(arrays["beta"]) / ((1 << (chosen.out_bits - 1)) - 1)])

    gammas, gamma_fraction = _integers(arrays["gamma"] / steps, chosen.gamma_bits, -12, 12)
    fitted = {"zero_point": zero_point, "alpha": alpha, "gamma": gammas,
              "gamma_fraction_bits": gamma_fraction, "epsilon": float(epsilon) / scale ** 2,
              "output_scale": (float(steps[0]) if one_step
                               else float(np.exp(np.log(steps).mean())))}
    if not chosen.rms:
        # No beta is worth more than the range of the output.
        limit = 1 << (chosen.out_bits - 1)
        betas, beta_fraction = _integers(np.clip(arrays["beta"] / steps, -limit, limit - 1),
                                         chosen.beta_bits, 0, 8)
        fitted |= {"beta": betas, "beta_fraction_bits": beta_fraction}
    result = Calibration(dataclasses.replace(chosen, **fitted), scale, offset, steps, len(inputs))
    result = dataclasses.replace(result, error=result.relative_error(sampled, outputs))
    if len(inputs) < fewest_tokens:
        warnings.warn(f"Calibration on {len(inputs)} tokens: other tokens will exceed the range; "
                      f"take {fewest_tokens} at least", stacklevel=2)
    narrow = result.narrow_rows(sampled)
    if narrow > MOST_NARROW:
        warnings.warn(f"{narrow:.0%} of the tokens have a deviation below "
                      "config.smallest_deviation, and are taken to have that one", stacklevel=2)
    if result.error > LARGEST_ERROR:
        warnings.warn(f"The outputs of the calibrated unit err by {result.error:.0%} of their "
                      "deviation on the tokens of the calibration", stacklevel=2)
    return result


# What calibration is given -----------------------------------------------------------------------

def _checked(name, options, parameters):
    """Config class of a unit, after a check of names."""
    cls = unit(name)
    if not issubclass(cls, LayerNormConfig):
        raise ValueError(f"Unit must be a LayerNorm, not {name!r}")
    step = options["output_step"]
    if isinstance(step, str) and step not in ("common", "channel"):
        raise ValueError(f"Parameter output_step must be one of common, channel, not {step!r}")
    if options["method"] not in METHODS:
        raise ValueError(f"Parameter method must be one of {', '.join(METHODS)}, not "
                         f"{options['method']!r}")
    if not 50.0 <= options["percentile"] <= 100.0:
        raise ValueError("Parameter percentile must be in 50..100, not "
                         f"{options['percentile']!r}")
    own = ("epsilon", "head_room", "fewest_tokens", *options)
    known = [key for key in cls.parameters() if key not in FITTED]
    for key in parameters:
        if key in FITTED:
            raise ValueError(f"Parameter {key} must be left to the calibration")
        if key not in known:
            close = difflib.get_close_matches(key, [*known, *own], n=1, cutoff=0.4)
            raise ValueError(f"Parameter {key!r} of calibrate does not exist"
                             + (f"; did you mean {close[0]!r}?" if close else ""))
    if (not isinstance(step, str) or step == "channel") and "output_scale" in parameters:
        raise ValueError("Parameter output_scale must be absent with a step for each channel")
    return cls


def _arrays(inputs, gamma, beta, numbers):
    """Arrays of float64 by name; the inputs as rows."""
    for key, value in zip(("epsilon", "head_room"), numbers, strict=True):
        if not isinstance(value, int | float | np.number) or not 0 <= value < math.inf:
            raise ValueError(f"Parameter {key} must be a number of at least 0, not {value!r}")
    arrays = {"inputs": inputs, "gamma": gamma}
    if beta is not None:
        arrays["beta"] = beta
    for key, value in arrays.items():
        try:
            arrays[key] = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            raise ValueError(f"Array {key} must hold numbers, not {value!r:.40}") from None
    if not arrays["inputs"].ndim or not arrays["inputs"].size:
        raise ValueError("Inputs must be at least one row of channels")
    channels = arrays["inputs"].shape[-1]
    arrays.setdefault("beta", np.zeros(channels))
    for key, value in arrays.items():
        if key != "inputs" and value.shape != (channels,):
            raise ValueError(f"Array {key} must be of shape {(channels,)}, not {value.shape}")
        if not np.isfinite(value).all():
            raise ValueError(f"Array {key} must hold finite numbers only")
    arrays["inputs"] = arrays["inputs"].reshape(-1, channels)
    return arrays


def _widths(cls, preset, inputs, parameters):
    """Config with the widths that the inputs ask for, where they are not given."""
    config = cls.preset(preset, **parameters)
    given = {**cls.PRESETS[preset], **parameters}
    if "alpha_bits" not in given:
        magnitudes = np.abs(inputs - common_mean(inputs)).max(axis=0)
        given["alpha_bits"] = 3 if magnitudes.max() > WIDE_RATIO * np.median(magnitudes) else 2
    # Loaded parameters of a channel have 32 bits.
    room = 32 - given["alpha_bits"] if config.loaded else 36
    given.setdefault("gamma_bits", min(config.out_bits + 2, 14 if config.loaded else 16))
    given.setdefault("beta_bits", min(config.out_bits + 4, room - given["gamma_bits"]))
    return cls(**given)


def _sampled(rows):
    """Rows at even distances, as many as sums over all are taken of."""
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), SAMPLED_TOKENS)).astype(int)]


# Input -------------------------------------------------------------------------------------------

def common_mean(inputs: np.ndarray) -> float:
    """Return the mean of all inputs (tokens, channels) where it exceeds their deviation, else 0."""
    mean, deviation = float(inputs.mean()), float(inputs.std())
    return mean if abs(mean) > deviation else 0.0


def input_factors(inputs: np.ndarray, limits: tuple[int, int], alpha_bits: int, *,
                  head_room: float = HEAD_ROOM, weights: np.ndarray | None = None
                  ) -> tuple[float, int, tuple[int, ...]]:
    """Return scale, zero point and the alpha of each channel for inputs (tokens, channels).

    Integers from ``limits[0]`` to ``limits[1]`` with the largest alpha span all inputs, 0 included,
    each widened by ``1 + head_room``. The zero point is that of the whole range, the middle, or one
    between: where an outlier has one sign, the other channels lack a half of their range with the
    first. The squared error decides, ``weights`` (channels,) times that of each channel.
    """
    inputs = inputs * (1.0 + head_room)
    least, most = min(float(inputs.min()), 0.0), max(float(inputs.max()), 0.0)
    weights = np.ones(inputs.shape[1]) if weights is None else weights
    low, high = limits
    top = (1 << alpha_bits) - 1
    coarse = (most - least) / (high - low) or 1.0
    spanning = int(np.clip(low - math.floor(least / coarse + 0.5), low, high))
    middle = (low + high + 1) // 2
    inputs = _sampled(inputs)
    best = None
    for part in range(ZERO_POINTS):
        zero_point = spanning + (middle - spanning) * part // (ZERO_POINTS - 1)
        if part:
            coarse = max(-least / max(zero_point - low, 0.5), most / max(high - zero_point, 0.5),
                         coarse)
        scale = coarse / 2 ** top
        errors = []
        for alpha in range(top + 1):
            step = scale * 2 ** alpha
            codes = quantise_input(inputs, step, zero_point, 0, limits)
            errors.append(np.square((codes - zero_point) * step - inputs).sum(axis=0))
        error = float(np.min(errors, axis=0) @ weights)
        if best is None or error < best[0]:
            best = error, scale, zero_point, tuple(np.argmin(errors, axis=0).tolist())
    return best[1:]


def quantise_input(inputs: np.ndarray, scale: float, zero_point: int, alpha: object,
                   limits: tuple[int, int]) -> np.ndarray:
    """Return integers of inputs, rounded half up and saturated at ``limits``."""
    steps = np.asarray(inputs, np.float64) / (scale * 2.0 ** np.asarray(alpha))
    return np.clip(np.floor(steps + 0.5) + zero_point, *limits).astype(np.int64)


# Output ------------------------------------------------------------------------------------------

def normalise(inputs: np.ndarray, gamma: np.ndarray, beta: np.ndarray, *, epsilon: float = 0.0,
              rms: bool = False) -> np.ndarray:
    """Return LayerNorm (or RMSNorm, without beta) of inputs, in float64; 0 where all are equal."""
    inputs = np.asarray(inputs, np.float64)
    centred = inputs if rms else inputs - inputs.mean(axis=-1, keepdims=True)
    deviation = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + epsilon)
    normal = centred / np.where(deviation > 0, deviation, 1.0)
    return normal * gamma + (0.0 if rms else beta)


def output_scale(outputs: np.ndarray, bits: int, axis: int | None = None, *,
                 method: str = "least-squares",
                 percentile: float = 99.9) -> float | np.ndarray:
    """Return the step with which ``bits`` bits, signed, hold outputs.

    With ``axis`` 0, of outputs (tokens, channels), a step for each channel.

    Parameters
    ----------
    outputs : float array
        Outputs.
    bits : int
        Width.
    axis : None or 0
        Axis to take one step of.
    method : str
        largest: the range holds all outputs; percentile: all but those beyond ``percentile``;
        least-squares: the step with the least squared error, as large outputs are clipped where
        that is less of an error than what a coarser step costs all.
    percentile : float
        Of the method of that name, 50..100.
    """
    sizes = np.abs(outputs)
    largest = (np.percentile(sizes, percentile, axis=axis) if method == "percentile"
               else sizes.max(axis=axis))
    largest = np.where(largest > 0, largest, 1.0)
    most = (1 << (bits - 1)) - 1
    if method != "least-squares":
        return float(largest / most) if axis is None else largest / most
    steps = [largest * part / most for part in CLIPPED]

    codes = np.empty_like(outputs, np.float64)

    def error(step: np.ndarray) -> np.ndarray:
        np.floor(np.add(np.divide(outputs, step, out=codes), 0.5, out=codes), out=codes)
        np.subtract(np.multiply(np.clip(codes, -most - 1, most, out=codes), step, out=codes),
                    outputs, out=codes)
        return np.square(codes, out=codes).sum(axis=axis)

    best = np.argmin([error(step) for step in steps], axis=0)
    if axis is None:
        return float(steps[best])
    return np.take_along_axis(np.array(steps), best[None], 0)[0]


def _integers(values: np.ndarray, bits: int, low: int, high: int) -> tuple[tuple[int, ...], int]:
    """Return values as integers with the most fraction bits, in low..high, that all of them fit."""
    limit = 1 << (bits - 1)
    for fraction in range(high, low - 1, -1):
        integers = np.floor(values * 2.0 ** fraction + 0.5)
        if fraction == low or (integers.max() < limit and integers.min() >= -limit):
            break
    return tuple(np.clip(integers, -limit, limit - 1).astype(int).tolist()), fraction

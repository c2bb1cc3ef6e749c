"""Calibration: from a model's float activations and weights to the integers of a LayerNorm unit.

The input is quantised with one scale and zero point and a power-of-two factor for each channel
(FQ-ViT, Lin et al., IJCAI 2022): ``x = (q - zero_point) * 2**alpha * scale``. The scale of the
coarsest factor spans the whole tensor, and each channel takes the factor with which its squared
error is least. Gamma and beta are folded with the scale of the output, and that scale is the one
with which the squared error of the rounded output is least.

    norm = sim.data.captured.load_norms("sim/data/minilm_layernorm.npz")[0]
    result = calibrate("layernorm-ai", norm.inputs, norm.gamma, norm.beta, epsilon=norm.epsilon)
    y = result.config.output_scale * sim.model.run(result.config, result.quantise(norm.inputs))
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from rtl import unit
from rtl.layernorm.config import LayerNormConfig

__all__ = ["Calibration", "calibrate", "input_factors", "normalise", "output_scale",
           "quantise_input"]

# Largest outputs that are tried as the end of the range, as parts of the largest one of all.
CLIPPED = np.linspace(0.1, 1.0, 91)


@dataclasses.dataclass(frozen=True)
class Calibration:
    """Config of a unit, and the scale of its input.

    Attributes
    ----------
    config : LayerNormConfig
        Configuration with zero point, alphas, gammas, betas, epsilon and output scale.
    input_scale : float
        Real value of one step of a channel whose alpha is 0.
    """

    config: LayerNormConfig
    input_scale: float

    def quantise(self, inputs: np.ndarray) -> np.ndarray:
        """Return the integers that stand for float inputs, (..., channels)."""
        config = self.config
        return quantise_input(inputs, self.input_scale, config.zero_point, config.alphas,
                              config.raw_range)

    def dequantise(self, values: np.ndarray) -> np.ndarray:
        """Return the real inputs that integers stand for."""
        return ((np.asarray(values, np.int64) - self.config.zero_point)
                * 2.0 ** np.array(self.config.alphas) * self.input_scale)


def calibrate(name: str, inputs: np.ndarray, gamma: np.ndarray, beta: np.ndarray | None = None, *,
              epsilon: float = 0.0, **parameters: object) -> Calibration:
    """Return the config with which a unit computes a model's LayerNorm or RMSNorm.

    Parameters
    ----------
    name : str
        Unit, ``"layernorm-ai"`` or ``"layernorm-exact"``.
    inputs : float array, shape (..., channels)
        Inputs of the layer, as many as there are and of all kinds.
    gamma, beta : float arrays, shape (channels,)
        Weights of the layer; no beta stands for 0.
    epsilon : float
        What the layer adds to the variance.
    **parameters
        Further parameters of the config; ``preset`` names a preset. ``output_scale`` is not chosen
        here if it is given.

    Raises
    ------
    ValueError
        If the arrays do not fit each other, or hold anything but finite numbers.
    """
    cls = unit(name)
    inputs = np.asarray(inputs, np.float64)
    channels = inputs.shape[-1] if inputs.ndim else 0
    weights = {"gamma": gamma, "beta": np.zeros(channels) if beta is None else beta}
    weights = {key: np.asarray(value, np.float64) for key, value in weights.items()}
    if not inputs.size:
        raise ValueError("Inputs must be at least one row of channels")
    for key, value in {"inputs": inputs, **weights}.items():
        if key != "inputs" and value.shape != (channels,):
            raise ValueError(f"Array {key} must be of shape {(channels,)}, not {value.shape}")
        if not np.isfinite(value).all():
            raise ValueError(f"Array {key} must hold finite numbers only")

    preset = parameters.pop("preset", next(iter(cls.PRESETS)))
    # What the parameters leave open is the config's to choose.
    chosen = cls.preset(preset, channels=channels, **parameters)
    scale, zero_point, alpha = input_factors(inputs.reshape(-1, channels), chosen.raw_range,
                                             chosen.alpha_bits)
    outputs = normalise(inputs, **weights, epsilon=epsilon, rms=chosen.rms)
    step = parameters.get("output_scale") or output_scale(outputs, chosen.out_bits)

    gammas, gamma_bits = _integers(weights["gamma"] / step, chosen.gamma_bits, -12, 12)
    # No beta is worth more than the range of the output.
    limit = 1 << (chosen.out_bits - 1)
    betas, beta_bits = _integers(np.clip(weights["beta"] / step, -limit, limit - 1),
                                 chosen.beta_bits, 0, 8)
    fitted = {"zero_point": zero_point, "alpha": alpha, "channels": channels, "gamma": gammas,
              "gamma_fraction_bits": gamma_bits, "output_scale": step,
              "epsilon": float(epsilon) / scale ** 2}
    if not chosen.rms:
        fitted |= {"beta": betas, "beta_fraction_bits": beta_bits}
    return Calibration(cls.preset(preset, **{**parameters, **fitted}), scale)


def input_factors(inputs: np.ndarray, limits: tuple[int, int],
                  alpha_bits: int) -> tuple[float, int, tuple[int, ...]]:
    """Return scale, zero point and the alpha of each channel for inputs (rows, channels).

    Integers from ``limits[0]`` to ``limits[1]`` with the largest alpha span all inputs, 0 included.
    """
    least, most = min(float(inputs.min()), 0.0), max(float(inputs.max()), 0.0)
    top = (1 << alpha_bits) - 1
    coarse = (most - least) / (limits[1] - limits[0]) or 1.0
    scale = coarse / 2 ** top
    zero_point = int(np.clip(limits[0] - math.floor(least / coarse + 0.5), *limits))
    errors = []
    for alpha in range(top + 1):
        step = scale * 2 ** alpha
        codes = quantise_input(inputs, step, zero_point, 0, limits)
        errors.append(np.square((codes - zero_point) * step - inputs).sum(axis=0))
    return scale, zero_point, tuple(np.argmin(errors, axis=0).tolist())


def quantise_input(inputs: np.ndarray, scale: float, zero_point: int, alpha: object,
                   limits: tuple[int, int]) -> np.ndarray:
    """Return integers of inputs, rounded half up and saturated at ``limits``."""
    steps = np.asarray(inputs, np.float64) / (scale * 2.0 ** np.asarray(alpha))
    return np.clip(np.floor(steps + 0.5) + zero_point, *limits).astype(np.int64)


def normalise(inputs: np.ndarray, gamma: np.ndarray, beta: np.ndarray, *, epsilon: float = 0.0,
              rms: bool = False) -> np.ndarray:
    """Return LayerNorm (or RMSNorm, without beta) of inputs, in float64; 0 where all are equal."""
    inputs = np.asarray(inputs, np.float64)
    centred = inputs if rms else inputs - inputs.mean(axis=-1, keepdims=True)
    deviation = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + epsilon)
    normal = centred / np.where(deviation > 0, deviation, 1.0)
    return normal * gamma + (0.0 if rms else beta)


def output_scale(outputs: np.ndarray, bits: int) -> float:
    """Return the step with which ``bits`` bits, signed, hold outputs with the least squared error.

    Large outputs are clipped where that is less of an error than what a coarser step costs all.
    """
    largest = float(np.abs(outputs).max()) or 1.0
    most = (1 << (bits - 1)) - 1

    def error(step: float) -> float:
        codes = np.clip(np.floor(outputs / step + 0.5), -most - 1, most)
        return float(np.square(codes * step - outputs).sum())

    return float(min(largest * CLIPPED / most, key=error))


def _integers(values: np.ndarray, bits: int, low: int, high: int) -> tuple[tuple[int, ...], int]:
    """Return values as integers with the most fraction bits, in low..high, that all of them fit."""
    limit = 1 << (bits - 1)
    for fraction in range(high, low - 1, -1):
        integers = np.floor(values * 2.0 ** fraction + 0.5)
        if fraction == low or (integers.max() < limit and integers.min() >= -limit):
            break
    return tuple(np.clip(integers, -limit, limit - 1).astype(int).tolist()), fraction

"""Settings of a model's units, fitted to what its places were seen to get."""

from __future__ import annotations

import dataclasses

import numpy as np

from rtl import ConfigError, UnitConfig

from . import channels, logits
from .errors import AccuracyError
from .logits import HeadRows
from .settings import NormSettings, Settings

__all__ = ["LayerRows", "fit_layernorms", "fit_softmax"]


@dataclasses.dataclass(frozen=True, eq=False)
class LayerRows:
    """What a LayerNorm or RMSNorm was seen to get, and its weights.

    Attributes
    ----------
    inputs : float array, shape (rows, channels)
        Inputs.
    gamma, beta : float arrays, shape (channels,)
        Weights; beta is 0 for RMSNorm.
    epsilon : float
        What is added to the variance, or mean square.
    rms : bool
        RMSNorm.
    """

    inputs: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray
    epsilon: float
    rms: bool


def fit_softmax(config: UnitConfig, heads: dict[str, list[HeadRows]], *, fixed_step: bool,
                method: str, percentile: float) -> Settings:
    """Return the settings of a softmax: one step, and offsets of the heads of each place.

    Parameters
    ----------
    config : SoftmaxConfig
        Unit.
    heads : dict of lists of HeadRows
        Of each place, by its name.
    fixed_step, method, percentile
        As of :func:`sim.accuracy.logits.fit`.
    """
    every = [head for of_place in heads.values() for head in of_place]
    config, offsets = logits.fit(config, every, method=method, percentile=percentile,
                                 fixed_step=fixed_step)
    result, start = {}, 0
    for name, of_place in heads.items():
        result[name] = tuple(offsets[start:start + len(of_place)])
        start += len(of_place)
    return Settings(config, result)


def fit_layernorms(unit: str, out_bits: int, parameters: dict[str, object],
                   layers: dict[str, LayerRows], **options: object) -> dict[str, NormSettings]:
    """Return the settings of each LayerNorm, by the name of its place.

    Parameters
    ----------
    unit, out_bits, parameters
        As of :func:`sim.accuracy.units.layernorm_parameters`.
    layers : dict of LayerRows
        Of each place, by its name.
    **options
        Method and what it takes, as of :func:`sim.accuracy.channels.fit`.

    Raises
    ------
    AccuracyError
        If a layer has no unit, as with too many channels.
    """
    result = {}
    for name, layer in layers.items():
        try:
            scales = channels.fit(unit, layer.inputs, layer.gamma, layer.beta,
                                  epsilon=layer.epsilon, out_bits=out_bits, **options,
                                  **{**parameters, "rms": layer.rms})
        except ConfigError as error:
            raise AccuracyError(f"LayerNorm {name} has no unit: {error}") from None
        result[name] = NormSettings(scales.config, tuple(scales.input_steps.tolist()),
                                    tuple(scales.output_steps.tolist()), scales.input_offset)
    return result

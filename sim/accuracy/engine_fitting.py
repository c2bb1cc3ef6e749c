"""Calibration of attention engines: the scales of queries, keys, values, logits and outputs.

Methods
-------
largest
    Elements: the largest of all is at the end of the range. Logits: the finest power of two with
    which none saturates.
percentile
    As largest, without the share of elements, and of logits, beyond the percentile.
least-squares
    Elements and outputs: the scale with the least squared error of what is rounded and clipped.
    Logits: the power of two with the least squared error of the weights.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from rtl import ConfigError, UnitConfig, unit
from rtl.fixed import clip, signed_range

from .. import model
from ..model.attention.reuse import codes as map_codes
from ..reference import softmax
from .calibrate import output_scale
from .errors import AccuracyError
from .logits import METHODS, HeadRows

__all__ = ["AttentionRows", "fit_attention", "fit_attentions"]

# Exponents of the logit scales that are tried.
EXPONENTS = range(-10, 4)


@dataclasses.dataclass(frozen=True, eq=False)
class AttentionRows:
    """What one attention was seen to get.

    Attributes
    ----------
    queries, keys, values, outputs : float arrays, shape (heads, vectors, elements)
        Some of each; keys and values may have fewer heads, each for as many heads of queries.
    heads : list of HeadRows
        Logits of each head.
    causal : bool
        Whether queries take the keys up to their own only.
    window : int
        So many of them; 0 for all.
    """

    queries: np.ndarray
    keys: np.ndarray
    values: np.ndarray
    outputs: np.ndarray
    heads: list[HeadRows]
    causal: bool
    window: int = 0


def fit_attentions(parameters: dict[str, Any], fixed: tuple[str, ...],
                   layers: dict[str, AttentionRows], *, method: str, percentile: float,
                   per_head: bool) -> dict[str, tuple[UnitConfig, ...]]:
    """Return the engines of the layers by name, each as of :func:`fit_attention`.

    With scales at run time, and what is seen alike, one engine serves them all: the logits then
    have one step, and there are as many heads as the layer with the most has.
    """
    if parameters["scales"] == "run-time" and len(layers) > 1:
        rows = list(layers.values())
        if parameters["store"] == "resident" and per_head:
            heads = max(parameters["heads"], *(len(layer.queries) for layer in rows))
            parameters = {**parameters, "heads": heads}
        if "logit_scale" not in fixed:
            longest = max(layer.heads[0].rows.shape[1] for layer in rows)
            together = [HeadRows(head.maxima, np.pad(
                head.rows, ((0, 0), (0, longest - head.rows.shape[1])), constant_values=-np.inf))
                for layer in rows for head in layer.heads]
            every = dataclasses.replace(rows[0], heads=together)
            found = fit_attention({**parameters, "max_keys": max(parameters["max_keys"], longest),
                                   "store": "sets", "heads": 1, "window": 0}, fixed,
                                  dataclasses.replace(every, window=0), method=method,
                                  percentile=percentile, per_head=False)
            parameters = {**parameters, "logit_scale": found[0].logit_scale}
            fixed = (*fixed, "logit_scale")
    return {name: fit_attention(parameters, fixed, layer, method=method, percentile=percentile,
                                per_head=per_head) for name, layer in layers.items()}


def fit_attention(parameters: dict[str, Any], fixed: tuple[str, ...], rows: AttentionRows, *,
                  method: str, percentile: float,
                  per_head: bool) -> tuple[UnitConfig, ...]:
    """Return the engine of all heads of a layer, or the engine of each.

    Parameters
    ----------
    parameters, fixed
        As of :func:`sim.accuracy.units.attention_parameters`.
    rows : AttentionRows
        Of the layer.
    method, percentile
        As of :func:`sim.accuracy.logits.fit`.
    per_head : bool
        Scales of its own for each head, but for the logits'; with map reuse for queries and keys.

    Raises
    ------
    AccuracyError
        If there is no such method or percentile, or no such engine.
    """
    if method not in METHODS:
        raise AccuracyError(f"Parameter method must be one of {', '.join(METHODS)}, not {method!r}")
    if not 50.0 <= percentile <= 100.0:
        raise AccuracyError(f"Parameter percentile must be in 50..100, not {percentile!r}")
    sizes = {"dim": rows.queries.shape[-1], "value_dim": rows.values.shape[-1]}
    keys = rows.heads[0].rows.shape[-1]
    values = {**sizes, "io_lanes": math.gcd(*sizes.values(), 8), **parameters}
    # Given as causal, an engine may serve an attention that showed single queries only.
    values["causal"] = rows.causal or bool(parameters.get("causal"))
    for name, size in sizes.items():
        if values[name] != size:
            raise AccuracyError(f"Parameter {name} must be {size}, that of the model's heads, not "
                                f"{values[name]}")
    if rows.window:
        if values["store"] != "resident":
            raise AccuracyError("Parameter store must be resident for the model's sliding windows, "
                                f"not {values['store']}")
        if values["window"] not in (0, rows.window):
            raise AccuracyError(f"Parameter window must be {rows.window}, that of the model, not "
                                f"{values['window']}")
        values["window"] = rows.window
    if values["sinks"]:
        raise AccuracyError("Parameter sinks must be 0: models' masks have none, not "
                            f"{values['sinks']}")
    if per_head and values["scales"] == "run-time" and values["store"] == "resident":
        values["heads"] = max(values["heads"], len(rows.queries))
    if keys > values["max_keys"] and not values["window"]:
        raise AccuracyError(f"Parameter max_keys must be at least {keys}, the keys of the batches, "
                            f"not {values['max_keys']}")
    try:
        return _fitted(values, fixed, rows, method, percentile, per_head)
    except ConfigError as error:
        raise AccuracyError(f"Argument attention must be an engine for the model: {error}"
                            ) from None


def _fitted(values, fixed, rows, method, percentile, per_head):
    cls = unit("attention")
    plain = cls(**values)
    heads = len(rows.queries)
    scales = {}
    for name, x, bits in (("query_scale", rows.queries, plain.bits),
                          ("key_scale", rows.keys, plain.bits),
                          ("value_scale", rows.values, plain.bits),
                          ("output_scale", rows.outputs, plain.out_bits)):
        if name in fixed:
            continue
        alone = per_head and not (plain.reuse and name in ("value_scale", "output_scale"))
        x = np.moveaxis(x, 0, -1).reshape(-1, len(x))
        found = np.atleast_1d(output_scale(x, bits, 0 if alone else None, method=method,
                                           percentile=percentile))
        scales[name] = np.repeat(found, heads // len(found))
    if "logit_scale" not in fixed:
        values["logit_scale"] = _logit_scale(cls, values, rows.heads, method, percentile)
    configs = [cls(**{**values, **{name: float(of_heads[head])
                                   for name, of_heads in scales.items()}})
               for head in range(heads)]
    return tuple(configs) if per_head else tuple(configs[:1])


def _logit_scale(cls, values, heads, method, percentile):
    logits = np.concatenate([head.rows for head in heads])
    dead = logits == -np.inf
    if method != "least-squares":
        sizes = np.abs(logits[~dead])
        top = float(np.percentile(sizes, 100.0 if method == "largest" else percentile))
        most = signed_range(cls(**values).logit_bits)[1]
        return 2.0 ** min(max(math.ceil(math.log2(max(top, 1e-9) / most)), EXPONENTS[0]),
                          EXPONENTS[-1])
    if values["window"]:
        # The rows that were seen have all keys, those beyond the window masked.
        values = {**values, "store": "sets", "window": 0, "max_keys": logits.shape[1]}
    exact, errors = softmax(logits), {}
    for exponent in EXPONENTS:
        config = _trial(tuple({**values, "logit_scale": 2.0 ** exponent}.items()))
        x = np.floor(np.where(dead, 0.0, logits) / config.logit_scale + 0.5)
        x = clip(x, *signed_range(config.logit_bits)).astype(np.int16)
        errors[config.logit_scale] = np.square(_weights(config, x, dead) - exact).sum()
    return min(errors, key=errors.get)


@functools.lru_cache(maxsize=2 * len(EXPONENTS))
def _trial(values):
    """Configuration of a trial: all layers have the same ones, whose tables take time to make."""
    return unit("attention")(**dict(values))


def _weights(config, x, dead):
    if config.reuse:
        codes = map_codes(config, x, dead)
        return codes / np.maximum(codes.sum(axis=-1, keepdims=True), 1)
    return model.run(config.softmax_config, x, dead) * config.softmax_config.output_scale

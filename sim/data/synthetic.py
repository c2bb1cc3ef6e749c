"""Queries, keys and values to try attention with: synthetic sets, and their quantisation.

============ ===================================================================================
``random``   independent normal elements
``cluster``  a centre for every 20 keys: keys and queries are 0.8 of one and 0.6 of noise, the
             values of a centre's keys likewise of a centre of values
``needle``   each query is 0.7, 0.4 and 0.3 of three keys and 0.6 of noise
``lowrank``  the standard deviation of Q and K falls by e every ten dimensions
``allneg``   all scores are negative
============ ===================================================================================

Centres and noise, and all that nothing else is said of, are normal with standard deviation 1.
``beta`` multiplies the queries: it is about the standard deviation of a query's scores, but for
those of the keys of its own centre, and of its needles, which stand out.

They are synthetic: they show how a method behaves from flat attention to peaked, and stand for no
task.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rtl import unit
from rtl.attention import AttentionConfig

from .. import reference

__all__ = ["DATA", "effective_keys", "fine", "fitted", "integers", "quantise", "quantised",
           "scale_for"]

Vectors = tuple[np.ndarray, np.ndarray, np.ndarray]


def _normal(random: np.random.Generator, *shape: int) -> np.ndarray:
    return random.normal(0.0, 1.0, shape)


def _random(random, queries, keys, dim, beta) -> Vectors:
    return beta * _normal(random, queries, dim), _normal(random, keys, dim), \
        _normal(random, keys, dim)


def _cluster(random, queries, keys, dim, beta) -> Vectors:
    count = max(keys // 20, 1)

    def near(centres: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        return 0.8 * centres[chosen] + 0.6 * _normal(random, len(chosen), dim)

    centres = _normal(random, count, dim)
    of_keys = random.integers(count, size=keys)
    k = near(centres, of_keys)
    q = near(centres, random.integers(count, size=queries))
    return beta * q, k, near(_normal(random, count, dim), of_keys)


def _needle(random, queries, keys, dim, beta) -> Vectors:
    k = _normal(random, keys, dim)
    picks = k[random.integers(keys, size=(queries, 3))]
    q = np.einsum("p,qpd->qd", [0.7, 0.4, 0.3], picks) + 0.6 * _normal(random, queries, dim)
    return beta * q, k, _normal(random, keys, dim)


def _lowrank(random, queries, keys, dim, beta) -> Vectors:
    strength = np.exp(-np.arange(dim) / 10.0)
    strength *= (dim / np.sum(strength ** 4)) ** 0.25
    return (beta * _normal(random, queries, dim) * strength,
            _normal(random, keys, dim) * strength, _normal(random, keys, dim))


def _allneg(random, queries, keys, dim, beta) -> Vectors:
    direction = _normal(random, dim)
    direction *= math.sqrt(dim) / np.linalg.norm(direction)
    q = beta * (direction + 0.3 * _normal(random, queries, dim)) / math.sqrt(dim) * 4.0
    k = -np.abs(1.5 + 0.3 * _normal(random, keys, 1)) * direction + 0.3 * _normal(random, keys, dim)
    return q, k, _normal(random, keys, dim)


DATA: dict[str, Callable[..., Vectors]] = {
    "random": _random, "cluster": _cluster, "needle": _needle, "lowrank": _lowrank,
    "allneg": _allneg,
}
"""Generators ``(random, queries, keys, dim, beta)`` of real ``q``, ``k``, ``v``, by name."""


def effective_keys(weights: np.ndarray) -> float:
    """Return the number of keys that matter: 2 to the entropy of a row, averaged over rows."""
    terms = np.where(weights > 0, weights * np.log2(np.where(weights > 0, weights, 1.0)), 0.0)
    return float(np.mean(2.0 ** -terms.sum(axis=-1)))


def scale_for(x: np.ndarray, bits: int) -> float:
    """Return the least power of two as a step at which all of ``x`` fits ``bits`` bits, signed."""
    peak = float(np.abs(x).max())
    return 2.0 ** math.ceil(math.log2(max(peak, 2.0 ** -60) / ((1 << (bits - 1)) - 1)))


def quantise(x: np.ndarray, scale: float, bits: int) -> np.ndarray:
    """Return the nearest integers to ``x / scale``, saturated to plus and minus the largest."""
    high = (1 << (bits - 1)) - 1
    return np.clip(np.rint(x / scale), -high, high).astype(np.int64)


def integers(config: AttentionConfig, random: np.random.Generator, queries: int,
             keys: int) -> Vectors:
    """Return integers of one of several kinds, chosen at random, that go for weak points.

    Full range, extremes only, ties everywhere with a query of zeros, and normal ones.
    """
    low, high = config.element_range
    shapes = ((queries, config.dim), (keys, config.dim), (keys, config.value_dim))
    kind = int(random.integers(6))
    if kind == 0:
        return tuple(random.integers(low, high + 1, shape) for shape in shapes)
    if kind == 1:
        return tuple(random.choice([low, high], shape) for shape in shapes)
    spread = high / (4 if kind < 4 else 16)
    q, k, v = (np.clip(np.rint(random.normal(0, spread, shape)), low, high).astype(np.int64)
               for shape in shapes)
    if kind == 2:
        q[int(random.integers(queries))] = 0
        k[:] = k[0]
    if kind == 3:
        v[:] = random.choice([low, high], config.value_dim)
    return q, k, v


def fitted(q: np.ndarray, k: np.ndarray, v: np.ndarray, **parameters: object) -> AttentionConfig:
    """Return an :class:`~rtl.attention.AttentionConfig` whose scales just fit real vectors.

    Scales are powers of two, the least at which the largest logit, and so on, fits; that of the
    output is taken from the exact outputs. ``parameters`` come on top.
    """
    cls = unit("attention")
    values = {"dim": q.shape[-1], "max_keys": k.shape[-2], **parameters}
    bits, logit_bits, out_bits = (values.get(name, cls.parameters()[name].default)
                                  for name in ("bits", "logit_bits", "out_bits"))
    logits = q @ np.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1])
    scales = {"query_scale": scale_for(q, bits), "key_scale": scale_for(k, bits),
              "value_scale": scale_for(v, bits), "logit_scale": scale_for(logits, logit_bits),
              "output_scale": scale_for(reference.attention(q, k, v), out_bits)}
    return cls(**{**scales, **values})


def fine(q: np.ndarray, k: np.ndarray, v: np.ndarray, **parameters: object) -> AttentionConfig:
    """Return a configuration of :func:`fitted` that adds little to the errors of integers.

    Scales of elements are no powers of two, so that the largest element just fits; logits and
    outputs have 12 bits, and the softmax is the most exact one.
    """
    bits = parameters.get("bits", unit("attention").parameters()["bits"].default)
    scales = {name: float(np.abs(x).max()) / ((1 << (bits - 1)) - 1) for name, x in
              (("query_scale", q), ("key_scale", k), ("value_scale", v))}
    return fitted(q, k, v, **{"softmax": "softmax-split:plus", "logit_bits": 12, "out_bits": 12,
                              **scales, **parameters})


def quantised(config: AttentionConfig, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> Vectors:
    """Return real vectors as the integers that the engine of ``config`` takes."""
    return (quantise(q, config.query_scale, config.bits),
            quantise(k, config.key_scale, config.bits),
            quantise(v, config.value_scale, config.bits))

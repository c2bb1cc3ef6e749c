"""Integer model of the attention engine (:mod:`rtl.attention`)."""

import numpy as np

from rtl.config import UnitConfig

from .. import run as run_unit
from . import reuse
from .selection import kept, logits

__all__ = ["run", "weights"]

# Dot products that are worked on at a time: few enough for the arrays to stay in the cache.
CHUNK = 1 << 16


def run(config: UnitConfig, q: np.ndarray, k: np.ndarray, v: np.ndarray,
        mask: np.ndarray | None = None, *, iterations: int | None = None,
        distance: int | None = None) -> np.ndarray:
    """Compute the outputs of queries.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.
    q : array of integers, shape (..., queries, dim)
        Queries; a set's are in the order in which they come, which counts if ``config.causal``.
    k, v : arrays of integers, shape (..., keys, dim)
        Keys and values, ``1 <= keys <= config.max_keys``; leading axes as those of ``q``.
    mask : array of booleans, broadcastable to (..., keys)
        True: the key takes no part.
    iterations, distance : int
        With ``config.select`` "greedy", what the inputs of these names were set to; by default
        what they are after reset.

    Returns
    -------
    array of int32, shape of ``q``
        Outputs, each worth ``config.output_scale``.

    Raises
    ------
    TypeError, ValueError
        If an array is not of integers (of booleans), out of the range of ``config.bits``, or of a
        shape that does not fit.
    """
    q, k, v, mask = _check(config, q, k, v, mask)
    shape = q.shape
    q, k, v = (x.reshape(-1, *x.shape[-2:]) for x in (q, k, v))
    mask = None if mask is None else mask.reshape(-1, mask.shape[-1])
    result = np.empty(q.shape, np.int32)
    step = max(1, CHUNK // k.shape[1])
    for number in range(len(q)):
        hidden = None if mask is None else mask[number]
        for start in range(0, q.shape[1], step):
            part = slice(start, start + step)
            w = weights(config, q[number, part], k[number], hidden, start=start,
                        iterations=iterations, distance=distance)
            if config.reuse:
                result[number, part] = reuse.weighted(config, w, v[number])
            else:
                result[number, part] = config.output(
                    w.astype(np.int64) @ v[number].astype(np.int64))
    return result.reshape(shape)


def weights(config: UnitConfig, q: np.ndarray, k: np.ndarray, mask: np.ndarray | None = None, *,
            start: int = 0, iterations: int | None = None,
            distance: int | None = None) -> np.ndarray:
    """Return the weights of the keys: (queries, keys), as of :func:`kept`.

    Each is worth ``config.softmax_config.output_scale``. With ``config.reuse`` they are the codes
    of the map, which add up to anything.
    """
    x = logits(config, q, k)
    hidden = ~kept(config, q, k, mask, start=start, iterations=iterations, distance=distance)
    if config.reuse:
        return reuse.codes(config, x, hidden)
    if config.select == "none":
        return run_unit(config.softmax_config, x, hidden)
    # The softmax is given the selected keys alone, one behind the other.
    places = np.argsort(hidden, axis=1, kind="stable")[:, :max((~hidden).sum(axis=1).max(), 1)]
    w = np.zeros(x.shape, np.int32)
    np.put_along_axis(w, places, run_unit(
        config.softmax_config, np.take_along_axis(x, places, 1),
        np.take_along_axis(hidden, places, 1)), 1)
    return w


def _check(config, q, k, v, mask):
    low, high = config.element_range
    q, k, v = map(np.asarray, (q, k, v))
    for name, x in ("Queries", q), ("Keys", k), ("Values", v):
        if x.dtype.kind not in "iu":
            raise TypeError(f"{name} must be integers, not {x.dtype}")
        if x.ndim < 2 or x.shape[-1] != config.dim:
            raise ValueError(f"{name} must have the shape (..., {config.dim}), not {x.shape}")
        if x.size and not low <= int(x.min()) <= int(x.max()) <= high:
            raise ValueError(f"{name} must be in {low}..{high}, "
                             f"not {int(x.min())}..{int(x.max())}")
    if k.shape != v.shape:
        raise ValueError(f"Values must have the shape of the keys {k.shape}, not {v.shape}")
    if not 1 <= k.shape[-2] <= config.max_keys:
        raise ValueError(f"Keys must be 1..{config.max_keys}, not {k.shape[-2]}")
    if q.shape[:-2] != k.shape[:-2]:
        raise ValueError(f"Leading axes of the queries must be those of the keys {k.shape[:-2]}, "
                         f"not {q.shape[:-2]}")
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype != bool:
            raise TypeError(f"Mask must be boolean, not {mask.dtype}")
        try:
            mask = np.broadcast_to(mask, k.shape[:-1])
        except ValueError:
            raise ValueError(f"Mask must fit the shape {k.shape[:-1]}, not {mask.shape}") from None
    return q, k, v, mask

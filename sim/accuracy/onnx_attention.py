"""The operator Attention of ONNX around its softmax: heads, caches, masks, biases, soft cap."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from .errors import AccuracyError
from .logits import NEVER

__all__ = ["Masks", "attend"]


@dataclasses.dataclass(frozen=True, eq=False)
class Masks:
    """What says which keys take part.

    Attributes
    ----------
    mask : None, or boolean or float array, broadcastable to (batch, heads, queries, keys)
        Boolean: true where a key takes part. Float: added to the logits; less than -9000 takes no
        part. On fewer keys than there are, the others take no part.
    is_causal : bool
        A query takes the keys up to its own place.
    left, right : int
        Places before and behind its own that a query takes; -1: all.
    lengths : None, or integer array, shape (batch,)
        Keys that are no padding, of each text.
    """

    mask: np.ndarray | None = None
    is_causal: bool = False
    left: int = -1
    right: int = -1
    lengths: np.ndarray | None = None

    def applied(self, queries: int, keys: int,
                past: int) -> tuple[np.ndarray | None, np.ndarray | float]:
        """Return ``(dead, bias)``: elements that take no part, and what is added to the logits.

        Query i has the place ``i + past``; without a cache but with :attr:`lengths`, the last query
        is the last of these keys.
        """
        dead = np.zeros((1, 1, 1, keys), bool)
        bias: np.ndarray | float = 0.0
        places = np.arange(queries)[:, None] + past
        if self.lengths is not None:
            lengths = np.asarray(self.lengths).reshape(-1, 1, 1, 1)
            dead = dead | (np.arange(keys) >= lengths)
            places = np.arange(queries)[:, None] + lengths - queries
        ahead = np.arange(keys) - places
        if self.is_causal:
            dead = dead | (ahead > 0)
        if self.left >= 0:
            dead = dead | (ahead < -self.left)
        if self.right >= 0:
            dead = dead | (ahead > self.right)
        if self.mask is not None:
            alive, bias = self._split(keys)
            dead = dead | ~alive
        return (dead if dead.any() else None), bias

    def _split(self, keys: int) -> tuple[np.ndarray, np.ndarray | float]:
        mask = self.mask
        if mask.dtype == bool:
            alive, bias = mask, 0.0
        else:
            mask = mask.astype(np.float64)
            alive = mask >= NEVER
            bias = np.where(alive, mask, 0.0)
        missing = [(0, 0)] * (mask.ndim - 1) + [(0, keys - mask.shape[-1])]
        if mask.shape[-1] > keys:
            raise AccuracyError(f"Input attn_mask must be for at most {keys} keys, "
                                f"not {mask.shape[-1]}")
        # One value for all keys is broadcast.
        if mask.shape[-1] < keys and mask.shape[-1] != 1:
            alive = np.pad(alive, missing)
            bias = np.pad(bias, missing) if isinstance(bias, np.ndarray) else bias
        return alive, bias


def attend(softmax: Callable, q: np.ndarray, k: np.ndarray, v: np.ndarray, masks: Masks,
           past_key: np.ndarray | None = None, past_value: np.ndarray | None = None, *,
           heads: tuple[int | None, int | None], scale: float | None, softcap: float,
           precision: np.dtype | None, mode: int) -> tuple[np.ndarray, ...]:
    """Return outputs, keys and values with those of the cache, and what ``mode`` asks for.

    ``softmax(softcap(q k^T * scale) + mask) v``.

    Parameters
    ----------
    softmax : callable
        Is given logits and dead elements; returns weights, float64.
    q, k, v : float arrays, shape (batch, heads, tokens, dim), or (batch, tokens, heads * dim)
        Queries, keys and values; each key head serves as many consecutive heads.
    masks : Masks
        Keys that take part.
    past_key, past_value : float arrays, shape (batch, key heads, keys, dim)
        Cache.
    heads : pair of int or None
        Heads of queries, and of keys and values, of arrays of three axes.
    scale, softcap : float
        ``dim**-0.5`` if None; 0 for none.
    precision : dtype or None
        What the logits are rounded to before the softmax.
    mode : int
        Last result: 0 products, 1 after the soft cap, 2 with masks, 3 weights.
    """
    flat, dtype = q.ndim == 3, q.dtype
    if flat:
        if None in heads:
            raise AccuracyError("Attributes q_num_heads and kv_num_heads must be given with inputs "
                                "of three axes")
        q, k, v = (_heads(x, number) for x, number in zip((q, k, v), (*heads, heads[1]),
                                                          strict=True))
    past = 0
    if past_key is not None:
        past = past_key.shape[2]
        k, v = np.concatenate((past_key, k), axis=2), np.concatenate((past_value, v), axis=2)
    if q.shape[1] % k.shape[1]:
        raise AccuracyError(f"Input Q must have a multiple of the {k.shape[1]} heads of K, "
                            f"not {q.shape[1]}")
    # Not narrower than float32: products of float16 would overflow.
    wide = np.float64 if dtype == np.float64 else np.float32
    groups = q.shape[1] // k.shape[1]
    keys, values = (np.repeat(x, groups, axis=1).astype(wide) for x in (k, v))
    products = q.astype(wide) @ keys.swapaxes(-1, -2)
    products *= wide(q.shape[-1] ** -0.5 if scale is None else scale)
    capped = np.tanh(products / softcap) * softcap if softcap else products
    dead, bias = masks.applied(q.shape[2], k.shape[2], past)
    try:
        logits = capped + bias
        dead = None if dead is None else np.broadcast_to(dead, logits.shape)
    except ValueError:
        raise AccuracyError(f"Input attn_mask must fit {capped.shape}, not "
                            f"{masks.mask.shape}") from None
    if precision is not None:
        logits = logits.astype(precision)
    weights = softmax(logits, dead)
    last = (products, capped, logits if dead is None else np.where(dead, -np.inf, logits),
            weights)[mode].astype(dtype)
    y = weights.astype(dtype).astype(wide) @ values
    if flat:
        y = y.transpose(0, 2, 1, 3).reshape(*y.shape[::2], -1)
    return y.astype(dtype), k, v, last


def _heads(x: np.ndarray, number: int) -> np.ndarray:
    """Return (batch, heads, tokens, dim) of (batch, tokens, heads * dim)."""
    if x.shape[-1] % number:
        raise AccuracyError(f"Inputs of Attention must have a multiple of {number} elements, the "
                            f"heads, not {x.shape[-1]}")
    return x.reshape(*x.shape[:2], number, -1).transpose(0, 2, 1, 3)

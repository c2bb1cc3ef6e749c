"""Biases of queries: their elements for each key, and their order in rows for resident sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["bias_row", "checked_bias"]


def checked_bias(bias: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return biases in the shape (..., queries, keys) of their logits; zeros for None.

    Raises
    ------
    ValueError
        If they do not fit the shape.
    """
    bias = np.zeros(1, np.int64) if bias is None else np.asarray(bias)
    try:
        return np.broadcast_to(bias, shape)
    except ValueError:
        raise ValueError(f"Biases must fit the shape {shape}, not {bias.shape}") from None


def bias_row(parameters: Mapping[str, Any], bias: np.ndarray, place: int) -> np.ndarray:
    """Return the elements of the row of a query at position ``place``: whole words of ``lanes``.

    The words of the first positions that stay visible, then those from the oldest key of the window
    to the last key that the query sees; one word, if it sees none. Elements that are no key's are
    0.

    Parameters
    ----------
    parameters : dict
        Parameters of the configuration: ``lanes``, ``causal``, ``window``, ``sinks``.
    bias : array of integers, shape (keys,)
        Biases of the keys of the set, by their positions.
    place : int
        Position of the query.
    """
    lanes, window = parameters["lanes"], parameters["window"]
    last = min(place, len(bias) - 1) if parameters["causal"] else len(bias) - 1
    first = max(place - window + 1, 0) if window else 0
    sinks = -(-parameters["sinks"] // lanes)
    words = [*(range(sinks) if last >= 0 else ()),
             *range(max(first // lanes, sinks), last // lanes + 1)] or [0]
    position = (np.array(words)[:, None] * lanes + np.arange(lanes)).ravel()
    return np.append(bias, 0)[np.minimum(position, len(bias))]

"""Beats of the stream that brings biases of logits: a row for each query."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rtl.config import UnitConfig

__all__ = ["bias_beats", "row_beats", "wrong_rows"]


def row_beats(config: UnitConfig, bias: np.ndarray, words: np.ndarray,
              random: np.random.Generator) -> dict[str, np.ndarray]:
    """Return ``data`` (beats, lanes) and ``last`` of rows (queries, elements) of so many words.

    Elements behind those of ``bias`` are random.
    """
    lanes, most = config.lanes, int(words.max(initial=0))
    element = config.streams["b"].element
    low = -(1 << element.width - 1) if element.signed else 0
    rows = random.integers(low, low + (1 << element.width), (len(words), most * lanes))
    width = min(bias.shape[1], most * lanes)
    rows[:, :width] = bias[:, :width]
    word = np.arange(most)
    return {"data": rows.reshape(len(words), most, lanes)[word < words[:, None]],
            "last": (word == words[:, None] - 1)[word < words[:, None]]}


def bias_beats(config: UnitConfig, bias: np.ndarray,
               random: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the members of the beats of a set's biases (queries, keys), as :func:`row_beats`.

    The row of a causal query ends with the last key that it sees.
    """
    queries, keys = bias.shape
    seen = np.minimum(np.arange(queries) + 1, keys) if config.causal else np.full(queries, keys)
    return row_beats(config, bias, -(-seen // config.lanes), random)


def wrong_rows(beats: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Return the same with a first row that is "short", if it can be, or "long" by a beat."""
    found = {"long": {name: np.concatenate([values[:1], values])
                      for name, values in beats.items()}}
    found["long"]["last"][0] = False
    if not beats["last"][0]:
        found["short"] = {name: values[1:] for name, values in beats.items()}
    return found

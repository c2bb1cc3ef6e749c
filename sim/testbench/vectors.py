"""Vectors of a unit: the words of each stream's beats, in and out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rtl.config import ConfigError, UnitConfig

from ..bench.attention import KeySet
from ..bench.biases import bias_beats
from ..bench.jobs import Loads, load_beats
from ..bench.rows import BeatFormat, Rows, formats
from ..jobs import expected, expected_sets
from ..stimuli.provider import provider

__all__ = ["vectors"]


def vectors(config: UnitConfig, kind: str, seed: int, beats: int) -> dict[str, list[str]]:
    """Return the beats of each stream at the AXI4-Stream ports, as binary digits.

    Equal arguments give equal vectors. Of a unit whose parameters are loaded there is one load,
    which comes before the rows.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit.
    kind : str
        Inputs, of :data:`~sim.stimuli.provider.KINDS`.
    seed : int
        Seed of the random ones.
    beats : int
        About how many beats random inputs have.

    Raises
    ------
    ConfigError
        If there are no inputs of the kind for the unit, or they are no rows and no sets.
    """
    random = np.random.default_rng(seed)
    inputs = provider(config.UNIT).inputs(config, kind, random, beats=beats,
                                          rows=max(beats // 8, 8))
    forms = dict(zip(config.streams, formats(config, "axis"), strict=True))
    if isinstance(inputs, Loads):
        loaded, inputs = inputs.configs[0], inputs.rows
        load = load_beats(loaded)
        found = {"load": forms["load"].encode(
            np.array([beat["data"] for beat in load], np.int64), None,
            np.array([beat["last"] for beat in load]))}
        return {**found, **_rows(loaded, inputs, forms)}
    if isinstance(inputs, Rows):
        return _rows(config, inputs, forms)
    if isinstance(inputs, Sequence) and all(isinstance(each, KeySet) for each in inputs):
        return _sets(config, inputs, forms)
    raise ConfigError(f"Unit {config.UNIT} has no bench in Verilog: it takes no rows or sets alone")


def _rows(config: UnitConfig, rows: Rows, forms: dict[str, BeatFormat]) -> dict[str, list[str]]:
    outputs = Rows(expected(config, rows), np.zeros(len(rows.values), bool), rows.lengths,
                   rows.names)
    return {"i": forms["i"].from_rows(rows), "o": forms["o"].from_rows(outputs)}


def _sets(config: UnitConfig, sets: Sequence[KeySet],
          forms: dict[str, BeatFormat]) -> dict[str, list[str]]:
    found, random = {name: [] for name in forms}, np.random.default_rng(0)
    for keys in expected_sets(config, sets):
        for name, form in forms.items():
            if name == "b":
                found[name] += form.encode(keep=None, **bias_beats(config, keys.b, random))
                continue
            elements = getattr(keys, "y" if name == "o" else name)
            # No output has a mark.
            found[name] += _set(form, elements, keys, 0 if name == "o" else keys.use)
    return found


def _set(form: BeatFormat, elements: np.ndarray, keys: KeySet, use: int) -> list[str]:
    """Beats of a stream that carry its part of a set."""
    if not len(elements):
        return []
    data = np.asarray(elements).reshape(-1, form.lanes)
    last = np.zeros(len(data), bool)
    last[-1] = True
    # What counts in a vector's last beat, or in that of a set, is the same in all of them.
    mask = np.repeat(keys.mask, len(data) // len(keys.mask))[:, None] if "mask" in form.fields \
        else None
    return form.encode(data, None, last, mask, np.full(len(data), use))

"""Measured figures of the presets, for commands to print.

``mean_errors.json`` beside this file is written by ``python -m sim.report.mean_errors``, from the
integer models, which need NumPy; this package does not.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

from .config import UnitConfig

__all__ = ["FILE", "mean_error"]

FILE = Path(__file__).with_name("mean_errors.json")

# Parameters that make the hardware larger, deeper or another, and leave its outputs as they are
# (`lanes`: but for corrections that are rounded beat by beat, in `softmax-e2` paper).
WITHOUT_EFFECT = {"lanes", "max_length", "memory", "max_rows", "partial_sums", "pipeline"}


def mean_error(config: UnitConfig) -> float | None:
    """Mean absolute error of an output against float64, in real terms.

    None unless the configuration is a measured preset, but for parameters without an effect on it.
    """
    preset, _ = config.nearest_preset()
    expected = {**config.defaults(), **config.PRESETS.get(preset, {})}
    same = all(getattr(config, name) == value for name, value in expected.items()
               if name not in WITHOUT_EFFECT)
    return _stored().get(config.UNIT, {}).get(preset) if same else None


@functools.cache
def _stored() -> dict[str, dict[str, float]]:
    return json.loads(FILE.read_text(encoding="utf-8"))

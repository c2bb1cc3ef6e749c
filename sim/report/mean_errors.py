"""Mean error of every preset: ``python -m sim.report.mean_errors`` writes it for the commands.

Softmax: 1000 rows of 64 normal logits, standard deviation 3. LayerNorm: 100 rows of normal elements
over a quarter of the range, gamma 1 and beta 0. Attention: 64 normal queries over 320 normal keys
and values, standard deviation 1. Vocabulary head: 64 normal vectors over 1024 words whose columns
fall off, an eighth of them in the preview; the sixteenth of the words that is in the full view,
against the softmax of all exact logits. Each against float64 on the same integers.
"""

from __future__ import annotations

import json

import numpy as np

from rtl import UnitConfig, measured, unit, units
from rtl.fixed import signed_range

from .. import model
from ..accuracy.calibrate import normalise
from ..reference import attention, softmax
from ..stimuli.svd import geometric_image
from .tools import normal_errors

__all__ = ["main", "mean_error", "text"]

LENGTH = 64

# Words of a vocabulary head, and hidden vectors.
WORDS, VECTORS = 1024, 64


def mean_error(config: UnitConfig) -> float:
    """Return the mean absolute error of an output, in real terms, to three digits."""
    family = config.UNIT.partition("-")[0]
    error = {"softmax": _softmax, "layernorm": _layernorm, "attention": _attention,
             "svd": _svd}[family](config)
    return float(f"{error:.2e}")


def _softmax(config: UnitConfig) -> float:
    return normal_errors(config, LENGTH).l1 / LENGTH


def _layernorm(config: UnitConfig) -> float:
    low, high = config.raw_range
    x = np.random.default_rng(1).normal(config.zero_point, (high - low) / 8, (100, config.channels))
    raw = np.clip(np.floor(x + 0.5), low, high).astype(np.int64)
    centred = (raw - config.zero_point).astype(np.float64)
    exact = centred / np.sqrt((centred ** 2).mean(axis=1, keepdims=True)) if config.rms else \
        normalise(centred, 1.0, 0.0)
    return np.abs(model.run(config, raw) * config.output_scale - exact).mean()


def _attention(config: UnitConfig) -> float:
    random, (low, high) = np.random.default_rng(1), signed_range(config.bits)
    real, integers = [], []
    for count, scale in ((64, config.query_scale), (config.max_keys, config.key_scale),
                         (config.max_keys, config.value_scale)):
        x = np.floor(random.normal(0, 1, (count, config.dim)) / scale + 0.5)
        integers.append(np.clip(x, low, high).astype(np.int64))
        real.append(integers[-1] * scale)
    outputs = model.run(config, *integers) * config.output_scale
    return np.abs(outputs - attention(*real)).mean()


def _svd(config: UnitConfig) -> float:
    image = geometric_image(config, np.random.default_rng(1), WORDS)
    x = np.random.default_rng(2).normal(0, 300, (VECTORS, config.dim)).astype(np.int64)
    y = model.run(config, x, image)
    # With all words in the full view the mixed vector is that of the exact layer.
    exact = softmax(model.run(config, x, image, count=WORDS).logit * config.logit_scale)
    return np.abs(y.probability * config.output_scale
                  - np.take_along_axis(exact, y.index.astype(np.int64), 1)).mean()


def text() -> str:
    """Return the text of the file: unit, preset, mean error."""
    errors = {name: {preset: mean_error(unit(name).preset(preset))
                     for preset in unit(name).PRESETS} for name in units()}
    return json.dumps(errors, indent=2) + "\n"


def main() -> None:
    """Write the file."""
    measured.FILE.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()

"""What rows bring in their first beats: requantisers of accumulators, and sink logits."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from rtl.config import UnitConfig
from rtl.fixed import MULTIPLIER_BITS, SHIFT_BITS, clip, signed_range

from ..bench.rows import Rows

__all__ = ["random_fields", "with_fields"]


def random_fields(config: UnitConfig, count: int,
                  random: np.random.Generator) -> dict[str, np.ndarray]:
    """Return fields for ``count`` rows, drawn from all that each can be."""
    low, high = signed_range(config.bits)
    fields = {"multiplier": random.integers(1, 1 << MULTIPLIER_BITS, count),
              "shift": random.integers(0, 1 << SHIFT_BITS, count),
              "offset": random.integers(low, high, count, endpoint=True),
              "sink": random.integers(low, high, count, endpoint=True),
              "sink_valid": (random.random(count) < 0.7).astype(np.int64)}
    return {name: fields[name] for name in config.row_fields}


def with_fields(config: UnitConfig, rows: Rows, random: np.random.Generator) -> Rows:
    """Return rows of logits as rows of the configuration, with the fields that it asks for."""
    if not getattr(config, "row_fields", {}):
        return rows
    fields = random_fields(config, len(rows), random)
    if config.sink:
        fields["sink"] = _sinks(config, rows, fields["sink"], random)
    if config.accumulator_bits:
        values, scales = _accumulators(config, rows, fields, random)
        rows, fields = dataclasses.replace(rows, values=values), {**fields, **scales}
    return dataclasses.replace(rows, fields=fields)


def _sinks(config: UnitConfig, rows: Rows, sinks: np.ndarray,
           random: np.random.Generator) -> np.ndarray:
    """Any, or near the largest logit of the row, or the ends of the range."""
    low, high = signed_range(config.bits)
    largest = np.maximum.reduceat(rows.values, rows.ends - rows.lengths) if len(rows) else sinks
    near = np.clip(largest + random.integers(-3, 4, len(rows)), low, high)
    return np.choose(random.integers(0, 6, len(rows)), [sinks, near, near, largest, low, high])


def _accumulators(config: UnitConfig, rows: Rows, fields: Mapping[str, np.ndarray],
                  random: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Accumulators and their scales.

    Of three kinds: the logits themselves; what a scale and an offset make logits about those of the
    rows of; anything.
    """
    count, bits = len(rows), config.accumulator_bits
    low, high = signed_range(bits)
    kind = random.choice(3, count, p=[0.2, 0.6, 0.2])
    multiplier = np.rint(2.0 ** random.uniform(0, MULTIPLIER_BITS, count)).astype(np.int64)
    multiplier = clip(multiplier, 1, (1 << MULTIPLIER_BITS) - 1)
    # Ratios from what makes the widest accumulators logits to 2.
    octaves = random.uniform(min(config.bits - bits, 0), 1, count)
    shift = np.clip(np.rint(np.log2(multiplier) - octaves), 0, (1 << SHIFT_BITS) - 1)
    offset = np.where(random.random(count) < 0.5, fields["offset"], random.integers(-2, 2, count))
    found = {"multiplier": np.choose(kind, [np.ones_like(multiplier), multiplier,
                                            fields["multiplier"]]),
             "shift": np.choose(kind, [0, shift.astype(np.int64), fields["shift"]]),
             "offset": np.choose(kind, [0, offset, fields["offset"]])}
    kinds, ratio, start = (np.repeat(each, rows.lengths) for each in (
        kind, found["multiplier"] / 2.0 ** found["shift"], found["offset"]))
    noise = random.integers(-1, 2, len(kinds))
    scaled = np.rint((rows.values - start) / ratio) + noise
    anything = random.integers(low, high, len(kinds), endpoint=True) >> random.integers(
        0, bits, count).repeat(rows.lengths)
    values = np.choose(kinds, [rows.values, np.clip(scaled, low, high).astype(np.int64), anything])
    return np.clip(values, low, high), found

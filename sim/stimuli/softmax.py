"""Provider for the softmax units (:class:`~sim.stimuli.provider.Provider`): rows with masks.

Named rows go for a unit's weak points, random ones for the rest, and captured ones are logits of a
real Transformer.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Mapping

import numpy as np

from rtl import ConfigError, UnitConfig
from rtl.parameter import Integer

from ..bench.rows import Rows
from ..data import captured, sample
from . import draw
from .provider import Case, preset, presets
from .row_fields import with_fields

__all__ = ["SMALL", "back_to_back", "cases", "directed", "inputs", "random_parameters",
           "random_rows", "tests"]

Row = tuple[str, np.ndarray, np.ndarray | None]

LENGTHS = (1, 2, 8, 255, 256, 257)

CAPTURE = sample("logits")

# Longer rows take a simulator too long.
SMALL = {"max_length": Integer(1, 4096)}


# Provider

def cases(cls: type[UnitConfig], kind: str) -> Iterator[Case]:
    """Yield every preset: core and shell for directed rows, each scale of the captured logits."""
    for name in presets(cls):
        if kind == "directed":
            yield Case(preset(cls, name))
            yield Case(preset(cls, name, lanes=5, max_length=259, accumulator_bits=24, sink=True),
                       "axis")
        elif kind == "throughput":
            yield Case(preset(cls, name, max_length=256))
        elif kind == "real" and "input_scale" in cls.parameters():
            for scale in sorted({row.scale for row in captured.load(CAPTURE)}):
                yield Case(preset(cls, name, input_scale=scale, bits=8, max_length=256))


def random_parameters(cls: type[UnitConfig], random: np.random.Generator,
                      bounds: Mapping[str, object]) -> dict[str, object]:
    """Return a random set of parameters."""
    return draw.parameters(cls, random, bounds=bounds, narrow=functools.partial(_narrowed, cls))


def _narrowed(cls: type[UnitConfig], name: str, kind: object, values: dict) -> object:
    """Kind of a parameter: a table's contents fit the other parameters, rows are not too long."""
    if name == "max_length":
        return SMALL[name]
    if name == "exp_words":
        table = values["exp_entries"] == 0
        return draw.Table((1 << values["out_bits"]) - 1, 40, order=-1) if table else kind
    if name in ("alpha_words", "sigma_words"):
        # What is wrong with the values so far is said where all are put together.
        with contextlib.suppress(Exception):
            config = cls(**values)
            if name == "alpha_words":
                return draw.Table(config.largest_alpha, config.alpha_count)
            return draw.Table(config.one, config.column_count, config.rows, order=1)
    return kind


def inputs(config: UnitConfig, kind: str, random: np.random.Generator, *, beats: int,
           rows: int) -> Rows:
    """Return the rows of a kind, with what their first beats bring."""
    return with_fields(config, _logits(config.of_logits, kind, random, beats, rows), random)


def _logits(config: UnitConfig, kind: str, random: np.random.Generator, beats: int,
            rows: int) -> Rows:
    """Rows of a kind."""
    if kind == "real":
        return _captured(config)
    if kind == "throughput":
        hard = Rows.of(_random_row(config, random, length)
                       for length in draw.hard_lengths(config, random))
        return hard + back_to_back(config, random, rows)
    beats = draw.budget(beats, config.lanes)
    named = Rows.of(directed(config))
    if kind == "random":
        named = draw.fitting(named, config.lanes, random, beats // 2)
    return named + random_rows(config, random, beats // 2)


def tests(config: UnitConfig, kind: str) -> list[str] | None:
    """Return the tests of :mod:`sim.bench.row_unit`: of real rows and throughput a few."""
    return {"real": ["rows_back_to_back", "rows_with_gaps_and_stalls"],
            "throughput": ["rows_back_to_back"]}.get(kind)


def _captured(config: UnitConfig) -> Rows:
    """Captured rows of the config's scale."""
    found = Rows.of((f"layer {row.layer}, head {row.head}", row.logits, row.mask)
                    for row in captured.load(CAPTURE)
                    if row.scale == config.input_scale and len(row.logits) <= config.max_length)
    if not len(found):
        raise ConfigError(f"No captured logits have a scale of {config.input_scale} and up to "
                          f"{config.max_length} elements")
    return found


# Rows


def directed(config: UnitConfig) -> Iterator[Row]:
    """Yield ``(name, values, mask or None)`` for every directed row that fits ``config``."""
    low, high = _limits(config)
    for family in _equal, _peaks, _ramps, _saturated, _sums, _masked:
        for name, values, mask in family(config):
            # Narrow elements can not hold all that is asked for.
            yield name, np.clip(values, low, high), mask


def _limits(config: UnitConfig) -> tuple[int, int]:
    element = config.input_layout.element
    if element.signed:
        return -(1 << (element.width - 1)), (1 << (element.width - 1)) - 1
    return 0, (1 << element.width) - 1


def _sizes(config: UnitConfig, *more: int) -> list[int]:
    """Lengths that meet the edges of beats and rows."""
    lanes, longest = config.lanes, config.max_length
    sizes = {lanes - 1, lanes, lanes + 1, 2 * lanes, 2 * lanes + 1, longest - 1, longest, *more}
    return sorted(size for size in sizes if 1 <= size <= longest)


def _row(length: int, value: int) -> np.ndarray:
    return np.full(length, value, np.int64)


def _equal(config: UnitConfig) -> Iterator[Row]:
    low, high = _limits(config)
    for length in _sizes(config, *LENGTHS):
        yield f"all equal, {length}", _row(length, 0), None
    # The longest row of the largest elements is also the largest sum there is.
    for name, value in ("lowest", low), ("highest", high):
        for length in {1, config.max_length}:
            yield f"all {name}, {length}", _row(length, value), None


def _peaks(config: UnitConfig) -> Iterator[Row]:
    low, high = _limits(config)
    lanes = config.lanes
    for length in _sizes(config, 8):
        for name, place in ("first", 0), ("last", length - 1):
            row = _row(length, low)
            row[place] = high
            yield f"one-hot, {name} of {length}", row, None
            row = _row(length, 0)
            row[place] = 1
            yield f"one step above the rest, {name} of {length}", row, None
    for length in _sizes(config, 3 * lanes, 5 * lanes):
        if length <= lanes:
            continue
        row = _row(length, low // 2)
        row[[0, length - 1]] = high // 2
        yield f"two equal maxima in two beats, {length}", row, None
        row = np.arange(length, dtype=np.int64) % 7 + low // 2
        row[(length - 1) // lanes * lanes:] = high
        yield f"maximum in the last beat only, {length}", row, None
        row = _row(length, high // 2)
        row[(length - 1) // lanes * lanes:] = low
        yield f"maximum in every beat but the last, {length}", row, None


def _ramps(config: UnitConfig) -> Iterator[Row]:
    low, high = _limits(config)
    # Rise per beat, in octaves where the input has a scale and in steps where it has none.
    octave = math.log(2) / getattr(config, "input_scale", 1.0)
    octave = min(max(octave, 1.0 / config.max_beats), 4.0 * (high - low))
    for length in dict.fromkeys((min(config.max_length, 16 * config.lanes), config.max_length)):
        for name, rise in ("a quarter of", 0.25), ("below", 0.9), ("at", 1.0), ("above", 1.1), \
                ("four times", 4.0):
            steps = np.floor(np.arange(length) * (rise * octave / config.lanes)).astype(np.int64)
            yield f"ascending ramp, {name} one octave a beat", low + steps, None
            yield f"descending ramp, {name} one octave a beat", high - steps, None
        steps = np.arange(length, dtype=np.int64)
        yield "ascending ramp, one step an element", low + steps, None
        yield "descending ramp, one step an element", high - steps, None


def _saturated(config: UnitConfig) -> Iterator[Row]:
    low, high = _limits(config)
    for length in _sizes(config):
        place = np.arange(length)
        yield f"highest and lowest in turn, {length}", np.where(place % 2, low, high), None
        yield f"highest beats and lowest beats, {length}", \
            np.where(place // config.lanes % 2, high, low), None
        yield f"lowest, one zero, {length}", np.where(place == length // 2, 0, low), None


def _sums(config: UnitConfig) -> Iterator[Row]:
    """Sums of equal terms that are a power of two, 1.5 of it, and next to either."""
    sizes = set()
    for exponent in range(config.max_length.bit_length()):
        for size in (1 << exponent, 3 << exponent):
            sizes |= {size - 1, size, size + 1}
    for length in sorted(size for size in sizes if 2 < size <= config.max_length):
        yield f"sum of {length} equal terms", _row(length, 3), None


def _masked(config: UnitConfig) -> Iterator[Row]:
    low, high = _limits(config)
    lanes = config.lanes
    for length in _sizes(config, 8, 3 * lanes):
        place = np.arange(length)
        row = (low + place * 37 % (high - low + 1)).astype(np.int64)
        half = length // 2
        masks = {
            "fully masked": place >= 0,
            "masked tail": place >= half,
            "masked head": place < half,
            "masked holes": place % 3 == 1,
            "masked but for the first": place > 0,
            "masked but for the last": place < length - 1,
            "first beat masked": place < lanes,
            "last beat masked": place >= (length - 1) // lanes * lanes,
        }
        for name, mask in masks.items():
            yield f"{name}, {length}", row, mask
        yield f"masked maxima, {length}", np.where(place % 2, high, low // 2), place % 2 == 1
        yield f"masked maximum in the first beat, {length}", \
            np.where(place == 0, high, low), place == 0
        yield f"fully masked, highest, {length}", _row(length, high), place >= 0


# Random rows

def random_rows(config: UnitConfig, random: np.random.Generator, beats: int) -> Rows:
    """Return random rows of about ``beats`` beats together, one of them of full length.

    Lengths, distributions of the elements and masks are each drawn from a few kinds, row by row.
    """
    rows = [_random_row(config, random, config.max_length)]
    left = beats - config.max_beats
    while left > 0:
        length = _random_length(config, random)
        rows.append(_random_row(config, random, length))
        left -= -(-length // config.lanes)
    order = random.permutation(len(rows))
    return Rows.of(rows[k] for k in order)


def back_to_back(config: UnitConfig, random: np.random.Generator, count: int = 1000,
                 longest: int | None = None) -> Rows:
    """Return ``count`` random rows of random lengths, short ones behind long ones among them."""
    limit = min(config.max_length, longest or config.max_length)
    rows = []
    while len(rows) < count:
        kind = random.integers(4)
        lengths = {0: [int(random.integers(1, limit + 1))],
                   1: [min(_random_length(config, random), limit)],
                   2: [limit] + [int(random.integers(1, config.lanes + 1))] * int(
                       random.integers(1, 24)),
                   3: [int(random.integers(1, min(limit, 2 * config.lanes) + 1))] * 4}[int(kind)]
        rows += [_random_row(config, random, min(length, limit)) for length in lengths]
    return Rows.of(rows[:count])


def _random_length(config: UnitConfig, random: np.random.Generator) -> int:
    lanes, longest = config.lanes, config.max_length
    kind = random.integers(6)
    if kind == 0:
        length = int(random.integers(1, longest + 1))
    elif kind == 1:
        length = longest - int(random.integers(0, 2))
    elif kind == 2:
        length = int(random.integers(1, lanes + 1))
    else:
        # Every order of magnitude as often.
        length = int(longest ** random.random())
    if random.random() < 0.2:
        length = -(-length // lanes) * lanes
    return min(max(length, 1), longest)


def _random_row(config: UnitConfig, random: np.random.Generator, length: int) -> Row:
    low, high = _limits(config)
    kind = int(random.integers(7))
    scale = getattr(config, "input_scale", None)
    if kind == 0 or (kind == 1 and scale is None):
        name, row = "uniform", random.integers(low, high + 1, length)
    elif kind == 1:
        name, row = "normal of 3", random.normal(0.0, min(3.0 / scale, 1e6), length)
    elif kind == 2:
        name, row = "normal", random.normal((low + high) / 2, (high - low) / 8, length)
    elif kind == 3:
        centre = random.integers(low, high + 1)
        name, row = "narrow", centre + random.integers(-3, 4, length)
    elif kind == 4:
        name, row = "few values", random.choice(random.integers(low, high + 1, 3), length)
    elif kind == 5:
        name = "rare peaks"
        row = np.where(random.random(length) < 2.0 / length,
                       random.integers(low, high + 1, length), low)
    else:
        name = "drifting"
        row = np.cumsum(random.normal(0.0, (high - low) / 16 / math.sqrt(length), length))
        row += random.integers(low, high + 1)
    row = np.clip(np.round(row), low, high).astype(np.int64)
    mask = _random_mask(random, length)
    return f"random {name}", row, mask


def _random_mask(random: np.random.Generator, length: int) -> np.ndarray | None:
    place = np.arange(length)
    kind = int(random.integers(8))
    if kind < 4:
        return None
    if kind == 4:
        return place >= random.integers(0, length + 1)
    if kind == 5:
        return place < random.integers(0, length + 1)
    if kind == 6:
        return random.random(length) < random.random()
    return random.random(length) < 0.97

"""Provider for the LayerNorm units (:class:`~sim.stimuli.provider.Provider`).

Rows without masks, parameters of the channels, and loads of further ones; captured rows are inputs
of the LayerNorms of a real Transformer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from rtl import ConfigError
from rtl.fixed import signed_range, unsigned_range
from rtl.layernorm.config import LayerNormConfig
from rtl.parameter import Integer

from ..accuracy import calibrate
from ..bench.jobs import Loads, load_beats
from ..bench.rows import Rows
from ..data import captured, sample
from . import draw
from .provider import Case, preset, presets

__all__ = ["SMALL", "cases", "channel_parameters", "directed", "inputs", "lengths", "load_beats",
           "random_parameters", "random_rows", "tests"]

Row = tuple[str, np.ndarray, None]

CAPTURE = sample("layernorm")

# LayerNorms of the capture whose parameters units get: the first, one of the middle, the last.
NORMS = (0, 6, 12)

# Loads of parameters that a run has.
LOADS = 5

# Sizes of what is to be simulated.
SMALL = {"channels": Integer(1, 400)}


# Provider

def cases(cls: type[LayerNormConfig], kind: str) -> Iterator[Case]:
    """Yield every preset: fixed, variable and loaded for directed rows; captured LayerNorms."""
    random = np.random.default_rng(0)
    for name in presets(cls):
        # RMSNorm's elements are centred.
        zero = {"zero_point": 0} if cls.PRESETS.get(name, {}).get("rms") else {}

        def make(zero: dict = zero, name: str | None = name, **values: object) -> LayerNormConfig:
            return channel_parameters(preset(cls, name, **values, **zero), random)

        if kind == "directed":
            yield Case(make(lanes=8, channels=61))
            yield Case(make(lanes=5, channels=33, row_length="variable", epsilon=3.0), "axis")
            yield Case(make(lanes=4, channels=22, channel_parameters="loaded"))
        elif kind == "throughput":
            yield Case(make(channels=256))
            yield Case(make(channels=256, row_length="variable"))
        elif kind == "real":
            for norm in np.array(captured.load_norms(CAPTURE), object)[list(NORMS)]:
                yield Case(calibrate.calibrate(cls.UNIT, norm.inputs, norm.gamma, norm.beta,
                                               epsilon=norm.epsilon, preset=name, lanes=16,
                                               fewest_tokens=1).config)


def inputs(config: LayerNormConfig, kind: str, random: np.random.Generator, *, beats: int,
           rows: int) -> Rows | Loads:
    """Return the rows of a kind; for a unit whose parameters are loaded, with loads."""
    beats = draw.budget(beats, config.lanes)
    if kind == "real":
        found = _captured(config)
    elif kind == "throughput":
        found = random_rows(config, random, rows * config.max_beats).take(range(rows))
        if config.variable:
            found = Rows.of(_random_row(config, random, length)
                            for length in draw.hard_lengths(config, random)) + found
    else:
        found = Rows.of(directed(config))
        # Loads are drawn on top, and the directed rows of a long row are many beats.
        if kind == "random" or config.loaded:
            found = draw.fitting(found, config.lanes, random, beats // 2)
        found += random_rows(config, random, beats // 2)
    if not config.loaded:
        return found
    # A load takes as long as a row, and waits for one that still needs its bank.
    loads = min(LOADS, max(len(found) // 3, 1))
    return Loads(found, [channel_parameters(config, random) for _ in range(loads)])


def tests(config: LayerNormConfig, kind: str) -> list[str] | None:
    """Return the tests of :mod:`sim.bench.row_unit`, or of :mod:`sim.bench.layernorm`."""
    if kind in ("directed", "random"):
        return None
    if config.loaded:
        return ["loads_back_to_back"]
    return ["rows_back_to_back"] + ["rows_with_gaps_and_stalls"] * (kind == "real")


def _captured(config: LayerNormConfig) -> Rows:
    """Inputs of the captured LayerNorms that the config was calibrated to."""
    rows = []
    for norm in captured.load_norms(CAPTURE):
        if norm.inputs.shape[1] != config.channels:
            continue
        scale, zero_point, alphas = calibrate.input_factors(
            norm.inputs, config.raw_range, config.alpha_bits, weights=np.square(norm.gamma))
        if (zero_point, alphas) == (config.zero_point, config.alphas):
            values = calibrate.quantise_input(norm.inputs, scale, zero_point, alphas,
                                              config.raw_range)
            rows += [(f"{norm.name}, token {k}", row, None) for k, row in enumerate(values)]
    if not rows:
        raise ConfigError("No captured LayerNorm has the zero point and alphas of this "
                          "configuration")
    return Rows.of(rows)


# Configurations


def channel_parameters(config: LayerNormConfig, random: np.random.Generator) -> LayerNormConfig:
    """Return the config with random alphas, gammas and betas over their whole ranges."""
    def draw(low: int, high: int) -> tuple[int, ...]:
        values = random.integers(low, high, config.channels, endpoint=True)
        # The ends of the range, and 0.
        return tuple(np.where(random.random(config.channels) < 0.1,
                              random.choice([low, high, 0], config.channels), values).tolist())

    gamma, beta = 1 << (config.gamma_bits - 1), 1 << (config.beta_bits - 1)
    return dataclasses.replace(
        config, alpha=draw(0, (1 << config.alpha_bits) - 1), gamma=draw(-gamma, gamma - 1),
        beta=() if config.rms else draw(-beta, beta - 1))


def random_parameters(cls: type[LayerNormConfig], random: np.random.Generator,
                      bounds: Mapping[str, object]) -> dict[str, object]:
    """Return a random set of parameters, the channels' included."""
    return draw.parameters(cls, random, bounds=bounds, narrow=_narrowed)


def _narrowed(name: str, kind: object, values: dict) -> object:
    """Kind of a parameter: what is said of raw elements and channels fits their widths."""
    if name == "zero_point":
        ends = signed_range if values["signed_input"] else unsigned_range
        return Integer(*ends(values["bits"]))
    if name in ("alpha", "gamma", "beta"):
        if name == "beta" and values["rms"]:
            return draw.Each(0, 0, 0)
        ends, width = unsigned_range if name == "alpha" else signed_range, values[f"{name}_bits"]
        return kind if width is None else draw.Each(*ends(width), values["channels"])
    return kind


# Rows

def lengths(config: LayerNormConfig) -> list[int]:
    """Return the row lengths that meet the edges of beats and rows."""
    lanes, longest = config.lanes, config.max_length
    if not config.variable:
        return [longest]
    sizes = {1, 2, lanes - 1, lanes, lanes + 1, 2 * lanes + 1, longest // 2, longest - 1, longest}
    return sorted(size for size in sizes if 1 <= size <= longest)


def directed(config: LayerNormConfig) -> Iterator[Row]:
    """Yield ``(name, values, None)`` for every directed row of the config."""
    low, high = config.raw_range
    zero = config.zero_point
    for length in lengths(config):
        place = np.arange(length)

        def row(name: str, values: object, length: int = length) -> Row:
            values = np.broadcast_to(values, length).astype(np.int64)
            return f"{name}, {length}", np.clip(values, low, high), None

        for value in sorted({low, high, zero, (low + high) // 2}):
            yield row(f"all {value}", value)
        for base in zero, low, high:
            for outlier in low, high:
                for where in 0, length // 2, length - 1:
                    yield row(f"all {base}, {outlier} at {where}",
                              np.where(place == where, outlier, base))
        # Where a code changes its shift, and where it is clipped.
        for least, most in (61, 66), (246, 255):
            size = least + place % (most - least + 1)
            yield row(f"magnitudes {least} to {most}", zero + np.where(place % 2, size, -size))
            yield row(f"one side, magnitudes {least} to {most}", zero + size)
            for value in range(least, most + 1):
                yield row(f"two values, {value} from zero",
                          zero + np.where(place % 2, value, -value))
        yield row("lowest and highest in turn", np.where(place % 2, low, high))
        yield row("lowest beats and highest beats",
                  np.where(place // config.lanes % 2, low, high))
        yield row("zero and one step in turn", zero + place % 2)
        yield row("highest, one step in one place", np.where(place == length // 3, high - 1, high))
        yield row("ramp", low + place)
        yield row("every value", low + place * 37 % (high - low + 1))


def random_rows(config: LayerNormConfig, random: np.random.Generator, beats: int) -> Rows:
    """Return random rows of about ``beats`` beats together, one of them of full length."""
    rows = [_random_row(config, random, config.max_length)]
    left = beats - config.max_beats
    while left > 0:
        length = config.max_length
        if config.variable:
            length = int(random.choice(lengths(config)) if random.random() < 0.3
                         else config.max_length ** random.random())
        rows.append(_random_row(config, random, length))
        left -= -(-length // config.lanes)
    return Rows.of(rows[k] for k in random.permutation(len(rows)))


def _random_row(config: LayerNormConfig, random: np.random.Generator, length: int) -> Row:
    low, high = config.raw_range
    size = high - low
    kind = int(random.integers(5))
    if kind == 0:
        name, row = "uniform", random.integers(low, high + 1, length)
    elif kind == 1:
        name, row = "normal", random.normal(config.zero_point, size / 8, length)
    elif kind == 2:
        name, row = "off zero", random.normal(random.integers(low, high + 1), size / 16, length)
    elif kind == 3:
        name, row = "narrow", random.integers(low, high + 1) + random.integers(-2, 3, length)
    else:
        name = "rare peaks"
        row = np.where(random.random(length) < 2.0 / length,
                       random.integers(low, high + 1, length), config.zero_point)
    return f"random {name}", np.clip(np.round(row), low, high).astype(np.int64), None

"""Rows, channel parameters and configurations that LayerNorm units are tested with."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np

from rtl import ConfigError
from rtl.layernorm.config import LayerNormConfig
from rtl.parameter import Choice, Flag, Integer, kind_of

from ..bench.rows import Rows

__all__ = ["channel_parameters", "directed", "lengths", "load_beats", "random_config",
           "random_rows"]

Row = tuple[str, np.ndarray, None]


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


def random_config(cls: type[LayerNormConfig], random: np.random.Generator, *,
                  max_channels: int = 400, loaded: bool = False) -> LayerNormConfig:
    """Return a config of class ``cls`` with every parameter drawn at random.

    Combinations that the class refuses are drawn again.
    """
    while True:
        values = {name: _draw(kind_of(field), random) for name, field in cls.parameters().items()}
        values = {name: value for name, value in values.items() if value is not None}
        bits = values["bits"]
        low = -(1 << (bits - 1)) if values["signed_input"] else 0
        high = low + (1 << bits) - 1
        values |= {
            "zero_point": int(random.choice([low, high, random.integers(low, high + 1)])),
            "channels": int(random.integers(1, max_channels + 1)),
            "epsilon": float(random.choice([0.0, 1.0, random.uniform(0, 100)])),
            "output_scale": float(2.0 ** random.uniform(-8, 0)),
            "channel_parameters": "loaded" if loaded else "fixed"}
        with contextlib.suppress(ConfigError):
            return channel_parameters(cls(**values), random)


def _draw(kind: object, random: np.random.Generator) -> object:
    if isinstance(kind, Integer):
        return int(random.choice([kind.low, kind.high, *random.integers(
            kind.low, kind.high + 1, 4)]))
    if isinstance(kind, Choice):
        return kind.values[random.integers(len(kind.values))]
    if isinstance(kind, Flag):
        return bool(random.integers(2))
    return None


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


def load_beats(config: LayerNormConfig) -> list[dict]:
    """Return the beats of ``load`` that bring the parameters of a config."""
    layout, lanes = config.load_layout, config.lanes
    elements = [layout.pack(alpha=alpha, gamma=gamma, beta=beta) for alpha, gamma, beta in
                zip(config.alphas, config.gammas, config.betas, strict=True)]
    elements += [0] * (config.max_beats * lanes - len(elements))
    return [{"data": elements[start:start + lanes], "last": start + lanes >= len(elements)}
            for start in range(0, len(elements), lanes)]

"""Scripts for attention engines with resident sets: random commands, and the ones that go wrong."""

from __future__ import annotations

import numpy as np

from rtl.attention import AttentionConfig
from rtl.attention.parameters import ParameterIntake, SetParameters
from rtl.attention.resident.layouts import Operation
from rtl.attention.sink import Sink
from rtl.fixed import Scaling, signed_range

from ..bench.resident import Script
from .biases import random_biases

__all__ = ["decode_script", "first_script", "random_script", "random_sink", "script_of"]

Command = tuple[Operation, int, int, int]
"""Operation, set, count and offset."""

# Of a hundred queries with scales at run time, those whose head gets others before.
CHANGED = 20


def script_of(config: AttentionConfig, random: np.random.Generator, commands: list[Command]
              ) -> Script:
    """Return commands with random vectors."""
    rows = []
    if config.run_time:
        rows += [(Operation.HEAD.value, 0, head, 0, 0) for head in range(config.heads)]
    for operation, number, count, offset in commands:
        head = int(random.integers(config.heads))
        if config.run_time and operation is Operation.QUERY and random.random() < CHANGED / 100:
            # Parameters that change between two packets, of their head or of another one.
            rows.append((Operation.HEAD.value, 0, int(random.integers(config.heads)), 0, 0))
        rows.append((operation.value, number, head * (operation is Operation.QUERY), count,
                     offset % (1 << config.position_bits)))
    loaded = sum(row[0] == Operation.HEAD.value for row in rows)
    p = [_parameters(config, random).words for _ in range(loaded)]
    keys, queries = (sum(count for operation, _, count, _ in commands if operation == kind)
                     for kind in (Operation.APPEND, Operation.QUERY))
    low, high = config.element_range
    q, k, v = (random.integers(low, high + 1, (count, dim)) for count, dim in
               ((queries, config.dim), (keys, config.dim), (keys, config.value_dim)))
    return Script(np.array(rows, np.int64).reshape(-1, 5), q, k, v,
                  random.random(keys) < random.choice([0, 0.2, 0.9]),
                  np.array(p, np.int64).reshape(-1, ParameterIntake.layout(config).lanes),
                  random_biases(config, random, (queries, config.regions.row_keys)))


def _parameters(config: AttentionConfig, random: np.random.Generator) -> SetParameters:
    """Parameters near those of the configuration, some of any size."""
    low, high = signed_range(config.logit_bits)
    usual = config.set_parameters
    if random.random() < 0.2:
        return SetParameters(
            Scaling(int(random.integers(1, 1 << 16)), int(random.integers(64)),
                    int(random.integers(low, high + 1))),
            Scaling(int(random.integers(1, 1 << 16)), int(random.integers(64))),
            sink=random_sink(config, random))
    near = [max(scale.multiplier - int(random.integers(1 + scale.multiplier // 2)), 1)
            for scale in (usual.logit, usual.output)]
    return SetParameters(
        Scaling(near[0], usual.logit.shift, int(random.integers(low // 8, high // 8 + 1))),
        Scaling(near[1], usual.output.shift), sink=random_sink(config, random))


def random_sink(config: AttentionConfig, random: np.random.Generator) -> Sink | None:
    """Return a sink: near the logits, at either end, any, or for rows without one."""
    if not config.sink:
        return None
    low, high = signed_range(config.logit_bits)
    logit = random.choice([*random.integers(low // 4, high // 4 + 1, 3), low, high,
                           random.integers(low, high + 1)])
    return Sink(int(logit), bool(random.random() < 0.7))


def first_script(config: AttentionConfig, random: np.random.Generator) -> Script:
    """Return an append to an empty set and a query, then one key more and its query."""
    most = config.regions.ring_keys if config.window else config.max_keys - 1
    keys = int(random.integers(1, max(most, 1) + 1)) if config.max_keys > 1 else 0
    count = [max(keys, 1), 1] if config.max_keys > 1 else [1]
    commands, place = [], 0
    for keys in count:
        place += keys
        commands += [(Operation.APPEND, 0, keys, 0), (Operation.QUERY, 0, 1, place - 1)]
    return script_of(config, random, commands)


def decode_script(config: AttentionConfig, random: np.random.Generator, tokens: int, *,
                  queries: int = 2) -> Script:
    """Return token by token an append to each set, and the queries of its query heads.

    Without an end of the sets: for rings, or as many tokens as a set takes.
    """
    return script_of(config, random, [
        command for place in range(tokens) for number in range(config.sets)
        for command in ((Operation.APPEND, number, 1, 0),
                        *((Operation.QUERY, number, 1, place) for _ in range(queries)))])


def random_script(config: AttentionConfig, random: np.random.Generator, count: int, *,
                  faults: bool = True) -> Script:
    """Return ``count`` random commands to all sets, most of them as decoding and prefill give them.

    With ``faults`` some name sets that are not there, or append too much.
    """
    regions = config.regions
    keys, commands = [0] * (config.sets + 1), []
    for _ in range(count):
        number = int(random.integers(config.sets + (faults and random.random() < 0.05)))
        way = random.random()
        most = regions.ring_keys if config.window else config.max_keys - keys[number]
        if way < 0.4:
            size = int(random.integers(1, 7))
            if number < config.sets and size > most:
                if not faults or random.random() < 0.7:
                    commands.append((Operation.FREE, number, 0, 0))
                    keys[number] = 0
                    continue
            else:
                keys[number] += size
            commands.append((Operation.APPEND, number, size, 0))
        elif way < 0.5:
            left = max(keys[number] - int(random.integers(6)), 0)
            if random.random() < 0.2:
                left = int(random.integers(keys[number] + 3))
            commands.append((Operation.TRUNCATE, number, left, 0))
            keys[number] = min(keys[number], left)
        else:
            size = int(random.integers(1, 6))
            offset = keys[number] - size
            if random.random() < 0.2:
                offset = int(random.integers(-3, keys[number] + 4))
            commands.append((Operation.QUERY, number, size, offset))
    commands.append((Operation.QUERY, 0, 1, keys[0]))
    return script_of(config, random, commands)

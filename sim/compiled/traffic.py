"""Random traffic in bulk: jobs of many rows or sets, with what the models make of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rtl.config import UnitConfig

from .. import model
from ..bench.attention import AttentionJob, KeySet
from ..bench.jobs import LoadJob, Loads, RowJob
from ..bench.resident import ResidentJob
from ..bench.rows import Rows
from ..bench.svd import SvdJob
from ..data.synthetic import integers
from ..jobs import expected, expected_batches, expected_sets, make_job
from ..runner import Design
from ..stimuli.attention import with_parameters, with_reuse
from ..stimuli.biases import random_biases
from ..stimuli.layernorm import channel_parameters
from ..stimuli.resident import random_script
from ..stimuli.row_fields import with_fields
from ..stimuli.svd import random_batches

__all__ = ["batch_job", "load_job", "row_job", "script_job", "set_job"]

# Lengths in a job of rows: the model works on all rows of one length at a time.
LENGTHS = 12

# Queries of a set at most.
QUERIES = 512

# Batches of a vocabulary head at most.
BATCHES = 40


def row_job(design: Design, random: np.random.Generator, beats: int) -> RowJob:
    """Return random rows of about so many beats, in random order, and what is expected of them."""
    config = design.config
    values, masks, fields, outputs, lengths = [], [], [], [], []
    for length in _lengths(config, random):
        count = max(1, round(beats / LENGTHS / -(-length // config.lanes)))
        # Of accumulators the logits are drawn first.
        x = _elements(getattr(config, "of_logits", config), random, (count, length))
        mask = _mask(config, random, x.shape)
        drawn = with_fields(config, Rows(x.ravel(), mask.ravel(), np.full(count, length),
                                         ["random"] * count), random)
        x = drawn.values.reshape(x.shape)
        values.append(drawn.values)
        masks.append(mask.ravel())
        fields.append(drawn.fields)
        outputs.append((model.run(config, x, mask, **drawn.fields) if mask.any() else
                        model.run(config, x, **drawn.fields)).ravel())
        lengths.append(np.full(count, length))
    lengths = np.concatenate(lengths)
    order = random.permutation(len(lengths))
    starts = (np.cumsum(lengths) - lengths)[order]
    lengths = lengths[order]
    place = np.repeat(starts - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())
    rows = Rows(np.concatenate(values)[place], np.concatenate(masks)[place], lengths,
                ["random"] * len(lengths),
                {name: np.concatenate([each[name] for each in fields])[order]
                 for name in fields[0]})
    return RowJob(config, rows, np.concatenate(outputs)[place], int(random.integers(1 << 31)),
               design.ports, design.latency)


def load_job(design: Design, random: np.random.Generator, beats: int) -> LoadJob:
    """Return rows of about so many beats, and parameters that are loaded among them."""
    config, job = design.config, row_job(design, random, beats)
    loads = [channel_parameters(config, random) for _ in range(3)]
    outputs = np.stack([job.expected, *(expected(one, job.rows) for one in loads)])
    return LoadJob(config, Loads(job.rows, loads), outputs, job.seed, design.ports, design.latency)


def set_job(design: Design, random: np.random.Generator, beats: int) -> AttentionJob:
    """Return random sets whose queries have about so many beats, and what is expected of them."""
    sets = list(_sets(design.config, random, beats // design.config.value_beats))
    if design.config.reuse:
        sets = with_reuse(design.config, random, sets)
    if design.config.run_time:
        sets = with_parameters(design.config, random, sets)
    sets = expected_sets(design.config, sets)
    return AttentionJob(design.config, sets, int(random.integers(1 << 31)), design.ports,
                        design.latency)


def script_job(design: Design, random: np.random.Generator, beats: int) -> ResidentJob:
    """Return random commands to sets that stay, and what is expected of them."""
    commands = max(beats // design.config.value_beats, 20)
    return make_job(design, random_script(design.config, random, commands),
                    int(random.integers(1 << 31)))


def batch_job(design: Design, random: np.random.Generator, beats: int) -> SvdJob:
    """Return random batches of about so many output beats, and what is expected of them."""
    config = design.config
    count = min(max(beats * 4 // (config.max_vocab * 3), 1), BATCHES)
    batches, content = expected_batches(config, random_batches(config, random, count))
    return SvdJob(config, batches, content, int(random.integers(1 << 31)), design.ports,
                  design.latency)


def _sets(config: UnitConfig, random: np.random.Generator, queries: int) -> Iterator[KeySet]:
    longest = min(QUERIES, 8 + queries // 8, config.max_queries or QUERIES)
    while queries > 0:
        keys = [1, config.max_keys, int(random.integers(1, config.max_keys + 1))][
            min(int(random.integers(8)), 2)]
        q, k, v = integers(config, random, int(longest ** random.random()), keys)
        mask = random.random(keys) < random.choice([0, 0, 0.3, 1.0], p=[0.4, 0.3, 0.27, 0.03])
        yield KeySet(q, k, v, mask, b=random_biases(config, random, (len(q), keys)))
        queries -= len(q)


def _lengths(config: UnitConfig, random: np.random.Generator) -> list[int]:
    lanes, longest = config.lanes, config.max_length
    least = getattr(config, "least_length", 1)
    lengths = [longest, longest - int(random.integers(2)), *random.integers(1, lanes + 1, 2),
               *random.integers(1, longest + 1, 2),
               # Every order of magnitude as often.
               *(longest ** random.random(LENGTHS - 8)).astype(int),
               *(random.integers(1, -(-longest // lanes) + 1, 2) * lanes)]
    return [int(min(max(length, least), longest)) for length in lengths]


def _elements(config: UnitConfig, random: np.random.Generator,
              shape: tuple[int, int]) -> np.ndarray:
    element = config.input_layout.element
    low = -(1 << element.width - 1) if element.signed else 0
    high = low + (1 << element.width) - 1
    kind = int(random.integers(6))
    if kind == 0:
        return random.integers(low, high, shape, endpoint=True)
    centre = random.integers(low, high, (shape[0], 1), endpoint=True)
    if kind == 1:
        spread = min(3.0 / getattr(config, "input_scale", 12.0 / (high - low)), 1e6)
        x = random.normal((low + high) / 2, spread, shape)
    elif kind == 2:
        x = random.normal(centre, (high - low) / 16, shape)
    elif kind == 3:
        x = centre + random.integers(-3, 4, shape)
    elif kind == 4:
        x = np.where(random.random(shape) < 2.0 / shape[1], high, low)
    else:
        x = np.cumsum(random.normal(0.0, (high - low) / 16 / shape[1] ** 0.5, shape), axis=1)
        x += centre
    return np.clip(np.rint(x), low, high).astype(np.int64)


def _mask(config: UnitConfig, random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    kind = int(random.integers(4))
    if kind < 2 or "mask" not in config.input_layout.members:
        return np.zeros(shape, bool)
    if kind == 2:
        return np.arange(shape[1]) >= random.integers(0, shape[1] + 1, (shape[0], 1))
    return random.random(shape) < random.random((shape[0], 1))

"""Jobs for the benches: inputs, with the outputs that the models say must come of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from rtl.attention.parameters import SetParameters
from rtl.attention.resident.layouts import Operation
from rtl.config import UnitConfig
from rtl.svd.words import SELECTED_BIT

from . import model
from .bench.attention import AttentionJob, KeySet
from .bench.jobs import Job, LoadJob, Loads, RowJob
from .bench.resident import ResidentJob, Script
from .bench.rows import Rows
from .bench.svd import SvdBatch, SvdJob, placed
from .model.attention import resident
from .model.attention.reuse import AttentionMap
from .runner import Design
from .stimuli.provider import Inputs
from .stimuli.resident import first_script
from .stimuli.svd import Batches

__all__ = ["expected", "expected_batches", "expected_script", "expected_sets",
           "make_job"]


def expected(config: UnitConfig, rows: Rows) -> np.ndarray:
    """Return what the model says of every element of ``rows``."""
    result = np.empty(len(rows.values), np.int64)
    starts = rows.ends - rows.lengths
    for length in np.unique(rows.lengths):
        chosen = rows.lengths == length
        place = starts[chosen][:, None] + np.arange(length)
        row = {name: values[chosen] for name, values in rows.fields.items()}
        result[place] = model.run(config, rows.values[place], rows.mask[place], **row)
    return result


def expected_sets(config: UnitConfig, sets: Iterable[KeySet]) -> list[KeySet]:
    """Return sets with what the model says of their queries.

    With scales at run time a set without parameters gets those of the configuration, and with
    ``config.bias`` one without biases gets zeros. With ``config.reuse`` each set stores its map
    under the number in its ``use``, where the sets of values behind it find it.
    """
    found, maps = [], {}
    for keys in sets:
        bias = None
        if config.bias != "none":
            bias = keys.b if keys.b.size else np.zeros((len(keys.q), len(keys.k)), np.int64)
            keys = dataclasses.replace(keys, b=bias)
        if config.reuse and keys.use & 1:
            y = maps[_map_number(config, keys.use)].run(config, keys.v)
        elif config.run_time:
            words = keys.p if len(keys.p) else np.array([config.set_parameters.words])
            y = model.run(config, keys.q, keys.k, keys.v, mask=keys.mask, bias=bias,
                          parameters=SetParameters.from_words(config, words[0]))
            keys = dataclasses.replace(keys, p=words)
        else:
            y = model.run(config, keys.q, keys.k, keys.v, mask=keys.mask, bias=bias)
        if config.reuse and not keys.use & 1:
            maps[_map_number(config, keys.use)] = AttentionMap.of(config, keys.q, keys.k, keys.mask)
        found.append(dataclasses.replace(keys, y=y))
    return found


def _map_number(config: UnitConfig, use: int) -> int:
    return config.value_layout["use"].shape.from_bits(use)["map"]


def expected_script(config: UnitConfig, script: Script) -> Script:
    """Return a script with what the model says of its queries."""
    sets = resident.ResidentSets(config, config.regions)
    queries = keys = loads = 0
    for operation, number, head, count, offset in script.commands.tolist():
        if operation == Operation.APPEND.value:
            part = slice(keys, keys + count)
            keys += count
            sets.execute(resident.Append(number, script.k[part], script.v[part],
                                         script.mask[part]))
        elif operation == Operation.QUERY.value:
            part = slice(queries, queries + count)
            bias = None if config.bias == "none" else script.b[part]
            sets.execute(resident.Query(number, script.q[part], offset, head, bias))
            queries += count
        elif operation == Operation.HEAD.value:
            words = SetParameters.from_words(config, script.p[loads])
            numbers = resident.Head(words.logit, words.output, words.sink)
            sets.execute(resident.SetHead(head, numbers))
            loads += 1
        else:
            left = count if operation == Operation.TRUNCATE.value else 0
            sets.execute(resident.Truncate(number, left))
    return dataclasses.replace(script, error=sets.error, **{
        name: np.concatenate([getattr(answer, name) for answer in sets.answers])
        for name in ("y", "marked", "row_words")})


def expected_batches(config: UnitConfig, inputs: Batches) -> tuple[list[SvdBatch], np.ndarray]:
    """Return batches with what the model says of their vectors, and the memory with the images."""
    content, addresses = placed(config, inputs.images)
    found = []
    for batch in inputs.batches:
        image = inputs.images[batch.image]
        words, count = batch.vocabulary, batch.count
        y = model.run(config, batch.x, image, count=count, vocabulary=words, whole=True)
        selected = y.index.astype(np.int64)
        flags = np.zeros(y.mixed.shape, np.int64)
        np.put_along_axis(flags, selected, 1 << SELECTED_BIT, 1)
        # Of all words, or of the selected ones.
        columns = np.arange(words) | flags, y.probabilities, y.mixed
        if not config.whole:
            columns = [np.take_along_axis(each, selected, 1) for each in columns]
        log = np.broadcast_to(y.log_partition[:, None], columns[0].shape)
        words_out = np.stack([*columns, log], axis=2).reshape(-1, 4).astype(np.int64)
        size = log.shape[1]
        ends = np.arange(len(words_out)) % size == size - 1
        registers = np.array([addresses[batch.image], words, image.columns, count])
        found.append(SvdBatch(batch.x, registers, image, words_out & 0xFFFFFFFF, ends))
    return found, content


def make_job(design: Design, inputs: Inputs, seed: int = 0) -> Job:
    """Return the job that compares a design with the model on its inputs."""
    config, rest = design.config, (seed, design.ports, design.latency)
    if isinstance(inputs, Rows):
        return RowJob(config, inputs, expected(config, inputs), *rest)
    if isinstance(inputs, Loads):
        outputs = [expected(one, inputs.rows) for one in (config, *inputs.configs)]
        return LoadJob(config, inputs, np.stack(outputs), *rest)
    if isinstance(inputs, Batches):
        return SvdJob(config, *expected_batches(config, inputs), *rest)
    if isinstance(inputs, Script):
        first = first_script(config, np.random.default_rng([seed, 7]))
        return ResidentJob(config, expected_script(config, inputs),
                           expected_script(config, first), *rest)
    return AttentionJob(config, expected_sets(config, inputs), *rest)

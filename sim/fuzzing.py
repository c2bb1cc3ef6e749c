"""Fuzz of the configurations: ``python -m sim.regress [UNIT ...] --fuzz N``.

Each random parameter set is refused in one line that names a parameter, or makes a configuration
whose name is a Verilog identifier, whose files read back to it, and whose model takes rows of
extreme and random elements to outputs in range. Nothing is simulated; the random configurations of
the regression are those of the same distribution that are accepted and small.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import multiprocessing
import re
import shlex
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from amaranth import UnusedElaboratable
from rich.console import Console
from rich.table import Table

from rtl import ConfigError, UnitConfig, unit
from rtl.parameter import shown
from rtl.progress import Progress

from . import model
from .shrinking import SECONDS, difference, shrink
from .stimuli import svd
from .stimuli.biases import random_biases
from .stimuli.provider import provider
from .stimuli.row_fields import random_fields
from .tasks import prepare_worker, told

__all__ = ["FuzzTask", "Fuzzed", "command", "failure_of", "fuzz", "load", "parameter_sets",
           "repeat", "run", "save", "tell"]

# Sets that a process tries at a time.
PIECE = 100

# What Verilog takes for a name, and 30 characters less than Verilator's longest: submodules add to
# the name.
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,96}")

# Characters of a TOML file that is read back, which takes a hundred times as long as JSON.
LONGEST_TOML = 3000

# Elements of a row, keys of a set and words at most: values reach the extremes.
LONGEST = 300
KEYS = 12
WORDS = 40


@dataclasses.dataclass(frozen=True)
class FuzzTask:
    """Random parameter sets of a unit.

    Attributes
    ----------
    name : str
        Name of the unit.
    seed : int
        Seed of all sets.
    first, count : int
        Number of the first set, and how many there are.
    """

    name: str
    seed: int
    first: int
    count: int


@dataclasses.dataclass(frozen=True)
class Fuzzed:
    """What came of parameter sets.

    Attributes
    ----------
    task : FuzzTask
        The sets.
    accepted : int
        Sets that made a configuration.
    failures : tuple of (int, dict, str)
        Number of each set that failed, its parameters, and how.
    """

    task: FuzzTask
    accepted: int
    failures: tuple[tuple[int, dict[str, Any], str], ...]


def parameter_sets(task: FuzzTask) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the sets of a task with their numbers: the same ones however they are divided."""
    source, cls = provider(task.name), unit(task.name)
    for number in range(task.first, task.first + task.count):
        random = np.random.default_rng([task.seed, zlib.crc32(task.name.encode()), number, 2])
        yield number, source.random_parameters(cls, random, {})


def fuzz(task: FuzzTask) -> Fuzzed:
    """Try parameter sets; nothing that goes wrong is raised."""
    accepted, failures = 0, []
    for number, values in parameter_sets(task):
        config, failure = failure_of(task.name, values)
        accepted += config is not None
        if failure:
            failures.append((number, values, failure))
    return Fuzzed(task, accepted, tuple(failures))


def failure_of(name: str, values: Mapping[str, Any]) -> tuple[UnitConfig | None, str]:
    """Return the configuration of a parameter set, if there is one, and what is wrong, if anything.

    A set that is refused as it should be is right.
    """
    config = None
    try:
        with warnings.catch_warnings(), np.errstate(all="raise"):
            warnings.simplefilter("error")
            # What was left unbuilt before may be collected here.
            warnings.simplefilter("ignore", UnusedElaboratable)
            try:
                config = unit(name)(**values)
            except ConfigError as error:
                return None, _wrong_refusal(unit(name), str(error))
            return config, _wrong_name(config) or _wrong_outputs(config)
    except Exception as error:
        return config, told(error)


def _wrong_refusal(cls: type[UnitConfig], text: str) -> str:
    """What is wrong with the text of a refusal."""
    known = "|".join(cls.parameters())
    if "\n" in text or not re.match(rf"Parameter ({known}) must .*, not ", text):
        return f"refused otherwise than in one line: {text!r}"
    return ""


def _wrong_name(config: UnitConfig) -> str:
    """What is wrong with a configuration's name and files."""
    if not IDENTIFIER.fullmatch(config.name):
        return f"the name {config.name!r} is no Verilog identifier"
    text = config.to_toml()
    if len(text) < LONGEST_TOML and UnitConfig.from_toml(text) != config \
            or UnitConfig.from_json(config.to_json()) != config:
        return "its file reads back to another configuration"
    return ""


def _wrong_outputs(config: UnitConfig) -> str:
    """What is wrong with the outputs of the model for a few inputs."""
    if "setup" in config.streams:
        return _wrong_batches(config)
    element = config.output_layout.element
    low = -(1 << element.width - 1) if element.signed else 0
    high = low + (1 << element.width) - 1
    if config.latency < 1 or not config.output_scale > 0:
        return f"its latency is {config.latency}, its output scale {config.output_scale}"
    for inputs, mask in _inputs(config):
        row = {}
        if getattr(config, "row_fields", {}):
            row = random_fields(config, len(inputs[0]), np.random.default_rng(1))
        if getattr(config, "bias", "none") != "none":
            row["bias"] = random_biases(config, np.random.default_rng(1),
                                        (len(inputs[0]), len(inputs[1])))
        y = model.run(config, *inputs, **row, **({} if mask is None else {"mask": mask}))
        # Of an engine as many outputs as queries, of the size of a value.
        shape = (*inputs[0].shape[:-1], inputs[-1].shape[-1])
        if y.shape != shape:
            return f"outputs have the shape {y.shape} instead of {shape}"
        if (y < low).any() or (y > high).any():
            return f"an output is {y.min()} or {y.max()}, out of {low}..{high}"
    return ""


def _wrong_batches(config: UnitConfig) -> str:
    """What is wrong with the outputs of a vocabulary head for small images."""
    if config.latency < 1 or not config.output_scale > 0:
        return f"its latency is {config.latency}, its output scale {config.output_scale}"
    random = np.random.default_rng(0)
    for words in {1, min(config.max_vocab, WORDS)}:
        image = svd.random_image(config, random, words, int(random.integers(
            1, config.max_preview + 1)))
        x = svd.random_vectors(config, random, 3)
        x[0], x[2] = config.hidden_range
        y = model.run(config, x, image)
        if y.index.shape != (3, image.count) or (np.diff(y.index, axis=1) <= 0).any():
            return f"its words are {y.index.tolist()}"
        if (y.probability < 0).any() or (y.probability >> config.out_bits).any():
            return f"a probability is {y.probability.min()} or {y.probability.max()}"
        if (np.abs(y.log_partition) >> (config.log_bits - 1)).any():
            return f"a log-partition is not of {config.log_bits} bits: {y.log_partition}"
    return ""


def _inputs(config: UnitConfig) -> Iterator[tuple[tuple[np.ndarray, ...], np.ndarray | None]]:
    """Rows of extreme and random elements, or sets, with masks where there are some."""
    random = np.random.default_rng(0)
    if "q" in config.streams:
        yield from _sets(config, random)
        return
    element = config.input_layout.element
    low = -(1 << element.width - 1) if element.signed else 0
    high = low + (1 << element.width) - 1
    longest = config.max_length
    least = getattr(config, "least_length", 1)
    masked = "mask" in config.input_layout.members
    for length in {least, max(least, min(longest, LONGEST)), max(least, longest // 2)}:
        place = np.arange(length)
        rows = np.stack([
            np.full(length, low), np.full(length, high), np.where(place % 2, low, high),
            np.where(place == length // 2, high, low), np.clip(low + place, low, high),
            random.integers(low, high, length, endpoint=True)])
        yield (rows,), None
        if masked:
            yield (rows,), np.stack([place % 2 == n % 2 for n in range(6)])
    if longest > LONGEST:
        yield (np.stack([np.full(longest, low), np.full(longest, high)]),), None


def _sets(config: UnitConfig, random: np.random.Generator):
    low, high = config.element_range
    queries = min(3, config.max_queries or 3)
    for keys in {1, min(config.max_keys, KEYS)}:
        for draw in (lambda shape: random.integers(low, high, shape, endpoint=True),
                     lambda shape: random.choice([low, high], shape)):
            q, k, v = (draw(size) for size in ((queries, config.dim), (keys, config.dim),
                                               (keys, config.value_dim)))
            yield (q, k, v), random.random(keys) < 0.2


# Runs

def run(names: Sequence[str], count: int, seed: int, folder: Path, jobs: int, console: Console, *,
        seconds: float = SECONDS) -> int:
    """Try ``count`` sets of each unit, print what failed and a table; return the exit status.

    The first failure of a unit is shrunk for up to ``seconds``.
    """
    tasks = [FuzzTask(name, seed, first, min(PIECE, count - first))
             for name in names for first in range(0, count, PIECE)]
    found = []
    with concurrent.futures.ProcessPoolExecutor(
            min(jobs, len(tasks)), multiprocessing.get_context("spawn"), prepare_worker) as pool, \
            Progress("fuzzing", count * len(names), "parameter sets") as progress:
        futures = [pool.submit(fuzz, task) for task in tasks]
        try:
            for future in concurrent.futures.as_completed(futures):
                found.append(future.result())
                progress.advance(found[-1].task.count)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    table = Table("unit")
    for title in "sets", "refused", "accepted", "failed":
        table.add_column(title, justify="right")
    failed = 0
    for name in names:
        group = [each for each in found if each.task.name == name]
        failures = [failure for each in group for failure in each.failures]
        accepted = sum(each.accepted for each in group)
        table.add_row(name, *(f"{n:,}" for n in (count, count - accepted, accepted,
                                                 len(failures))))
        failed += len(failures)
        if failures:
            tell(name, *min(failures, key=lambda failure: failure[0])[1:], folder, console, seconds)
    console.print(table)
    return 1 if failed else 0


def repeat(path: Path, console: Console) -> int:
    """Try the parameter set of a file; return the exit status."""
    name, values = load(path)
    _, failure = failure_of(name, values)
    if failure:
        console.print(f"FAILED {name}: {failure}", style="red", markup=False, highlight=False,
                      soft_wrap=True)
    else:
        console.print(f"{name} passes", highlight=False)
    return 1 if failure else 0


def tell(name: str, values: Mapping[str, Any], failure: str, folder: Path, console: Console,
         seconds: float) -> None:
    """Print a failure, shrunk, and the command that repeats it."""
    kind = _kind(failure)
    if seconds:
        values = shrink(unit(name), values,
                        lambda values: _kind(failure_of(name, values)[1]) == kind, seconds)
        failure = failure_of(name, values)[1]
    path = save(folder, name, values)
    console.print(f"FAILED {name} with {difference(unit(name), values)}: {failure}", style="red",
                  markup=False, highlight=False, soft_wrap=True)
    console.print(f"  {command(path)}", markup=False, highlight=False, soft_wrap=True)


def _kind(failure: str) -> str:
    """What two failures have in common: the exception, or the first words."""
    return failure.split(":")[0][:20]


def command(path: Path) -> str:
    """Return the command that repeats the parameter set of a file."""
    return shlex.join(["python", "-m", "sim.regress", "--config", str(path), "--fuzz", "1"])


def save(folder: Path, name: str, values: Mapping[str, Any]) -> Path:
    """Write a parameter set to a file that is called by its hash, and return the path."""
    text = json.dumps({"unit": name, **values}, indent=2) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{zlib.crc32(text.encode()):08x}.json"
    path.write_text(text, encoding="utf-8")
    return path


def load(path: Path) -> tuple[str, dict[str, Any]]:
    """Return unit and parameters of a file, which need not make a configuration."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"Parameter set {str(path)!r} can not be read: {error}") from None
    if not isinstance(values, dict) or "unit" not in values:
        raise ConfigError(f"Parameter set {str(path)!r} must be a table with a unit, not "
                          f"{shown(values)}")
    return unit(values.pop("unit")).UNIT, values

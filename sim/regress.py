"""Regression of the units against their models: ``python -m sim.regress [UNIT ...]``.

Each configuration is emitted, built for the simulators and run with rows whose outputs the model
knows. Four kinds of configurations and rows:

=========== ====================================================================================
directed    every preset, with the rows of :mod:`sim.stimuli.rows`
real        every preset at every scale of a capture of attention logits, with all its rows
throughput  every preset, with rows of random lengths back to back
random      configurations drawn over every parameter, with directed and random rows
=========== ====================================================================================
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import functools
import math
import multiprocessing
import secrets
import shutil
import signal
import sys
import time
import traceback
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from amaranth import UnusedElaboratable

from rtl import ConfigError, UnitConfig, unit, units
from rtl.parameter import Choice, Flag, Integer, PositiveReal, kind_of

from .bench.rows import Rows
from .data import captured, sample
from .runner import (
    ROOT,
    SIMULATORS,
    Design,
    Simulation,
    SimulatorError,
    TestResult,
    check_simulator,
    make_job,
)
from .stimuli.rows import back_to_back, directed, random_rows

__all__ = ["KINDS", "Outcome", "Task", "main", "random_config", "run_task", "tasks"]

KINDS = ("directed", "real", "throughput", "random")
CAPTURE = sample("logits")

# Input beats of a job of each kind of random rows; the wider a beat, the longer it takes.
BEATS = {"icarus": 1500, "verilator": 6000}
WIDE_LANES = 16


# Random configurations

def random_config(cls: type[UnitConfig], random: np.random.Generator) -> UnitConfig:
    """Return a config of class ``cls`` with every parameter drawn at random.

    Values of a parameter are drawn by its kind, its limits and small values more often than others,
    or are those of a preset; combinations that the class refuses are drawn again.
    """
    presets = [{}, *cls.PRESETS.values()]
    for _ in range(10_000):
        # Some parameters only have an effect together, as in a preset.
        near = presets[random.integers(len(presets))] if random.random() < 0.7 else None
        values = {}
        for name, field in cls.parameters().items():
            if near is not None and random.random() < 0.6:
                values[name] = near.get(name, field.default)
            else:
                values[name] = _draw(kind_of(field), field.default, random)
        with contextlib.suppress(ConfigError):
            return cls(**values)
    raise ConfigError(f"Unit {cls.UNIT!r} refuses every combination of parameters that was tried")


def _draw(kind, default, random: np.random.Generator):
    if isinstance(kind, Integer):
        way = random.random()
        if way < 0.1:
            return kind.low
        if way < 0.2:
            return kind.high
        if way < 0.6:
            return int(random.integers(kind.low, kind.high + 1))
        size = kind.high - kind.low + 1
        return kind.low + min(int(size ** random.random()), size) - 1
    if isinstance(kind, Choice):
        return kind.values[random.integers(len(kind.values))]
    if isinstance(kind, Flag):
        return bool(random.integers(2))
    if isinstance(kind, PositiveReal):
        way = random.random()
        if way < 0.4:
            return 2.0 ** int(random.integers(-8, 3))
        if way < 0.9:
            return float(2.0 ** random.uniform(-8, 3))
        return float(2.0 ** random.uniform(-20, 8))
    return default


# Tasks

@dataclasses.dataclass(frozen=True)
class Task:
    """One configuration, its rows and the simulators to run it on.

    Attributes
    ----------
    kind : str
        One of :data:`KINDS`.
    config : UnitConfig
        Configuration of the unit.
    ports : "core" or "axis"
        Ports to test the unit at.
    seed : int
        Seed of the rows and of the bench.
    simulators : tuple of str
        Simulators to run on.
    folder, store : path
        Where all files go, and what Verilator models share.
    rows : int
        Rows back to back of a throughput task.
    keep : bool
        Keep the folder of a task that passes.
    """

    kind: str
    config: UnitConfig
    ports: str
    seed: int
    simulators: tuple[str, ...]
    folder: Path
    store: Path
    rows: int = 1000
    keep: bool = False

    @property
    def tests(self) -> list[str] | None:
        """Tests of the bench to run; None for all."""
        return {"real": ["rows_back_to_back", "rows_with_gaps_and_stalls"],
                "throughput": ["rows_back_to_back"]}.get(self.kind)

    def make_rows(self, simulator: str) -> Rows:
        """Return the task's rows, the same ones on every call."""
        config, random = self.config, np.random.default_rng([self.seed, 1])
        budget = BEATS[simulator] * WIDE_LANES // max(config.lanes, WIDE_LANES)
        if self.kind == "real":
            return Rows.of(_captured_rows(config))
        if self.kind == "throughput":
            return back_to_back(config, random, self.rows)
        named = Rows.of(directed(config))
        if self.kind == "random":
            named = _some(named, config, random, budget // 2)
        return named + random_rows(config, random, budget // 2)


def _some(rows: Rows, config: UnitConfig, random: np.random.Generator, budget: int) -> Rows:
    order = random.permutation(len(rows))
    beats = np.cumsum(rows.beats(config.lanes)[order])
    return rows.take(order[:max(int(np.searchsorted(beats, budget, "right")), 1)])


def _captured_rows(config: UnitConfig) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for row in captured.load(CAPTURE):
        if row.scale == config.input_scale and len(row.logits) <= config.max_length:
            yield f"layer {row.layer}, head {row.head}", row.logits, row.mask


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a task on one simulator."""

    task: Task
    simulator: str
    results: tuple[TestResult, ...]
    problem: str = ""
    seconds: float = 0.0

    @property
    def outputs(self) -> int:
        """Output elements that were compared."""
        return sum(result.outputs for result in self.results)

    @property
    def mismatches(self) -> int:
        """Output elements that were wrong."""
        return sum(result.mismatches for result in self.results)

    @property
    def failures(self) -> list[str]:
        """What failed, one line each."""
        return [*([self.problem] if self.problem else []),
                *(f"{r.test}: {r.failure}" for r in self.results if r.failure)]

    @property
    def failure(self) -> str:
        """What failed first, empty if nothing did."""
        first, *others = self.failures or [""]
        return first + (f" (and {len(others)} more tests)" if others else "")


def run_task(task: Task) -> list[Outcome]:
    """Run a task on its simulators; nothing that goes wrong is raised."""
    outcomes = []
    design = None
    for simulator in task.simulators:
        start = time.monotonic()
        results, problem = [], ""
        try:
            task.folder.mkdir(parents=True, exist_ok=True)
            (task.folder / "config.json").write_text(task.config.to_json(), encoding="utf-8")
            if design is None:
                design = Design.of(task.config, task.ports)
            simulation = Simulation(design, simulator, task.folder, store=task.store)
            job = make_job(design, task.make_rows(simulator), task.seed)
            results = simulation.run(job, task.tests)
        except SimulatorError as error:
            problem = str(error)
        except Exception as error:
            # One unit that fails must not end the others. The last line of the project says most.
            frames = [frame for frame in traceback.extract_tb(error.__traceback__)
                      if Path(frame.filename).is_relative_to(ROOT)]
            problem = " ".join("".join(traceback.format_exception_only(error)).split())
            problem += f" ({frames[-1].filename}:{frames[-1].lineno})"
        outcomes.append(Outcome(task, simulator, tuple(results), problem,
                                time.monotonic() - start))
    if not task.keep and not any(outcome.failures for outcome in outcomes):
        shutil.rmtree(task.folder, ignore_errors=True)
    return outcomes


def tasks(names: Sequence[str], *, kinds: Iterable[str] = KINDS, count: int = 40, seed: int = 0,
          simulators: Sequence[str] = SIMULATORS, rows: int = 1000, keep: bool = False,
          folder: Path = Path("build/regress"), store: Path | None = None) -> list[Task]:
    """Return the tasks of a regression; equal arguments give equal tasks.

    Parameters
    ----------
    names : sequence of str
        Units.
    kinds : iterable of str
        Kinds of tasks, of :data:`KINDS`.
    count : int
        Random configurations per unit; the first ones are the same whatever the count.
    seed : int
        Seed of all that is random.
    simulators, rows, keep, folder, store
        As in :class:`Task`; each task has a folder of its own below ``folder``, which is the store
        too if none is given.
    """
    found = []
    # A unit with other streams has a bench of its own.
    names = [name for name in names if name.startswith("softmax-")]

    def add(kind: str, config: UnitConfig, ports: str, number: int) -> None:
        found.append(Task(kind, config, ports, number, tuple(simulators),
                          folder / kind / f"{config.name}_{ports}", store or folder, rows, keep))

    for name in names:
        cls = unit(name)
        key = zlib.crc32(name.encode())
        for preset in cls.PRESETS or [None]:
            make = functools.partial(_with, cls, preset)
            if "directed" in kinds:
                add("directed", make(), "core", seed)
                add("directed", make(lanes=5, max_length=259), "axis", seed)
            if "throughput" in kinds:
                add("throughput", make(max_length=256), "core", seed)
            if "real" in kinds and "input_scale" in cls.parameters():
                for scale in sorted({row.scale for row in captured.load(CAPTURE)}):
                    add("real", make(input_scale=scale, bits=8, max_length=256), "core", seed)
        if "random" in kinds:
            for number in range(count):
                random = np.random.default_rng([seed, key, number])
                config = random_config(cls, random)
                add("random", config, "axis" if random.random() < 0.3 else "core",
                    int(random.integers(1 << 31)))
    return found


def _with(cls: type[UnitConfig], preset: str | None, **values) -> UnitConfig:
    """Config with those of ``values`` that the unit has as parameters."""
    values = {name: value for name, value in values.items() if name in cls.parameters()}
    return cls(**values) if preset is None else cls.preset(preset, **values)


# Command line

def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 only if everything passed."""
    try:
        args = _parser().parse_args(argv)
        return _main(args)
    except (ConfigError, SimulatorError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: Interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sim.regress",
        description="Compare the units, simulated, with their models.")
    parser.add_argument("unit", nargs="*", metavar="UNIT", help="units; all, if none is named")
    parser.add_argument("--sim", choices=(*SIMULATORS, "both"), default="both",
                        help="simulator (default %(default)s)")
    parser.add_argument("--kind", choices=KINDS, action="append",
                        help="kind of configurations and rows, may be repeated; all, if not given")
    parser.add_argument("--configs", type=_positive, default=40, metavar="N",
                        help="random configurations per unit (default %(default)s)")
    parser.add_argument("--config", metavar="FILE",
                        help="test this configuration (.json or .toml) only, with directed and "
                             "random rows")
    parser.add_argument("--ports", choices=("core", "axis"), default="core",
                        help="ports to test at with --config (default %(default)s)")
    parser.add_argument("--seed", type=_natural, default=argparse.SUPPRESS, metavar="S",
                        help="seed that repeats a run (default: a new one)")
    parser.add_argument("--rows", type=_positive, default=1000, metavar="N",
                        help="rows back to back of a throughput run (default %(default)s)")
    parser.add_argument("--jobs", type=_positive, default=2, metavar="N",
                        help="simulations at a time (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/regress"), metavar="DIR",
                        help="folder for all files; those of what passes are removed (default "
                             "%(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the files of what passes too")
    return parser


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be an integer of at least 0, not {text!r}")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, not {text!r}")
    return int(text)


def _main(args: argparse.Namespace) -> int:
    try:
        from rich.console import Console
    except ImportError:
        raise SimulatorError("Package rich is missing: pip install rich") from None
    simulators = SIMULATORS if args.sim == "both" else (args.sim,)
    for simulator in simulators:
        check_simulator(simulator)
    seed = getattr(args, "seed", None)
    seed = secrets.randbelow(1 << 31) if seed is None else seed
    names = [unit(name).UNIT for name in args.unit] or list(units())
    if args.config is not None:
        if args.unit:
            raise ConfigError("Option --config names its unit, so that none must be given besides")
        config = UnitConfig.load(args.config)
        work = [Task("random", config, args.ports, seed, simulators,
                     args.out / "single" / f"{config.name}_{args.ports}", args.out, args.rows,
                     args.keep)]
    else:
        work = tasks(names, kinds=args.kind or KINDS, count=args.configs, seed=seed,
                     simulators=simulators, rows=args.rows, keep=args.keep, folder=args.out)
    if not work:
        raise ConfigError("Nothing to do: no unit takes rows of this kind")
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    console.print(f"seed {seed}, {len(work)} configurations on {' and '.join(simulators)}",
                  highlight=False)
    outcomes = _run_all(work, args.jobs, console)
    return _report(outcomes, seed, console)


def _run_all(work: list[Task], jobs: int, console) -> list[Outcome]:
    from rich import progress as bars
    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn(),
               bars.TimeElapsedColumn())
    outcomes = []
    # The progress bar is a thread, which forked processes would not survive.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
            min(jobs, len(work)), context, _prepare_worker) as pool, \
            bars.Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("simulating", total=len(work))
        futures = [pool.submit(run_task, task) for task in work]
        try:
            for future in concurrent.futures.as_completed(futures):
                for outcome in future.result():
                    outcomes.append(outcome)
                    if outcome.failures:
                        _tell(outcome, console)
                progress.advance(bar)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return outcomes


def _prepare_worker() -> None:
    # The parent ends its workers when interrupted, and tells of a unit that can not be emitted.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore", UnusedElaboratable)


def _tell(outcome: Outcome, console) -> None:
    task = outcome.task
    console.print(f"FAILED {task.config.name} at its {task.ports} ports on {outcome.simulator}: "
                  f"{outcome.failure}", style="red", markup=False, highlight=False, soft_wrap=True)
    if task.kind == "random":
        console.print(f"  python -m sim.regress --config {task.folder / 'config.json'} "
                      f"--ports {task.ports} --seed {task.seed} --sim {outcome.simulator}",
                      markup=False, highlight=False, soft_wrap=True)


def _report(outcomes: list[Outcome], seed: int, console) -> int:
    from rich.table import Table
    table = Table("unit", "kind", "simulator")
    for title in "configs", "failed", "outputs", "mismatches", "beats/s", "seconds":
        table.add_column(title, justify="right")
    groups: dict[tuple, list[Outcome]] = {}
    for outcome in outcomes:
        key = (units().index(outcome.task.config.UNIT), KINDS.index(outcome.task.kind),
               outcome.simulator)
        groups.setdefault(key, []).append(outcome)
    for (number, kind, simulator), group in sorted(groups.items()):
        results = [result for outcome in group for result in outcome.results]
        cycles, seconds = (sum(getattr(r, name) for r in results) for name in ("beats", "seconds"))
        table.add_row(units()[number], KINDS[kind], simulator, str(len(group)),
                      str(sum(bool(outcome.failures) for outcome in group)),
                      f"{sum(o.outputs for o in group):,}", f"{sum(o.mismatches for o in group):,}",
                      f"{cycles / seconds:,.0f}" if seconds else "-",
                      f"{math.fsum(o.seconds for o in group):.1f}")
    console.print(table)
    failed = sum(bool(outcome.failures) for outcome in outcomes)
    if failed:
        console.print(f"{failed} of {len(outcomes)} runs failed; --seed {seed} repeats them",
                      style="red", highlight=False)
    console.print(f"{sum(o.mismatches for o in outcomes):,} mismatches of "
                  f"{sum(o.outputs for o in outcomes):,} outputs", highlight=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

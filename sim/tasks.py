"""Tasks of the regression: a configuration, its inputs, and what came of them."""

from __future__ import annotations

import dataclasses
import shlex
import shutil
import signal
import time
import traceback
import warnings
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from amaranth import UnusedElaboratable

import rtl
from rtl import ConfigError, UnitConfig, unit

from .compiled import comparisons
from .compiled.simulation import CompiledSimulation
from .emission import emitted
from .jobs import make_job
from .runner import SIMULATORS, Design, Simulation, SimulatorError, TestResult
from .stimuli.provider import KINDS, Case, Inputs, provider, random_config

__all__ = ["BEATS", "DRIVERS", "Outcome", "Task", "prepare_worker", "run_task", "tasks", "told"]

# What runs a task: a simulator with its cocotb bench, or Verilator with a compiled driver.
DRIVERS = (*SIMULATORS, "compiled")

# Input beats of random inputs, and rows of a throughput run.
BEATS = {"icarus": 1000, "verilator": 6000, "compiled": 20000}
ROWS = {"icarus": 60, "verilator": 300, "compiled": 1000}

# Elements of random inputs on Icarus, whose time goes with them: wide beats are fewer.
ICARUS_ELEMENTS = 16000

# Part of the random configurations that are tested at their AXI4-Stream ports.
AXIS_PART = 0.3


@dataclasses.dataclass(frozen=True)
class Task:
    """One configuration, its inputs and the simulators to run it on.

    Attributes
    ----------
    kind : str
        One of :data:`~sim.stimuli.provider.KINDS`.
    config : UnitConfig
        Configuration of the unit.
    ports : "core" or "axis"
        Ports to test the unit at.
    seed : int
        Seed of the inputs and of the bench.
    simulators : tuple of str
        What to run on, of :data:`DRIVERS`.
    folder, store : path
        Where all files go, and what Verilator models share.
    rows : int or None
        Rows back to back of a throughput task; None for as many as suit the simulator.
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
    rows: int | None = None
    keep: bool = False

    @property
    def tests(self) -> Sequence[str] | None:
        """Tests of the bench to run; None for all."""
        return provider(self.config.UNIT).tests(self.config, self.kind)

    @property
    def file(self) -> Path:
        """File of the configuration, within the folder."""
        return self.folder / "config.json"

    def inputs(self, simulator: str) -> Inputs:
        """Return the task's inputs for a simulator, the same ones on every call."""
        random = np.random.default_rng([self.seed, 1])
        beats = BEATS[simulator]
        if simulator == "icarus":
            beats = min(beats, ICARUS_ELEMENTS // self.config.lanes)
        return provider(self.config.UNIT).inputs(self.config, self.kind, random, beats=beats,
                                                 rows=self.rows or ROWS[simulator])

    def command(self, simulator: str) -> str:
        """Return the command that repeats the task on a simulator, from its file."""
        words = ["python", "-m", "sim.regress", "--config", str(self.file), "--kind", self.kind,
                 "--ports", self.ports, "--seed", str(self.seed), "--sim", simulator]
        if self.kind == "throughput" and self.rows is not None:
            words += ["--rows", str(self.rows)]
        return shlex.join(words)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a task on one simulator.

    Attributes
    ----------
    task : Task
        The task.
    simulator : str
        The simulator.
    results : tuple of TestResult
        Results of the tests that ran.
    problem : str
        Why none ran, or not all; empty if they did.
    seconds : float
        Time of it all.
    """

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
            task.file.write_text(task.config.to_json(), encoding="utf-8")
            if design is None:
                design = Design.of(task.config, task.ports, emitted(task.config))
            job = make_job(design, task.inputs(simulator), task.seed)
            if simulator == "compiled":
                with CompiledSimulation(design, store=task.store, seed=task.seed) as simulation:
                    results = comparisons.compare(simulation, job, task.tests)
            else:
                simulation = Simulation(design, simulator, task.folder, store=task.store)
                results = simulation.run(job, task.tests)
        except (ConfigError, SimulatorError) as error:
            problem = str(error)
        except Exception as error:
            # One unit that fails must not end the others.
            problem = told(error)
        outcomes.append(Outcome(task, simulator, tuple(results), problem,
                                time.monotonic() - start))
    if not task.keep and not any(outcome.failures for outcome in outcomes):
        shutil.rmtree(task.folder, ignore_errors=True)
    return outcomes


def told(error: Exception) -> str:
    """Return an exception as one line, with the last line of this project that it came through."""
    own = [Path(package).parent for package in (rtl.__file__, __file__)]
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)
              if any(Path(frame.filename).is_relative_to(folder) for folder in own)]
    text = " ".join("".join(traceback.format_exception_only(error)).split())
    return text + (f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else "")


def prepare_worker() -> None:
    """Prepare a process of a pool: its parent ends it when interrupted, and tells what fails."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore", UnusedElaboratable)


def tasks(names: Sequence[str], *, kinds: Iterable[str] = KINDS, count: int = 10, seed: int = 0,
          simulators: Sequence[str] = SIMULATORS, rows: int | None = None, keep: bool = False,
          folder: Path = Path("build/regress"), store: Path | None = None) -> list[Task]:
    """Return the tasks of a regression; equal arguments give equal tasks.

    Parameters
    ----------
    names : sequence of str
        Units.
    kinds : iterable of str
        Kinds of tasks, of :data:`~sim.stimuli.provider.KINDS`.
    count : int
        Random configurations per unit; the first ones are the same whatever the count.
    seed : int
        Seed of all that is random.
    simulators, rows, keep, folder, store
        As in :class:`Task`; each task has a folder of its own below ``folder``, which is the store
        too if none is given.

    Raises
    ------
    ConfigError
        If a unit does not exist, or its family has no provider of stimuli.
    """
    found = []
    for name in names:
        for kind in kinds:
            for case, number in _cases(name, kind, count, seed):
                place = folder / kind / f"{case.config.name}_{case.ports}"
                found.append(Task(kind, case.config, case.ports, number, tuple(simulators), place,
                                  store or folder, rows, keep))
    return found


def _cases(name: str, kind: str, count: int, seed: int) -> Iterator[tuple[Case, int]]:
    """Cases of a unit for a kind, and the seed of each."""
    cls = unit(name)
    if kind != "random":
        for case in provider(name).cases(cls, kind):
            yield case, seed
        return
    for number in range(count):
        random = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
        config = random_config(cls, random)
        yield Case(config, "axis" if random.random() < AXIS_PART else "core"), \
            int(random.integers(1 << 31))

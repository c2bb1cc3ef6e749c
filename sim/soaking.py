"""Long runs: random traffic through many configurations, for so many beats or so long."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import itertools
import multiprocessing
import os
import shlex
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from rtl import UnitConfig, unit, units
from rtl.progress import Progress

from .compiled.soak import Soak, soak
from .shrinking import SECONDS, in_time, shrink_config
from .stimuli.provider import random_config
from .tasks import AXIS_PART, prepare_worker, told

__all__ = ["SoakTask", "run", "soak_tasks"]

# Beats of a configuration in a run that ends by the clock.
BEATS_OF_ROUND = 300_000


@dataclasses.dataclass(frozen=True)
class SoakTask:
    """Random traffic for one configuration.

    Attributes
    ----------
    config : UnitConfig
        Configuration of the unit.
    ports : "core" or "axis"
        Ports to test the unit at.
    beats : int
        Output beats after which to end.
    seed, piece : int
        Seed of the traffic, and number of its first piece.
    folder : path
        Where the configuration is kept if it fails.
    """

    config: UnitConfig
    ports: str
    beats: int
    seed: int
    folder: Path
    piece: int = 0

    def command(self, piece: int) -> str:
        """Return the command that repeats one piece of the traffic."""
        return shlex.join(["python", "-m", "sim.regress", "--config",
                           str(self.folder / f"{self.config.name}.json"), "--ports", self.ports,
                           "--seed", str(self.seed), "--beats", "1", "--piece", str(piece)])


def soak_tasks(names: Sequence[str], beats: int, configs: int, seed: int,
               folder: Path) -> Iterator[SoakTask]:
    """Yield the tasks of each unit: half of the beats for its presets, half for random configs."""
    for name in names:
        cls = unit(name)
        random = np.random.default_rng([seed, zlib.crc32(name.encode())])
        drawn = [random_config(cls, random) for _ in range(configs)]
        presets = [_sized(cls, preset) for preset in cls.PRESETS or [None]]
        for group in presets, drawn:
            for config in group:
                ports = "axis" if random.random() < AXIS_PART else "core"
                part = len(group) * (2 if drawn and presets else 1)
                yield SoakTask(config, ports, -(-beats // part), int(random.integers(1 << 31)),
                               folder)


def _sized(cls: type[UnitConfig], preset: str | None) -> UnitConfig:
    """A preset; of attention with few keys, for most of a run not to be their loading."""
    small = {"max_keys": 32, "dim": 16} if "max_keys" in cls.parameters() else {}
    return cls(**small) if preset is None else cls.preset(preset, **small)


def run(tasks: Sequence[SoakTask], jobs: int, console: Console, *,
        seconds: float | None = None, shrink_seconds: float = SECONDS) -> int:
    """Run tasks, print what failed and a table; return the exit status.

    With ``seconds`` the tasks are begun again and again, with other seeds, until they are over. The
    first failure of a unit is shrunk for up to ``shrink_seconds``.
    """
    start, found = time.monotonic(), []
    until = None if seconds is None else start + seconds
    work = iter(tasks) if until is None else _rounds(tasks, until)
    total = sum(task.beats for task in tasks) if until is None else None
    with concurrent.futures.ProcessPoolExecutor(
            jobs, multiprocessing.get_context("spawn"), prepare_worker) as pool, \
            Progress("soaking", total, "beats") as progress:
        waiting = {pool.submit(_soak, task, until) for task in itertools.islice(work, 2 * jobs)}
        try:
            while waiting:
                done, waiting = concurrent.futures.wait(
                    waiting, return_when=concurrent.futures.FIRST_COMPLETED)
                for task, result in (future.result() for future in done):
                    found.append((task, result))
                    _tell(task, result, console)
                    progress.advance(result.beats)
                waiting |= {pool.submit(_soak, task, until)
                            for task in itertools.islice(work, len(done))}
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    _shrink(found, console, shrink_seconds)
    return _report(found, console, time.monotonic() - start)


def _rounds(tasks: Sequence[SoakTask], until: float) -> Iterator[SoakTask]:
    for number in itertools.count():
        for task in tasks:
            if time.monotonic() > until:
                return
            yield dataclasses.replace(task, beats=BEATS_OF_ROUND,
                                      seed=(task.seed + number) % (1 << 31))


def _soak(task: SoakTask, until: float | None) -> tuple[SoakTask, Soak]:
    try:
        return task, soak(task.config, task.beats, seed=task.seed, ports=task.ports,
                          first=task.piece, until=until)
    except Exception as error:
        # One unit that fails must not end the others.
        return task, Soak(told(error), task.piece, 0, 0, 0, 0, 0.0, 0.0, 0.0)


def _shrink(found: list[tuple[SoakTask, Soak]], console: Console, seconds: float) -> None:
    """Shrink the first failure of each unit that differs from its model, and print it."""
    first = {}
    for task, result in found:
        if result.mismatches and result.failure:
            first.setdefault(task.config.UNIT, (task, result))
    for task, result in first.values() if seconds else ():
        def again(config: UnitConfig, task: SoakTask = task, piece: int = result.piece
                  ) -> tuple[SoakTask, Soak]:
            return _soak(dataclasses.replace(task, config=config, beats=1, piece=piece), None)

        fails = in_time(lambda config, again=again: bool(again(config)[1].mismatches), seconds)
        config = shrink_config(task.config, fails, seconds)
        if config != task.config:
            console.print("Shrunk to a smaller configuration:", highlight=False)
            _tell(*again(config), console)


def _tell(task: SoakTask, result: Soak, console: Console) -> None:
    if not result.failure:
        return
    task.folder.mkdir(parents=True, exist_ok=True)
    (task.folder / f"{task.config.name}.json").write_text(task.config.to_json(), encoding="utf-8")
    console.print(f"FAILED {task.config.name} at its {task.ports} ports: {result.failure}",
                  style="red", markup=False, highlight=False, soft_wrap=True)
    console.print(f"  {task.command(result.piece)}", markup=False, highlight=False, soft_wrap=True)


def _report(found: list[tuple[SoakTask, Soak]], console: Console, seconds: float) -> int:
    table = Table("unit")
    for title in "configs", "failed", "beats", "outputs", "mismatches", "model s", "run s":
        table.add_column(title, justify="right")
    for name in units():
        group = [result for task, result in found if task.config.UNIT == name]
        if group:
            table.add_row(name, str(len(group)), str(sum(bool(r.failure) for r in group)),
                          *(f"{sum(getattr(r, key) for r in group):,}"
                            for key in ("beats", "outputs", "mismatches")),
                          *(f"{sum(getattr(r, key) for r in group):.1f}"
                            for key in ("model_seconds", "run_seconds")))
    console.print(table)
    failed = sum(bool(result.failure) for _, result in found)
    console.print(f"{sum(r.mismatches for _, r in found):,} mismatches of "
                  f"{sum(r.outputs for _, r in found):,} outputs in {seconds:.0f} s on "
                  f"{os.cpu_count()} cores", highlight=False)
    return 1 if failed else 0

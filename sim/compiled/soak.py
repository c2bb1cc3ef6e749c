"""A unit under random traffic for as many beats as wanted, against its model."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from rtl.config import UnitConfig

from ..emission import emitted
from ..runner import Design
from .attention import AttentionComparison
from .loads import LoadComparison
from .resident import ResidentComparison
from .rows import RowComparison
from .simulation import CompiledSimulation
from .svd import SvdComparison
from .traffic import batch_job, load_job, row_job, script_job, set_job

__all__ = ["Soak", "soak"]


@dataclasses.dataclass(frozen=True)
class Soak:
    """What came of random traffic.

    Attributes
    ----------
    failure : str
        What failed first, empty if nothing did. Nothing follows a failure.
    piece : int
        Number of the piece that failed, or the one that would be next.
    beats, cycles : int
        Output beats, and clock cycles that they took.
    outputs, mismatches : int
        Output elements that were compared, and those that were wrong.
    build_seconds, model_seconds, run_seconds : float
        Time to emit and build the design, to make the traffic and what is expected of it, and to
        simulate and compare.
    """

    failure: str
    piece: int
    beats: int
    cycles: int
    outputs: int
    mismatches: int
    build_seconds: float
    model_seconds: float
    run_seconds: float

    @property
    def seconds(self) -> float:
        """Time of all."""
        return self.build_seconds + self.model_seconds + self.run_seconds


@dataclasses.dataclass(frozen=True)
class _Kind:
    """How a family of units is tested.

    Attributes
    ----------
    job : callable
        Makes a piece of traffic.
    comparison : type
        Class of the comparison.
    tests : dict of float
        Tests, and how often each is drawn.
    elements : int
        Elements of a piece: few enough for its arrays to stay in the cache.
    long : int
        Beats from which on optimised code pays.
    """

    job: Callable
    comparison: type
    tests: dict[str, float]
    elements: int = 1 << 19
    long: int = 300_000


_ROWS = _Kind(row_job, RowComparison, {
    "rows_back_to_back": 0.3, "rows_with_gaps": 0.2, "rows_with_stalls": 0.2,
    "rows_with_gaps_and_stalls": 0.25, "reset_within_row": 0.05})
_LOADS = _Kind(load_job, LoadComparison, {
    "loads_back_to_back": 0.4, "loads_with_gaps_and_stalls": 0.6})
_SETS = _Kind(set_job, AttentionComparison, {
    "sets_back_to_back": 0.3, "sets_with_gaps": 0.2, "sets_with_stalls": 0.2,
    "sets_with_gaps_and_stalls": 0.25, "reset_at_any_time": 0.05}, 1 << 15, 50_000)

_SCRIPTS = _Kind(script_job, ResidentComparison, {
    "commands_back_to_back": 0.4, "commands_with_gaps": 0.2,
    "commands_with_gaps_and_stalls": 0.35, "reset_at_any_time": 0.05}, 1 << 12, 20_000)
_BATCHES = _Kind(batch_job, SvdComparison, {
    "batches_back_to_back": 0.5, "batches_with_gaps_and_stalls": 0.45, "reset_at_any_time": 0.05},
    1 << 12, 5_000)


def _kind(config: UnitConfig) -> _Kind:
    if "setup" in config.streams:
        return _BATCHES
    if "load" in config.streams:
        return _LOADS
    if "q" not in config.streams:
        return _ROWS
    return _SCRIPTS if config.store == "resident" else _SETS


def soak(config: UnitConfig, beats: int, *, seed: int = 0, ports: str = "core", first: int = 0,
         store: Path | None = None, until: float | None = None,
         progress: Callable[[int], object] | None = None) -> Soak:
    """Compare a unit with its model under random traffic.

    The traffic comes in pieces. Each one switches the design off and on, disturbs and resets it,
    and depends on the seed and its own number only, so that ``soak(config, 1, seed=seed,
    first=piece)`` repeats the one that failed.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit.
    beats : int
        Output beats after which to end.
    seed : int
        Seed of all that is random.
    ports : "core" or "axis"
        Ports to test the unit at.
    first : int
        Number of the first piece.
    store : path
        Folder of all libraries; by default one for all processes.
    until : float
        Value of :func:`time.monotonic` at which to end, whatever the beats.
    progress : callable
        Called with the beats of every piece.
    """
    begin = time.perf_counter()
    kind = _kind(config)
    design = Design.of(config, ports, emitted(config))
    lanes = getattr(config, "io_lanes", config.lanes)
    size = max(256, kind.elements // lanes)
    done = cycles = outputs = mismatches = 0
    model_seconds = run_seconds = 0.0
    piece, failure = first, ""
    with CompiledSimulation(design, store=store, seed=seed,
                            effort="long" if beats >= kind.long else "short") as simulation:
        build_seconds = time.perf_counter() - begin
        while not failure and done < beats and (until is None or time.monotonic() < until):
            begin = time.perf_counter()
            random = np.random.default_rng([seed, piece])
            job = kind.job(design, random, size if beats - done > size else max(beats - done, 64))
            test = str(random.choice(list(kind.tests), p=list(kind.tests.values())))
            middle = time.perf_counter()
            result = kind.comparison(simulation, job, test).result()
            model_seconds += middle - begin
            run_seconds += time.perf_counter() - middle
            done += result.beats
            cycles += result.cycles
            outputs += result.outputs
            mismatches += result.mismatches
            if result.failure:
                failure = f"{test} of piece {piece}: {result.failure}"
            else:
                piece += 1
            if progress is not None:
                progress(result.beats)
    return Soak(failure, piece, done, cycles, outputs, mismatches, round(build_seconds, 3),
                round(model_seconds, 3), round(run_seconds, 3))

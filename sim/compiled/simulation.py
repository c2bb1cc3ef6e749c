"""A design as a compiled library: beats in, beats and cycles out, as arrays."""

from __future__ import annotations

import ctypes
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..bench.rows import formats
from ..runner import Design
from . import driver
from .build import STORE, library
from .driver import Status
from .packing import PackedFormat
from .port_memory import MemoryTraffic, PortMemory

__all__ = ["CompiledSimulation", "Result", "pattern_of_gaps", "pattern_of_waits"]

# Beats in a row that a random pattern is drawn for before it repeats.
PERIOD = 65521


@dataclasses.dataclass(frozen=True, eq=False)
class Result:
    """What a run did.

    Attributes
    ----------
    beats : uint32 array (output beats, words)
        Beats that came, as :class:`~sim.compiled.packing.PackedFormat` packs them.
    moved : dict of int64 array
        For each stream the cycles, counted from 1, in which its beats were transferred.
    offered : dict of int64 array
        For each stream the cycles in which its beats were first valid; as many as transferred.
    unsent : dict of int
        For each stream in the beats that were not taken.
    failure : str
        What rule was broken; empty if none was.
    cycles : int
        Cycles of the run.
    error : int
        The design's output ``error`` behind the last cycle.
    rise : int
        First cycle in which ``error`` was up, 0 if in none.
    handshakes : bool array (cycles, streams, 2) or None
        Valid and ready of every stream in every cycle.
    seconds : float
        Time of the run.
    memory : MemoryTraffic or None
        What the memory port did, if there was a memory.
    """

    beats: np.ndarray
    moved: dict[str, np.ndarray]
    offered: dict[str, np.ndarray]
    unsent: dict[str, int]
    failure: str
    cycles: int
    error: int
    rise: int
    handshakes: np.ndarray | None
    seconds: float
    memory: MemoryTraffic | None = None


class CompiledSimulation:
    """A design, built or found in the store, and reset.

    Parameters
    ----------
    design : Design
        What to simulate.
    store : path
        Folder of all libraries; by default one for all processes.
    effort : "short" or "long"
        What the job is like: whether building or running takes most of the time.
    seed : int
        Seed of what registers and memories hold that the design does not initialise.
    random_registers : bool
        Whether registers start at random even where the design initialises them.

    Attributes
    ----------
    ports : dict of PackedFormat
        Formats of the streams by name; ``o`` is the output that is compared.

    Raises
    ------
    SimulatorError
        If a tool is missing or refuses the design.
    """

    def __init__(self, design: Design, *, store: Path | None = None, effort: str = "short",
                 seed: int = 0, random_registers: bool = True) -> None:
        self.design = design
        begin = time.perf_counter()
        self.library = library(design, store=STORE if store is None else store, effort=effort,
                               random_registers=random_registers)
        self.build_seconds = time.perf_counter() - begin
        self._library = driver.load(self.library)
        self._seed, self._handle, self._held = seed, None, {}
        self.ports = {name: PackedFormat(form) for name, form in zip(
            design.config.streams, formats(design.config, design.ports), strict=True)}
        self._number = 0
        self.restart()

    @property
    def inputs(self) -> list[str]:
        """Names of the streams in."""
        return [name for name in self.ports if name not in self.design.config.streams_out]

    def restart(self) -> None:
        """Switch the design off and on, with other random contents, and reset it."""
        self._destroy()
        # A seed of 0 would be the time's.
        self._handle = self._library.driver_create(self._seed % 0x7FFFFFFE + 1)
        self._seed += 1
        for number, value in self._held.items():
            self._library.driver_control(self._handle, number, value)
        self.reset()

    def close(self) -> None:
        """Free the model; the simulation can not be used any more."""
        self._destroy()

    def _destroy(self) -> None:
        if self._handle is not None:
            self._library.driver_destroy(self._handle)
            self._handle = None

    def __enter__(self) -> CompiledSimulation:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def control(self, name: str, value: int) -> None:
        """Hold an input that is no stream at a value; all are 0 in the beginning."""
        number = self.design.controls.index(name)
        self._held[number] = value
        self._library.driver_control(self._handle, number, value)

    def flag(self, name: str) -> int:
        """Return the value of an output that belongs to no stream."""
        return self._library.driver_flag(self._handle, self.design.config.flags.index(name))

    def reset(self, cycles: int = 1) -> None:
        """Reset the design for so many cycles."""
        self._library.driver_reset(self._handle, cycles)

    def run(self, streams: Mapping[str, np.ndarray], count: int, *, patience: int,
            gaps: Mapping[str, np.ndarray] | None = None, stalls: np.ndarray | None = None,
            waits: bool = False, quiet: int | None = None, limit: int = 0,
            record: int = 0, memory: PortMemory | None = None) -> Result:
        """Send beats and take beats.

        Parameters
        ----------
        streams : dict of uint32 array (beats, words)
            Beats for each stream in; none for those that are left out.
        count : int
            Output beats to come. One more is a failure.
        patience : int
            Cycles without a transfer on any stream after which to give up.
        gaps : dict of bool array
            For each stream in, cycle by cycle that could begin a beat, whether one does; used
            again from the start where it ends. By default always.
        stalls : bool array
            Cycle by cycle, whether the output is ready; used again where it ends. By default
            always.
        waits : bool
            Whether ``stalls`` counts only cycles in which a beat has waited for one already, with
            ready down in all others.
        quiet : int
            Cycles without a transfer after which no more output is to come; by default
            ``patience``.
        limit : int
            Cycles after which to stop in the middle of it all; only a reset may follow. 0: none.
        record : int
            Cycles to record valid and ready of.
        memory : PortMemory
            What is behind the unit's memory port. Without one its requests are taken and not
            answered.
        """
        begin = time.perf_counter()
        self._number += 1
        traffic, arrays = (driver.Traffic * len(self.ports))(), {}
        for place, (name, form) in enumerate(self.ports.items()):
            if name == "o":
                # Room for the one beat too many.
                beats, pattern = np.empty((count + 1, form.words), np.uint32), stalls
            else:
                beats = np.ascontiguousarray(
                    streams.get(name, np.empty((0, form.words))), np.uint32)
                pattern = (gaps or {}).get(name)
            if beats.ndim != 2 or beats.shape[1] != form.words:
                raise ValueError(f"Beats of {name} must have {form.words} words, not the shape "
                                 f"{beats.shape}")
            pattern = np.ascontiguousarray([True] if pattern is None else pattern, np.uint8)
            if not pattern.any():
                raise ValueError(f"Pattern of {name} must have a cycle of traffic")
            arrays[name] = (beats, pattern, np.empty(len(beats), np.int64),
                            np.empty(len(beats), np.int64))
            traffic[place] = driver.Traffic(
                beats.ctypes.data, pattern.ctypes.data, len(pattern),
                count if name == "o" else len(beats), arrays[name][2].ctypes.data,
                arrays[name][3].ctypes.data)
        handshakes = np.zeros((record, len(self.ports)), np.uint8) if record else None
        behind = None if memory is None else memory.structure(list(self.ports), self._number)
        run = driver.Run(traffic, patience, patience if quiet is None else quiet, limit, waits,
                         self._number, None if handshakes is None else handshakes.ctypes.data,
                         record, None if behind is None else ctypes.pointer(behind[0]))
        self._library.driver_run(self._handle, ctypes.byref(run))
        done = {name: part.done for name, part in zip(self.ports, traffic, strict=True)}
        if handshakes is not None:
            handshakes = (handshakes[:run.cycles, :, None] >> np.arange(2) & 1).astype(bool)
        return Result(
            beats=arrays["o"][0][:done["o"]],
            moved={name: arrays[name][3][:done[name]] for name in self.ports},
            offered={name: arrays[name][2][:done[name]] for name in self.ports},
            unsent={name: len(arrays[name][0]) - done[name] for name in self.inputs},
            failure=self._failure(run, done, count, arrays["o"][0]),
            cycles=run.cycles, error=run.error, rise=run.rise, handshakes=handshakes,
            seconds=time.perf_counter() - begin,
            memory=None if behind is None else MemoryTraffic.of(*behind))

    def _failure(self, run: driver.Run, done: dict[str, int], count: int,
                 beats: np.ndarray) -> str:
        number, cycle = done["o"], run.cycles
        if run.status == Status.SILENT:
            return (f"nothing moves for {run.patience} cycles, after {number} output beats and "
                    f"with {count - number} to come, in cycle {cycle}")
        if run.status == Status.CHANGED:
            return f"output beat {number} changes while it waits, in cycle {cycle}"
        if run.status == Status.REQUEST:
            return f"a memory request breaks the rules of the port, in cycle {cycle}"
        if run.status == Status.WITHDRAWN:
            return f"output beat {number} is withdrawn while it waits, in cycle {cycle}"
        if run.status == Status.EXTRA:
            words = " ".join(f"{word:08x}" for word in beats[number, ::-1].tolist())
            return f"an output beat comes after the last one, in cycle {cycle}: {words}"
        return ""


def pattern_of_gaps(gaps: np.ndarray) -> np.ndarray:
    """Return the pattern that starts each beat after so many cycles without one."""
    pattern = np.zeros(int(np.sum(gaps)) + len(gaps), bool)
    pattern[np.cumsum(np.asarray(gaps) + 1) - 1] = True
    return pattern


def pattern_of_waits(random: np.random.Generator, longest: int) -> np.ndarray:
    """Return stalls that let every beat wait 1 to ``longest`` cycles; see ``waits``."""
    return pattern_of_gaps(random.integers(0, longest, PERIOD))

"""What all benches share: a design with its clock and streams, and the report of a test.

Benches run inside the simulator, started by :mod:`sim.runner`. The environment variable ``SIM_JOB``
names the file of a bench's job. Each test adds a line of JSON to the file named by ``SIM_REPORT``:
``test``, ``outputs`` (elements compared), ``mismatches``, ``beats``, ``cycles`` and
``seconds``.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from .compare import Where, differences, require
from .jobs import Job
from .rows import formats
from .stream import Port, Sink, Source, Stall

__all__ = ["Bench", "Transfer", "tests_of"]


@functools.cache
def _job(kind: type[Job]) -> Job:
    return kind.load(os.environ["SIM_JOB"])


@dataclasses.dataclass(frozen=True)
class Transfer:
    """What crossed the ports of the design.

    Attributes
    ----------
    beats : list of str
        Output beats.
    cycles : int array
        For each output beat the rising edge, counted from 1, on which it was taken.
    accepted : dict of int array
        The same for the beats of each input.
    failure : str
        Rule of the streams that was broken, empty if none was.
    """

    beats: list[str]
    cycles: np.ndarray
    accepted: dict[str, np.ndarray]
    failure: str


class Bench:
    """The design with its clock, its streams and its job.

    Parameters
    ----------
    dut : handle
        The design.
    test : str
        Name of the test, which everything random depends on.

    Attributes
    ----------
    JOB : type
        Class of the job.
    job, config : Job, UnitConfig
        The job and its configuration.
    random : np.random.Generator
        Source of all that is random in the test.
    ports : dict of Port
        Ports of the streams, by name; ``o`` is the output that is compared.
    report : dict
        What the test's line will say.
    """

    JOB: type[Job]

    def __init__(self, dut, test: str) -> None:
        self.job = _job(self.JOB)
        self.config = self.job.config
        self.random = np.random.default_rng([self.job.seed, *test.encode()])
        self._dut = dut
        axis = self.job.ports == "axis"
        self.clock, self._reset = (dut.aclk, dut.aresetn) if axis else (dut.clk, dut.rst)
        self._active = int(not axis)
        self._fall = FallingEdge(self.clock)
        self.ports = {name: Port(dut, form) for name, form in
                      zip(self.config.streams, formats(self.config, self.job.ports), strict=True)}
        self.report = {"test": test, "outputs": 0, "mismatches": 0, "beats": 0, "cycles": 0}
        self._begin = time.perf_counter()

    @property
    def inputs(self) -> list[str]:
        """Names of the streams in."""
        return [name for name in self.ports if name not in self.config.streams_out]

    async def start(self) -> None:
        """Start the clock and reset the design, with all its inputs known from the beginning."""
        self._reset.value = self._active
        self._idle()
        for name in self.config.streams_out:
            self.ports[name].set_ready("0")
        Clock(self.clock, 10, "ns", impl="gpi").start(start_high=False)
        await self._fall
        await self.reset()

    def _idle(self) -> None:
        for name in self.config.controls:
            getattr(self._dut, name).value = 0
        for name in self.inputs:
            self.ports[name].set_valid("0")
            self.ports[name].set_payload(self.ports[name].idle)

    async def reset(self, cycles: int = 1) -> None:
        """Reset the design, from one falling edge to another."""
        self._reset.value = self._active
        self._idle()
        for _ in range(cycles):
            await self._fall
        self._reset.value = 1 - self._active

    @property
    def patience(self) -> int:
        """Most cycles between two output beats, if no input has gaps and the output no stalls."""
        raise NotImplementedError

    async def transfer(self, sent: Mapping[str, Sequence[str]], count: int, *,
                       pauses: Mapping[str, Iterable[int]] | None = None,
                       stall: Stall | None = None, patience: int,
                       leftover: Collection[str] = ()) -> Transfer:
        """Send beats into all inputs side by side and take the output's.

        Parameters
        ----------
        sent : dict of sequence of str
            Beats of the inputs.
        count : int
            Output beats to take; no other one may come for :attr:`patience` cycles after them.
        pauses : dict of sequence of int
            Cycles without a beat before each beat of an input; none, where nothing is said.
        stall : callable
            Policy of the sink; None keeps it ready.
        patience : int
            Cycles without an output beat after which to give up.
        leftover : collection of str
            Inputs of which beats may be left in the end.
        """
        sources = {name: Source(self.clock, self.ports[name]) for name in sent}
        tasks = {name: cocotb.start_soon(source.run(sent[name], (pauses or {}).get(name)))
                 for name, source in sources.items()}
        sink, failure = Sink(self.clock, self.ports["o"]), ""
        try:
            await sink.run(count, stall=stall, patience=patience)
            await sink.quiet(self.patience)
        except AssertionError as error:
            failure = str(error)
        for name, task in tasks.items():
            if task.done():
                task.result()
                continue
            task.cancel()
            if name not in leftover and not failure:
                failure = (f"{len(sources[name].accepted)} of {len(sent[name])} beats of {name} "
                           "were taken")
        self.report["cycles"] += sink.cycles[-1] if sink.cycles else 0
        return Transfer(sink.beats, np.array(sink.cycles, np.int64),
                        {name: np.array(source.accepted, np.int64)
                         for name, source in sources.items()}, failure)

    def compare(self, transfer: Transfer, expected: Sequence[str], where: Where, outputs: int,
                ignored: Iterable[slice] = ()) -> None:
        """Fail unless a transfer kept the rules and brought what is expected.

        Parameters
        ----------
        transfer : Transfer
            What came.
        expected : sequence of str
            Output beats that had to come.
        where : callable
            Names the place of a beat.
        outputs : int
            Output elements, for the report.
        ignored : iterable of slice
            Beats of which nothing matters but that they came.
        """
        got = list(transfer.beats)
        for part in ignored:
            got[part] = expected[part][:len(got[part])]
        mismatches, difference = differences(self.ports["o"].format, expected, got, where)
        self.report["outputs"] += outputs
        self.report["mismatches"] += mismatches
        require(not (transfer.failure or difference),
                "; ".join(filter(None, [difference, transfer.failure])))

    def error(self, expected: int) -> None:
        """Check the design's error output."""
        got = str(self._dut.error.value)
        require(got == str(expected), f"error is {got} instead of {expected}")

    def finish(self) -> None:
        """Write the report."""
        self.report["seconds"] = round(time.perf_counter() - self._begin, 4)
        with open(os.environ["SIM_REPORT"], "a", encoding="utf-8") as file:
            file.write(json.dumps(self.report) + "\n")


def tests_of(bench_class: type[Bench]) -> Callable:
    """Return a decorator: a cocotb test of a coroutine function that takes a running bench."""
    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        async def run(dut):
            bench = bench_class(dut, function.__name__)
            try:
                await bench.start()
                await function(bench)
            finally:
                bench.finish()

        del run.__wrapped__
        return cocotb.test()(run)
    return decorate

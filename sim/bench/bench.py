"""What all benches share: a design with its clock and streams, and the report of a test.

Benches run inside the simulator, started by :mod:`sim.runner`. The environment variable ``SIM_JOB``
names the file of a bench's job. Each test adds a line of JSON to the file named by ``SIM_REPORT``:
``test``, ``outputs`` (elements compared), ``mismatches``, ``beats``, ``cycles`` and
``seconds``.
"""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge

from .rows import formats
from .stream import Port

__all__ = ["Bench", "require", "tests_of"]


def require(condition: object, message: str) -> None:
    """Fail with a message unless the condition holds."""
    if not condition:
        raise AssertionError(message)


@functools.cache
def _job(kind: type):
    return kind.load(os.environ["SIM_JOB"])


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
        Class of the job: it loads itself from a file, and has ``config``, ``seed`` and ``ports``.
    ports : dict of Port
        Ports of the streams, by name; ``o`` is the output, all others are inputs.
    report : dict
        What the test's line will say.
    """

    JOB: type

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
        return [name for name in self.ports if name != "o"]

    async def start(self) -> None:
        """Start the clock and reset the design, with all its inputs known from the beginning."""
        self._reset.value = self._active
        self._idle()
        self.ports["o"].set_ready("0")
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
    def decorate(function: Callable):
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

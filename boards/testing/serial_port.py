"""A serial port whose other end is in Amaranth's simulator."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator

from amaranth import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

__all__ = ["SimulatedPort"]

# Period of the clock in seconds.
PERIOD = 1e-6


class SimulatedPort:
    """Port with the lines ``rx`` and ``tx`` of a component; reading runs the simulation.

    Parameters
    ----------
    dut : Component
        What has the lines; its clock is 1 MHz.
    divisor : int
        Clock cycles of a bit.
    idle : int
        Cycles after which :meth:`read` gives up.
    """

    def __init__(self, dut: wiring.Component, divisor: int, idle: int = 2000) -> None:
        self._dut, self._divisor, self._idle = dut, divisor, idle
        self._to, self._from, self._cycles = deque(), bytearray(), 0
        top = Module()
        top.submodules.dut = dut
        self._simulator = Simulator(top)
        self._simulator.add_clock(PERIOD)
        self._simulator.add_testbench(self._run, background=True)
        #: Bits on the line to the component that are sent inverted, by their number from now on.
        self.flips: set[int] = set()

    async def _run(self, ctx):
        sent, received = self._bits(), self._bytes()
        next(received)
        while True:
            ctx.set(self._dut.rx, next(sent))
            *_, line = await ctx.tick().sample(self._dut.tx)
            self._cycles += 1
            received.send(line)

    def _bits(self) -> Iterator[int]:
        """Yield the line to the component, cycle by cycle."""
        while True:
            while not self._to:
                yield 1
            byte = self._to.popleft()
            for bit in (0, *(byte >> k & 1 for k in range(8)), 1):
                line = bit ^ (0 in self.flips)
                self.flips = {flip - 1 for flip in self.flips if flip}
                for _ in range(self._divisor):
                    yield line

    def _bytes(self) -> Generator[None, int, None]:
        """Take the line from the component, cycle by cycle."""
        while True:
            while (yield):
                pass
            byte, cycles = 0, self._divisor + self._divisor // 2
            for k in range(9):
                for _ in range(cycles):
                    line = yield
                byte, cycles = byte | line << k, self._divisor
            assert byte >> 8, "no stop bit"
            self._from.append(byte & 255)

    def write(self, data: bytes) -> None:
        """Send bytes, once the simulation runs."""
        self._to.extend(data)

    def read(self, size: int) -> bytes:
        """Run until there is a byte, or for ``idle`` cycles in which nothing is sent."""
        end = self._cycles + self._idle
        while not self._from and (self._to or self._cycles < end):
            if self._to:
                end = self._cycles + self._idle
            self._simulator.advance()
        data, self._from = bytes(self._from[:size]), self._from[size:]
        return data

    def clock(self) -> float:
        """Seconds of simulated time."""
        return self._cycles * PERIOD

    def close(self) -> None:
        """End the simulation."""

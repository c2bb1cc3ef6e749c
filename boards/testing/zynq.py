"""Inside a simulator: the processing system of an emitted Zynq-7000 top, cycle by cycle.

GP0 is driven access by access, HP0 by :class:`boards.driver.memory_port.MemoryPort`.
"""

from __future__ import annotations

import mmap
import random
from collections.abc import Sequence
from typing import Any

import cocotb
from cocotb.task import resume
from cocotb.triggers import RisingEdge

from ..driver import Buffer, MemoryTransport, Transport, TransportError
from ..driver.memory_port import OUTPUTS, SAMPLED, MemoryPort

__all__ = ["RAM", "RAM_SIZE", "WINDOW", "WINDOW_SIZE", "Bus", "Zynq"]

#: The memory: processor and HP0 see it at the same addresses.
RAM, RAM_SIZE = 0x00100000, 1 << 20

#: Registers.
WINDOW, WINDOW_SIZE = 0x43C00000, 0x1000

PATIENCE = 200


class Zynq:
    """The cell ``ps7`` of a top."""

    def __init__(self, dut: Any, *, size: int = RAM_SIZE, **port: Any) -> None:
        self.cell, self.numbers, self.cycles = dut.ps7, random.Random(1), 0
        self.ram = mmap.mmap(-1, size)
        self.port = MemoryPort(self.ram, RAM, **port)
        self.edge = RisingEdge(self.cell.clock)
        # Accesses of the processor, of any kind.
        self.accesses = 0

    async def start(self) -> None:
        """Reset the logic, and start the memory."""
        # Signals are as the test before left them.
        self.cell.FCLKRESETN.value = 0
        for name in OUTPUTS:
            getattr(self.cell, f"SAXIHP0{name.upper()}").value = 0
        for name in "ARVALID", "RREADY", "AWVALID", "WVALID", "BREADY":
            self._gp0(name).value = 0
        for _ in range(4):
            await self.edge
        self.cell.FCLKRESETN.value = 15
        for _ in range(6):
            await self.edge
        cocotb.start_soon(self._memory())

    async def _memory(self):
        sampled = {name: getattr(self.cell, f"SAXIHP0{name.upper()}") for name in SAMPLED}
        driven = {name: getattr(self.cell, f"SAXIHP0{name.upper()}") for name in OUTPUTS}
        state = dict.fromkeys(OUTPUTS, 0)
        while True:
            await self.edge
            self.cycles += 1
            outputs = self.port.step(lambda name: int(sampled[name].value))
            for name, value in outputs.items():
                if state[name] != value:
                    driven[name].value = state[name] = value

    def _gp0(self, name):
        return getattr(self.cell, f"MAXIGP0{name}")

    async def _handshake(self, valid, ready):
        """Offer on a channel until it is taken."""
        self._gp0(valid).value = 1
        for _ in range(PATIENCE):
            await self.edge
            if self._gp0(ready).value == 1:
                self._gp0(valid).value = 0
                return
        raise TransportError(f"GP0 does not take {valid}")

    def _address(self, channel, address, beats, size, burst):
        name = self.numbers.getrandbits(12)
        for what, value in (("ID", name), ("ADDR", address), ("LEN", beats - 1), ("SIZE", size),
                            ("BURST", burst)):
            self._gp0(f"A{channel}{what}").value = value
        return name

    async def read(self, address: int, beats: int = 1, size: int = 2, burst: int = 1,
                   stall: float = 0.0) -> list[tuple[int, int]]:
        """Words and responses of a burst."""
        self.accesses += 1
        name = self._address("R", address, beats, size, burst)
        await self._handshake("ARVALID", "ARREADY")
        found = []
        for _ in range(PATIENCE * beats):
            ready = self.numbers.random() >= stall
            self._gp0("RREADY").value = ready
            await self.edge
            if ready and self._gp0("RVALID").value == 1:
                assert self._gp0("RID").value == name
                found.append((int(self._gp0("RDATA").value), int(self._gp0("RRESP").value)))
                assert (self._gp0("RLAST").value == 1) == (len(found) == beats)
                if len(found) == beats:
                    self._gp0("RREADY").value = 0
                    return found
        raise TransportError("GP0 has no data")

    async def write(self, address: int, words: Sequence[int], size: int = 2, burst: int = 1,
                    strobes: Sequence[int] | None = None, stall: float = 0.0) -> int:
        """Write a burst; its response."""
        self.accesses += 1
        name = self._address("W", address, len(words), size, burst)
        await self._handshake("AWVALID", "AWREADY")
        for n, word in enumerate(words):
            while self.numbers.random() < stall:
                await self.edge
            self._gp0("WDATA").value = word
            self._gp0("WSTRB").value = strobes[n] if strobes else 15
            self._gp0("WLAST").value = n == len(words) - 1
            self._gp0("WID").value = name
            await self._handshake("WVALID", "WREADY")
        self._gp0("BREADY").value = 1
        for _ in range(PATIENCE):
            await self.edge
            if self._gp0("BVALID").value == 1:
                assert self._gp0("BID").value == name
                self._gp0("BREADY").value = 0
                return int(self._gp0("BRESP").value)
        raise TransportError("GP0 has no response")

    @property
    def irq(self) -> int:
        """The interrupt at the processor."""
        return int(self.cell.IRQF2P.value) & 1


class Bus(Transport, MemoryTransport):
    """The Python driver's transport, for a thread beside the simulation."""

    interrupts = True

    def __init__(self, zynq, start=0x40000):
        self.zynq = zynq
        self._memory = Buffer(RAM + start, memoryview(zynq.ram)[start:])

    @property
    def memory(self):
        return self._memory

    def read32(self, offset):
        (word, response), = resume(self.zynq.read)(WINDOW + offset)
        return self._answered(word, response)

    def write32(self, offset, value):
        self._answered(0, resume(self.zynq.write)(WINDOW + offset, [value]))

    @staticmethod
    def _answered(word, response):
        if response:
            raise TransportError(f"Register bus answers with error {response}")
        return word

    def wait_interrupt(self, timeout):
        return resume(self._interrupt)(timeout)

    async def _interrupt(self, timeout):
        end = self.zynq.cycles + round(timeout * 1e4)
        while self.zynq.cycles < end and not self.zynq.irq:
            await self.zynq.edge
        return bool(self.zynq.irq)

    def now(self):
        return self.zynq.cycles * 1e-4

    def pause(self):
        resume(self._pause)()

    async def _pause(self):
        for _ in range(20):
            await self.zynq.edge

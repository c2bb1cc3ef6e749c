"""Inside a simulator: a serial port at the pins of an emitted unit."""

from __future__ import annotations

from collections import deque
from typing import Any

import cocotb
from cocotb.task import resume
from cocotb.triggers import Timer
from cocotb.utils import get_sim_time

__all__ = ["Pins"]


class Pins:
    """A serial port at the pins ``rx`` and ``tx`` of a design.

    Parameters
    ----------
    dut : object
        The design.
    bit : int
        Nanoseconds of a bit.
    """

    def __init__(self, dut: Any, bit: int) -> None:
        self._dut, self._bit = dut, bit
        self._to, self._from = deque(), bytearray()
        cocotb.start_soon(self._send())
        cocotb.start_soon(self._receive())

    async def _send(self):
        while True:
            while not self._to:
                await Timer(self._bit, "ns")
            byte = self._to.popleft()
            for bit in (0, *(byte >> k & 1 for k in range(8)), 1):
                self._dut.rx.value = bit
                await Timer(self._bit, "ns")

    async def _receive(self):
        while True:
            while self._dut.tx.value:
                await self._dut.tx.value_change
            await Timer(self._bit * 3 // 2, "ns")
            byte = 0
            for k in range(8):
                byte |= int(self._dut.tx.value) << k
                await Timer(self._bit, "ns")
            assert self._dut.tx.value == 1, "no stop bit"
            self._from.append(byte)

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._to.extend(data)

    @resume
    async def read(self, size: int) -> bytes:
        """Up to so many bytes; fewer if they do not come for a while."""
        for _ in range(100):
            if self._from and not self._to:
                break
            await Timer(2 * self._bit, "ns")
        data, self._from = bytes(self._from[:size]), self._from[size:]
        return data

    def clock(self) -> float:
        """Seconds of the simulation."""
        return get_sim_time("ns") * 1e-9

    def close(self) -> None:
        """Nothing."""

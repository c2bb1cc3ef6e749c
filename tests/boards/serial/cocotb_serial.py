"""Test inside a simulator: the host's end of the serial link at the pins of an emitted unit."""

import json
import os
import pathlib
import sys
from collections import deque

import cocotb
from cocotb.clock import Clock
from cocotb.task import bridge, resume
from cocotb.triggers import ClockCycles, Timer
from cocotb.utils import get_sim_time

JOB = json.loads(pathlib.Path(os.environ["JOB"]).read_text())
sys.path.insert(0, JOB["home"])

from boards.driver import TransportError  # noqa: E402
from boards.serial.transport import SerialTransport  # noqa: E402

PERIOD = 10


class Pins:
    """A serial port at the pins ``rx`` and ``tx``."""

    def __init__(self, dut, divisor):
        self._dut, self._bit = dut, PERIOD * divisor
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

    def write(self, data):
        self._to.extend(data)

    @resume
    async def read(self, size):
        for _ in range(100):
            if self._from and not self._to:
                break
            await Timer(2 * self._bit, "ns")
        data, self._from = bytes(self._from[:size]), self._from[size:]
        return data

    def clock(self):
        return get_sim_time("ns") * 1e-9

    def close(self):
        pass


def exchange(transport):
    """All packets, first sent and then received; registers before and after."""
    at = JOB["offsets"]
    for name, value in JOB["constants"].items():
        assert transport.read32(at[name]) == value, name
    try:
        transport.read32(JOB["unmapped"])
    except TransportError as error:
        assert str(error) == JOB["message"]
    else:
        raise AssertionError("a register that is not there")
    for stream, packet, user in JOB["packets"]:
        transport.send(stream, bytes.fromhex(packet), user and bytes.fromhex(user))
    for expected in JOB["expected"]:
        packet = bytes.fromhex(expected)
        assert transport.receive("o", len(packet), 1e-3) == packet
    assert transport.read32(at["O_PACKETS"]) == len(JOB["expected"])
    assert transport.read32(at["ERRORS"]) == 0


@cocotb.test
async def packets(dut):
    cocotb.start_soon(Clock(dut.clk, PERIOD, unit="ns").start())
    dut.rx.value, dut.rst.value = 1, 1
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    pins = Pins(dut, JOB["divisor"])

    def host():
        exchange(SerialTransport(pins, JOB["manifest"], timeout=2e-4, clock=pins.clock))
    await bridge(host)()

"""Test inside a simulator: the host's end of the serial link at the pins of an emitted unit."""

import json
import os
import pathlib
import sys

import cocotb
from cocotb.clock import Clock
from cocotb.task import bridge
from cocotb.triggers import ClockCycles

JOB = json.loads(pathlib.Path(os.environ["JOB"]).read_text())
sys.path.insert(0, JOB["home"])

from boards.driver import TransportError  # noqa: E402
from boards.serial.transport import SerialTransport  # noqa: E402
from boards.testing.serial_pins import Pins  # noqa: E402

PERIOD = 10


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
    pins = Pins(dut, PERIOD * JOB["divisor"])

    def host():
        exchange(SerialTransport(pins, JOB["manifest"], timeout=2e-4, clock=pins.clock))
    await bridge(host)()

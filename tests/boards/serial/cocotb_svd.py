"""Test inside a simulator: SVD-softmax behind a serial line, whose memory is the host's."""

import json
import os
import pathlib

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import bridge
from cocotb.triggers import ClockCycles

from boards.driver import Device, TransferError
from boards.serial.transport import SerialTransport
from boards.testing.serial_pins import Pins

JOB = json.loads(pathlib.Path(os.environ["JOB"]).read_text())

PERIOD = 10


@cocotb.test
async def vectors(dut):
    cocotb.start_soon(Clock(dut.clk, PERIOD, unit="ns").start())
    dut.rx.value, dut.rst.value = 1, 1
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    pins = Pins(dut, PERIOD * JOB["divisor"])

    def host():
        transport = SerialTransport(pins, JOB["manifest"], timeout=2e-4, clock=pins.clock)
        device = Device(transport, JOB["manifest"], timeout=2e-4)
        device.load_image(bytes.fromhex(JOB["image"]))
        # The unit finds an image that is not its own; then the right one.
        image = device._head._image
        other = bytearray(image.content)
        other[4] ^= 1
        object.__setattr__(image, "content", bytes(other))
        try:
            device.svd_softmax(np.array(JOB["x"][:1]))
        except TransferError as error:
            assert "the image in memory does not fit the unit" in str(error)
        else:
            raise AssertionError("no error")
        device.load_image(bytes.fromhex(JOB["image"]))
        y = device.svd_softmax(np.array(JOB["x"]))
        for name, value in JOB["expected"].items():
            assert np.array_equal(getattr(y, name), value), name
    await bridge(host)()

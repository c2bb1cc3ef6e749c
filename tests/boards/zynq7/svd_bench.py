"""Tests inside a simulator: the emitted Zynq-7000 top of SVD-softmax, and its software."""

import json
import os
import pathlib
import struct

import cocotb
import numpy as np
from cocotb.task import bridge
from cocotb.triggers import with_timeout

from boards.driver import Device, TransferError
from boards.testing.arm import Cortex
from boards.testing.zynq import RAM, RAM_SIZE, Bus, Zynq

FOLDER = pathlib.Path(os.environ["FOLDER"])
MANIFEST = json.loads((FOLDER / "manifest.json").read_text())
ARRAYS = dict(np.load(FOLDER / "arrays.npz"))
X, IMAGE = ARRAYS.pop("x"), ARRAYS.pop("image").tobytes()


async def board(dut, **port):
    zynq = Zynq(dut, **port)
    await zynq.start()
    return zynq


def refused(call, kind, text):
    try:
        call()
    except kind as error:
        assert text in str(error), error
    else:
        raise AssertionError(f"no error: {text}")


def same(y):
    found = {name: value for name, value in y._asdict().items() if value is not None}
    assert found.keys() == ARRAYS.keys()
    for name, value in found.items():
        assert np.array_equal(value, ARRAYS[name]), name


@cocotb.test
async def python_driver(dut):
    """Batches, equal to the model, and errors that the next call survives."""
    zynq = await board(dut, pause=0.1)

    def run():
        # Before the image, which starts on a page, there is room for two vectors of three.
        bus = Bus(zynq, RAM_SIZE - 4096 - 176)
        device = Device(bus, FOLDER / "manifest.json", timeout=1.0)
        refused(lambda: device.svd_softmax(X), ValueError, "Image must be loaded before hidden")
        device.load_image(IMAGE)
        same(device.svd_softmax(X))
        # All that was taken in two batches has left.
        status = device.registers.fields("STATUS")
        assert device.registers.read("H_PACKETS") == 2 and not any(status.values()), status
        # A preview that memory does not give, and a header that somebody has overwritten.
        zynq.port.faults[RAM + RAM_SIZE - 4096 + 64] = 2
        refused(lambda: device.svd_softmax(X[:1]), TransferError,
                "DMA_RESPONSE: a burst was answered SLVERR")
        zynq.port.faults.clear()
        zynq.ram[RAM_SIZE - 4096 + 4] ^= 1
        refused(lambda: device.svd_softmax(X[:1]), TransferError,
                "the image in memory does not fit the unit")
        # Fewer words, by the model beside the simulation.
        device.load_image(IMAGE)
        device.svd_softmax(X[0], vocabulary=7, count=2, verify=True)
    await with_timeout(bridge(run)(), 20, "ms")


async def program(zynq, *words, change=0):
    cortex = Cortex(zynq, FOLDER / "program.elf")
    return (await with_timeout(bridge(cortex.run)(change, 2000, *words), 20, "ms"))[:3]


@cocotb.test
async def arm_program(dut):
    """The driver in C, compiled for a Cortex-A9, on the same image and vectors."""
    zynq = await board(dut)
    image, setup, h, o = (RAM + place for place in (0x50000, 0x60000, 0x61000, 0x62FC8))
    vectors = len(X)
    zynq.ram[0x50000:0x50000 + len(IMAGE)] = IMAGE
    content = X.astype("<i2").tobytes()
    zynq.ram[0x61000:0x61000 + len(content)] = content
    index, probability, logit, log = (ARRAYS[name].astype(np.int64) for name in (
        "index", "probability", "logit", "log_partition"))
    words = np.stack([index | 1 << 31, probability, logit & 0xFFFFFFFF,
                      np.broadcast_to(log[:, None], index.shape) & 0xFFFFFFFF], axis=2)
    right = struct.pack(f"<{words.size}I", *words.reshape(-1).tolist())

    # Another bitstream; no image; one of another configuration, unaligned, or too many words.
    unit, none, other, unaligned, number = 3, 64, 65, 66, 67
    assert (await program(zynq, image, setup, h, o, 1, change=1))[0] == unit
    for job, status in (((0, setup, h, o, 1), none), ((RAM + 0x70000, setup, h, o, 1), none),
                        ((image + 8, setup, h, o, 1), unaligned),
                        ((image, setup, h, o, 0), number), ((image, setup, h, o, 1, 10), number)):
        assert (await program(zynq, *job))[0] == status
    zynq.ram[0x50004] ^= 1
    assert (await program(zynq, image, setup, h, o, 1))[0] == other
    zynq.ram[0x50004] ^= 1
    # An error in the answer to a request of the unit's own; the next call works.
    zynq.port.faults[image + 64] = 3
    status, errors, channel = await program(zynq, image, setup, h, o, 1)
    offsets = {each["name"]: each["offset"] for each in MANIFEST["registers"]}
    assert status == 9 and channel == 0x240 and offsets["DMA_RESPONSE_ERRORS"] == 0x25C
    zynq.port.faults.clear()
    assert await program(zynq, image, setup, h, o, vectors) == (0, 0, 0)
    assert zynq.ram[0x62FC8:0x62FC8 + len(right)] == right

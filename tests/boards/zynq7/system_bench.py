"""Tests inside a simulator: an emitted Zynq-7000 top, and the software that ships with it."""

import json
import os
import pathlib

import cocotb
import numpy as np
from cocotb.task import bridge
from cocotb.triggers import with_timeout

from boards.driver import AnswerError, Buffer, Device, DeviceError, TransferError
from boards.testing.arm import Cortex
from boards.testing.zynq import RAM, WINDOW, Bus, Zynq

FOLDER = pathlib.Path(os.environ["FOLDER"])
MANIFEST = json.loads((FOLDER / "manifest.json").read_text())
ARRAYS = dict(np.load(FOLDER / "arrays.npz"))
FAMILY = MANIFEST["unit"].partition("-")[0]
SETS = MANIFEST["parameters"].get("store") == "resident"
# Tokens of a prompt.
PROMPT = 4


async def board(dut, **port):
    zynq = Zynq(dut, **port)
    await zynq.start()
    return zynq


def call(device):
    """The driver's function of the unit, on the arrays of the job."""
    if SETS:
        return decode(device)
    if FAMILY == "attention":
        return device.attention(*(ARRAYS[name] for name in "qkv"), parameters=ARRAYS["p"])
    return getattr(device, FAMILY)(ARRAYS["x"])


def decode(device):
    """A prompt, then token after token, of two heads; what program.c does."""
    k, v, q = (ARRAYS[name] for name in "kvq")
    sets, y = device.resident(), np.zeros_like(ARRAYS["y"])
    for head, words in enumerate(ARRAYS["p"]):
        sets.head(head, words)
    sets.append(0, k[:PROMPT], v[:PROMPT])
    whole = device.transport.memory
    for n in range(PROMPT, len(k)):
        # Command by command, where there is no room for all of a token.
        device.transport._memory = Buffer(whole.address, whole.data[:24 if n == PROMPT else 4096])
        y[n] = sets.decode(0, k[n:n + 1], v[n:n + 1], q[n][:, None], head=range(2))[:, 0]
    try:
        device.transport._memory = Buffer(whole.address, whole.data[:16])
        sets.query(1, q[0, :1])
    except ValueError as error:
        assert str(error) == "DMA memory must have at least 24 bytes for a command, not 16"
    device.transport._memory = whole
    try:
        sets.query(1, q[0, :1])
    except AnswerError:
        sets.truncate(0, len(k) - 1)
    y[0, :1] = sets.query(0, q[0, :1], head=1)
    return y


@cocotb.test
async def python_driver(dut):
    """The driver in Python: the same results as the model, with pauses on the bus."""
    zynq = await board(dut, pause=0.1)

    def run():
        device = Device(Bus(zynq), FOLDER / "manifest.json", timeout=0.5)
        return (call(device), *([] if SETS else [call(device)]))
    for y in await with_timeout(bridge(run)(), 20, "ms"):
        assert np.array_equal(y, ARRAYS["y"] ^ int(os.environ.get("FAULT", "0")))


def areas():
    """Rows of the arrays in memory, and the job of the program: its arguments, and the output."""
    place, words, images = 0x50000, {}, []
    names = ("k", "v", "q", "p") if FAMILY == "attention" else ("x",)
    for name in (*names, "y"):
        rows = ARRAYS[name].reshape(len(ARRAYS[name]), -1)
        stream = {"x": "i", "y": "o"}.get(name, name)
        size = -(-MANIFEST["streams"][stream]["width"] // 8)
        row = rows.astype(f"<i{size}").view(np.uint8).reshape(len(rows), -1)
        stride = -(-row.shape[1] // 8) * 8
        images.append((place, row, stride))
        words[name] = RAM + place
        place += stride * len(row) + 4000 & ~7
    if SETS:
        tokens = len(ARRAYS["k"])
        return images, [*(words[name] for name in "kvqyp"), RAM + place, tokens, PROMPT]
    if FAMILY == "attention":
        (sets, queries, dim), keys = ARRAYS["q"].shape, ARRAYS["k"].shape[1]
        return images, [*(words[name] for name in "qkvpy"), sets, queries, keys, dim]
    return images, [words["x"], words["y"], *ARRAYS["x"].shape]


async def program(zynq, words, change=0, polls=2000):
    cortex = Cortex(zynq, FOLDER / "program.elf")
    return await with_timeout(bridge(cortex.run)(change, polls, *words), 20, "ms")


@cocotb.test
async def arm_program(dut):
    """The driver in C, compiled for a Cortex-A9, instruction by instruction."""
    zynq = await board(dut)
    images, words = areas()
    for place, rows, stride in images[:-1]:
        for n, row in enumerate(rows):
            zynq.ram[place + n * stride:place + n * stride + len(row)] = row.tobytes()
    place, expected, stride = images[-1]

    def written():
        return [zynq.ram[place + n * stride:place + n * stride + len(row)]
                for n, row in enumerate(expected)]
    right = [row.tobytes() for row in expected]
    assert (await program(zynq, words))[:3] == (0, 0, 0)
    assert written() == right
    assert zynq.accesses > 20

    # Faults: the header of another bitstream; an address that is not aligned; an error in the
    # middle of a burst, either way; and each time the next call works.
    zynq.ram[place:place + len(expected) * stride] = bytes(len(expected) * stride)
    unit, unaligned, slverr, decerr = 3, 5, 8, 9
    assert (await program(zynq, words, change=1))[0] == unit
    assert (await program(zynq, [words[0] + 4, *words[1:]]))[0] == unaligned
    assert not any(map(any, written()))
    end = place + (len(expected) - 1) * stride
    for address, code, status in ((images[0][0] + 16, 2, slverr), (end, 3, decerr))[:2 - SETS]:
        zynq.port.faults[RAM + address] = code
        found = await program(zynq, words)
        assert found[0] == status and found[1] and found[2] >= 0x200
        zynq.port.faults.clear()
        assert (await program(zynq, words))[0] == 0
        assert written() == right
    # Rows that are too short for the unit, or too long.
    if FAMILY != "attention":
        assert (await program(zynq, [*words[:3], 4097]))[0] == 4


@cocotb.test
async def bursts(dut):
    """GP0 with bursts of any kind and size, and addresses beyond the registers."""
    zynq = await board(dut)
    offsets = {each["name"]: each["offset"] for each in MANIFEST["registers"]}
    at = {name: WINDOW + offset for name, offset in offsets.items()}
    output = at["DMA_O_ADDRESS"]
    for stall in 0.0, 0.5:
        assert await zynq.write(output, [0x10, 0x20, 0x30, 0x40], stall=stall) == 0
        assert await zynq.read(output, 4, stall=stall) == [(n, 0) for n in (16, 32, 48, 64)]
        # Wrapping, from the third word on.
        assert await zynq.read(output + 8, 4, burst=2, stall=stall) == \
            [(n, 0) for n in (48, 64, 16, 32)]
        assert await zynq.read(output + 4, 3, burst=0) == [(32, 0)] * 3
        # Bytes: the whole word comes, and single ones are written.
        assert await zynq.read(output, 4, size=0) == [(16, 0)] * 4
        assert await zynq.write(output, [0xAB00, 0xCD0000], size=0, strobes=[2, 4]) == 0
        assert await zynq.read(output) == [(0xCDAB10, 0)]
    # No register, within a burst; and no registers at all.
    found = await zynq.read(at["ID"], 16)
    assert found[0] == (0x5452544C, 0) and [code for _, code in found[:8]] == [0] * 8
    assert {code for _, code in found[8:]} == {2}
    assert await zynq.read(WINDOW + 0x1000, 2) == [(0, 3)] * 2
    assert await zynq.write(WINDOW - 0x1000, [1, 2]) == 3
    assert await zynq.read(at["ID"]) == [(0x5452544C, 0)]


@cocotb.test
async def faults(dut):
    """An error in mid-burst and a reset in flight, from Python; the next call works."""
    zynq = await board(dut)

    def run():
        bus = Bus(zynq)
        device = Device(bus, FOLDER / "manifest.json", timeout=0.5)
        zynq.port.faults[bus.memory.address + 16] = 2
        try:
            call(device)
        except TransferError as error:
            assert "a burst was answered SLVERR" in str(error)
        else:
            raise AssertionError("no error")
        zynq.port.faults.clear()
        try:
            Device(bus, {**MANIFEST, "hash": "00000001"})
        except DeviceError as error:
            assert "another unit" in str(error)
        return call(device)
    assert np.array_equal(await with_timeout(bridge(run)(), 20, "ms"), ARRAYS["y"])


@cocotb.test(skip="THROUGHPUT" not in os.environ)
async def throughput(dut):
    """Rows from memory to memory; cycles from the first start to the last answer."""
    zynq = await board(dut, size=3 << 20)
    x = ARRAYS["x"]

    def run():
        bus = Bus(zynq)
        device = Device(bus, FOLDER / "manifest.json", timeout=100)
        start = zynq.cycles
        return device.softmax(x), zynq.cycles - start
    y, cycles = await with_timeout(bridge(run)(), 20, "ms")
    assert np.array_equal(y, ARRAYS["y"])
    assert zynq.port.beats == {"r": x.size // 8, "w": x.size // 8}
    share = x.size / cycles / 8
    (FOLDER / "throughput.json").write_text(json.dumps({"bytes": x.size, "cycles": cycles,
                                                        "share": share}))
    assert share >= 0.9

"""Test inside a simulator: rows copied in the memory of cocotbext-axi, with pauses."""

import json
import os
import pathlib
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiRam


async def descriptor(dut, side, values):
    """Give a DMA a descriptor: its fields from the lowest bit on."""
    word, place = 0, 0
    for value, width in zip(values, (32, 24, 16, 32), strict=True):
        word |= value << place
        place += width
    getattr(dut, f"{side}_payload").value = word
    getattr(dut, f"{side}_valid").value = 1
    while True:
        await RisingEdge(dut.clk)
        if getattr(dut, f"{side}_ready").value:
            break
    getattr(dut, f"{side}_valid").value = 0


@cocotb.test
async def copies(dut):
    """Rows of any number of bytes go from one place to another, and nothing else changes."""
    job = json.loads(pathlib.Path(os.environ["JOB"]).read_text())
    cocotb.start_soon(Clock(dut.clk, 10, unit="ns").start())
    ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), dut.clk, dut.rst, size=1 << 16)
    dut.read_valid.value = dut.write_valid.value = 0
    dut.rst.value = 1
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    numbers = random.Random(1)
    memory = bytearray(numbers.randbytes(1 << 16))
    ram.write(0, bytes(memory))
    # One wrong bit in what is expected, where it is to be found.
    memory[0x8000] ^= job["fault"]
    channels = (ram.write_if.aw_channel, ram.write_if.w_channel, ram.write_if.b_channel,
                ram.read_if.ar_channel, ram.read_if.r_channel)
    for share in (0.0, 0.3, 0.7):
        if share:
            for channel in channels:
                channel.set_pause_generator(
                    iter(lambda share=share: numbers.random() < share, None))
        for source, to in job["copies"]:
            await descriptor(dut, "write", to)
            await descriptor(dut, "read", source)
            await RisingEdge(dut.clk)
            while dut.busy.value:
                await with_timeout(RisingEdge(dut.clk), 1, "ms")
            for row in range(source[2]):
                here, there = source[0] + row * source[3], to[0] + row * to[3]
                memory[there:there + to[1]] = memory[here:here + source[1]]
            assert ram.read(0, 1 << 16) == bytes(memory)
        assert not dut.errors.value

"""Test inside a simulator: registers through the AXI4-Lite master of cocotbext-axi, with pauses."""

import itertools
import json
import os
import pathlib
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, with_timeout
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiResp,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)


@cocotb.test
async def registers(dut):
    """Identity, errors, counters and interrupt: without pauses, and with random ones."""
    job = json.loads(pathlib.Path(os.environ["JOB"]).read_text())
    cocotb.start_soon(Clock(dut.aclk, 10, unit="ns").start())
    reset = {"clock": dut.aclk, "reset": dut.aresetn, "reset_active_level": False}
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), **reset)
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), **reset)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), **reset)
    dut.aresetn.value = 0
    await ClockCycles(dut.aclk, 3)
    dut.aresetn.value = 1
    await ClockCycles(dut.aclk, 2)
    numbers = random.Random(1)
    channels = (master.write_if.aw_channel, master.write_if.w_channel, master.write_if.b_channel,
                master.read_if.ar_channel, master.read_if.r_channel)
    at = job["offsets"]

    async def read(name):
        return await master.read_dword(at[name])

    for share in (0.0, 0.5, 0.8):
        if share:
            for channel in channels:
                channel.set_pause_generator(
                    iter(lambda share=share: numbers.random() < share, None))
        for name, value in job["constants"].items():
            assert await read(name) == value, name
            # Read only: taken, and without effect.
            assert (await master.write(at[name], b"\0" * 4)).resp == AxiResp.OKAY
            assert await read(name) == value
        for offset in job["unmapped"]:
            assert (await master.write(offset, b"\xff" * 4)).resp == AxiResp.SLVERR
            answer = await master.read(offset, 4)
            assert (answer.resp, answer.data) == (AxiResp.SLVERR, b"\0" * 4)
        # Single bytes: the others keep what they have.
        await master.write_dword(at["IRQ_ENABLE"], 0x03)
        for byte in range(1, 4):
            await master.write(at["IRQ_ENABLE"] + byte, b"\0")
        assert await read("IRQ_ENABLE") == 3
        await master.write(at["IRQ_ENABLE"], b"\x02")
        assert await read("IRQ_ENABLE") == 2

        await master.write_dword(at["CONTROL"], 0b110)
        for data, expected in zip(job["rows"], job["expected"], strict=True):
            await source.send(AxiStreamFrame(bytes(data)))
            frame = await with_timeout(sink.recv(), 1, "ms")
            assert list(frame.tdata) == expected
        assert await read("I_PACKETS") == await read("O_PACKETS") == len(job["rows"])
        assert await read("I_BEATS") == await read("O_BEATS") == job["beats"]
        assert not dut.irq.value and await read("ERRORS") == 0 and await read("STATUS") == 0

        # A row that is too long, with several reads and writes of the registers at once.
        many = [cocotb.start_soon(read("ID")) for _ in range(5)]
        await source.send(AxiStreamFrame(bytes(job["long"])))
        await with_timeout(sink.recv(), 1, "ms")
        assert {await task for task in many} == {job["constants"]["ID"]}
        await ClockCycles(dut.aclk, 5)
        assert dut.irq.value and await read("ERRORS") == job["errors"]
        await master.write_dword(at["CONTROL"], 0b011)
        await master.write_dword(at["IRQ_PENDING"], 3)
        assert not dut.irq.value and await read("ERRORS") == 0 and await read("STATUS") == 0


@cocotb.test
async def orders(dut):
    """Address before data and after it, by any number of cycles: one response each."""
    job = json.loads(pathlib.Path(os.environ["JOB"]).read_text())
    cocotb.start_soon(Clock(dut.aclk, 10, unit="ns").start())
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), dut.aclk, dut.aresetn,
                           reset_active_level=False)
    dut.aresetn.value = 0
    await ClockCycles(dut.aclk, 3)
    dut.aresetn.value = 1
    offset = job["offsets"]["IRQ_ENABLE"]
    for late, cycles in itertools.product((master.write_if.aw_channel, master.write_if.w_channel),
                                          (1, 2, 5)):
        for value in (1, 2):
            late.pause = True
            task = cocotb.start_soon(master.write_dword(offset, value))
            await ClockCycles(dut.aclk, cycles)
            assert not task.done()
            late.pause = False
            await with_timeout(task, 1, "us")
            assert await master.read_dword(offset) == value

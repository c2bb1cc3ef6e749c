"""Test inside a simulator: a unit with DMA between master and memory of cocotbext-axi, paused."""

import json
import os
import pathlib
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam


@cocotb.test
async def rows(dut):
    """Rows and masks in memory become what the model says; nothing beside them changes."""
    job = json.loads(pathlib.Path(os.environ["JOB"]).read_text())
    at = job["offsets"]
    cocotb.start_soon(Clock(dut.aclk, 10, unit="ns").start())
    reset = {"clock": dut.aclk, "reset": dut.aresetn, "reset_active_level": False}
    master = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axi"), **reset)
    ram = AxiRam(AxiBus.from_prefix(dut, "m_axi"), size=1 << 16, **reset)
    dut.aresetn.value = 0
    await ClockCycles(dut.aclk, 3)
    dut.aresetn.value = 1
    await ClockCycles(dut.aclk, 2)
    numbers = random.Random(1)
    channels = (ram.write_if.aw_channel, ram.write_if.w_channel, ram.write_if.b_channel,
                ram.read_if.ar_channel, ram.read_if.r_channel, master.write_if.aw_channel,
                master.write_if.w_channel, master.read_if.r_channel)
    memory = bytearray(numbers.randbytes(1 << 16))
    for n, share in enumerate((0.0, 0.4, 0.7)):
        if share:
            for channel in channels:
                channel.set_pause_generator(
                    iter(lambda share=share: numbers.random() < share, None))
        for name, rows in job["inputs"].items():
            address, stride = job["places"][name]
            for k, row in enumerate(rows):
                memory[address + k * stride:address + k * stride + len(row)] = bytes(row)
        ram.write(0, bytes(memory))
        for name, (address, stride) in job["places"].items():
            rows = job["inputs"].get(name, job["expected"])
            for what, value in (("ADDRESS", address), ("BYTES", len(rows[0])),
                                ("ROWS", len(rows)), ("STRIDE", stride), ("START", 1)):
                await master.write_dword(at[f"{name}_{what}"], value)
        while await with_timeout(master.read_dword(at["DMA_O_DONE"]), 1, "ms") == n:
            await RisingEdge(dut.aclk)
        address, stride = job["places"]["DMA_O"]
        for k, row in enumerate(job["expected"]):
            memory[address + k * stride:address + k * stride + len(row)] = bytes(row)
        assert ram.read(0, 1 << 16) == bytes(memory)
        for name in ("ERRORS", *(f"{channel}_ERRORS" for channel in job["places"])):
            assert await master.read_dword(at[name]) == 0
        # Where the results were, something else is.
        for k, row in enumerate(job["expected"]):
            memory[address + k * stride:address + k * stride + len(row)] = bytes(len(row))

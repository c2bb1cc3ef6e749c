"""Test inside a simulator: rows through the sources and sinks of cocotbext-axi, with pauses."""

import itertools
import json
import os
import pathlib
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, with_timeout
from cocotbext.axi import AxiStreamBus, AxiStreamFrame, AxiStreamSink, AxiStreamSource


@cocotb.test
async def rows(dut):
    """Every row comes out as expected: with no pauses, pauses of either side, and of both."""
    job = json.loads(pathlib.Path(os.environ["ROWS"]).read_text())
    cocotb.start_soon(Clock(dut.aclk, 10, unit="ns").start())
    source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), dut.aclk, dut.aresetn,
                             reset_active_level=False)
    sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), dut.aclk, dut.aresetn,
                         reset_active_level=False)
    dut.aresetn.value = 0
    for _ in range(3):
        await RisingEdge(dut.aclk)
    dut.aresetn.value = 1
    await RisingEdge(dut.aclk)

    numbers = random.Random(1)
    for gaps, stalls in itertools.product((False, True), repeat=2):
        source.clear_pause_generator()
        sink.clear_pause_generator()
        source.pause = sink.pause = False
        if gaps:
            source.set_pause_generator(iter(lambda: numbers.random() < 0.3, None))
        if stalls:
            sink.set_pause_generator(iter(lambda: numbers.random() < 0.4, None))
        for row in job:
            user = {"tuser": row["user"]} if row["user"] else {}
            await source.send(AxiStreamFrame(bytes(row["data"]), **user))
        for row in job:
            frame = await with_timeout(sink.recv(), 1, "ms")
            assert list(frame.tdata) == row["expected"]
        assert sink.empty()
    assert not dut.error.value

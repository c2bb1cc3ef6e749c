"""Simulation of AXI shells, whose clock and reset are ports."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from amaranth import Module
from amaranth.sim import Simulator

__all__ = ["simulate"]


def simulate(dut: Any, scenario: Callable[..., Awaitable[None]]) -> None:
    """Run ``scenario(ctx, cycle)`` of a shell with ``aclk`` and ``aresetn``, after its reset.

    ``await cycle()`` is a cycle of ``aclk``.
    """
    m = Module()
    m.submodules.dut = dut
    simulator = Simulator(m)

    async def testbench(ctx):
        async def cycle():
            await ctx.delay(5e-7)
            ctx.set(dut.aclk, 1)
            await ctx.delay(5e-7)
            ctx.set(dut.aclk, 0)
        ctx.set(dut.aresetn, 0)
        await cycle()
        ctx.set(dut.aresetn, 1)
        # The unit is reset a cycle later.
        await cycle()
        await scenario(ctx, cycle)
    simulator.add_testbench(testbench)
    simulator.run()

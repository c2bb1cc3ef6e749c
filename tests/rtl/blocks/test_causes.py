"""Sticky bits of what was found."""

from amaranth.sim import Simulator

from rtl.blocks.causes import Causes


def test_causes_stay_until_they_are_cleared():
    """What is found in the cycle in which all are cleared stays."""
    dut = Causes(["LONG", "WITHIN", "QUERIES", "UNEVEN"])
    seen = []

    async def bench(ctx):
        for high in ("long",), (), ("uneven", "clear"), (), ("clear",), ():
            for name in ("long", "within", "queries", "uneven", "clear"):
                ctx.set(getattr(dut, name), name in high)
            await ctx.tick()
            seen.append((ctx.get(dut.causes), ctx.get(dut.error)))

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert seen == [(1, 1), (1, 1), (8, 1), (8, 1), (0, 0), (0, 0)]

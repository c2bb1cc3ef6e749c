"""Vectors of the beats of a stream."""

import pytest
from amaranth import ClockDomain, Module
from amaranth.sim import Simulator

from rtl.attention.vector_beat import VectorLayout
from rtl.attention.vector_beats import VectorBeats


@pytest.mark.parametrize("count", [1, 3])
def test_vectors(count):
    """Beats that are not taken do not count; a vector that is cut short leaves nothing behind."""
    dut = VectorBeats(VectorLayout(8, 2), count)
    found, wanted, vector = [], [], []

    async def bench(ctx):
        for n in range(24):
            transfer, last = n % 5 != 4, n in (6, 13)
            ctx.set(dut.beat, {"data": [n, 100 + n], "last": last})
            ctx.set(dut.transfer, transfer)
            if transfer:
                vector.extend((n, 100 + n))
            if transfer and len(vector) == 2 * count:
                wanted.append((n, [*vector]))
            if transfer and (last or len(vector) == 2 * count):
                vector.clear()
            if ctx.get(dut.whole):
                found.append((n, list(ctx.get(dut.elements))))
            await ctx.tick()

    top = Module()
    top.submodules.dut = dut
    # With one beat a vector there is no register.
    top.domains.sync = ClockDomain()
    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    assert found == wanted and len(found) >= 4

"""The multiplier in LUTs: exact, and as late as it says."""

import pytest

from rtl.blocks.multiplier import Multiplier
from sim.testing.pysim import clocked


@pytest.mark.parametrize("a_width, b_width", [(4, 1), (1, 3), (5, 4), (3, 6)])
def test_exhaustive(a_width, b_width):
    dut = Multiplier(a_width, b_width)
    pairs = [(a, b) for a in range(1 << a_width) for b in range(1 << b_width)]

    def drive(ctx, cycle):
        a, b = pairs[cycle % len(pairs)]
        ctx.set(dut.a, a)
        ctx.set(dut.b, b)

    got = clocked(dut, drive, lambda ctx, _: ctx.get(dut.o), len(pairs) + dut.latency)
    assert got[dut.latency:] == [a * b for a, b in pairs]

"""The multiplier in LUTs: exact, and as late as it says."""

import pytest

from rtl.blocks.multiplier import Multiplier
from sim.testing.pysim import pipelined


@pytest.mark.parametrize("a_width, b_width", [(4, 1), (1, 3), (5, 4), (3, 6)])
def test_exhaustive(a_width, b_width):
    dut = Multiplier(a_width, b_width)
    pairs = [(a, b) for a in range(1 << a_width) for b in range(1 << b_width)]

    def drive(ctx, pair):
        ctx.set(dut.a, pair[0])
        ctx.set(dut.b, pair[1])

    got = pipelined(dut, pairs, drive, lambda ctx: ctx.get(dut.o))
    assert got == [a * b for a, b in pairs]

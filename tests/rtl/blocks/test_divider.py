"""The divider: exact, and as late as it says."""

import pytest

from rtl.blocks.divider import Divider, SerialDivider
from sim.testing.pysim import clocked, pipelined


@pytest.mark.parametrize("width, quotient_bits, steps", [
    (1, 1, 1), (3, 4, 1), (4, 7, 1), (4, 6, 2), (5, 3, 3), (5, 2, 8)])
def test_exhaustive(width, quotient_bits, steps):
    dut = Divider(width, quotient_bits, steps=steps)
    pairs = [(n, d) for d in range(1, 1 << width) for n in range(d + 1)]

    def drive(ctx, pair):
        ctx.set(dut.n, pair[0])
        ctx.set(dut.d, pair[1])

    got = pipelined(dut, pairs, drive, lambda ctx: ctx.get(dut.o))
    assert got == [(n << quotient_bits) // d for n, d in pairs]


@pytest.mark.parametrize("width, quotient_bits", [(1, 1), (3, 4), (4, 7)])
def test_serial(width, quotient_bits):
    """Back to back, in an interval of its latency; the operands are there in one cycle only."""
    dut = SerialDivider(width, quotient_bits)
    pairs = [(n, d) for d in range(1, 1 << width) for n in range(d + 1)]

    def drive(ctx, cycle):
        n, d = pairs[cycle // dut.latency % len(pairs)]
        start = cycle % dut.latency == 0
        ctx.set(dut.start, start)
        ctx.set(dut.n, n if start else 0)
        ctx.set(dut.d, d if start else 0)

    got = clocked(dut, drive, lambda ctx, _: ctx.get(dut.o), (len(pairs) + 1) * dut.latency)
    assert got[dut.latency::dut.latency] == [(n << quotient_bits) // d for n, d in pairs]

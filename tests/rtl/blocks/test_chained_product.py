"""Products in chains of DSP blocks, against integers, and what they take on the device."""

import random

import pytest

from rtl.blocks.chained_product import ChainedProduct
from rtl.emit import synthesis, verilog
from sim.testing.pysim import pipelined

# Ranges of both operands, addend, bits dropped, and blocks.
CASES = [
    ((0, 200), (0, 100), 0, 0, 1),
    ((0, (1 << 24) - 1), (0, (1 << 17) - 1), 8, 4, 1),
    ((-(1 << 17), (1 << 17) - 1), (-(1 << 24), (1 << 24) - 1), 0, 7, 1),
    ((0, 1 << 17), (0, 1 << 17), 1 << 19, 20, 2),
    ((0, 1 << 17), (0, 1 << 17), 1 << 8, 9, 2),
    ((-(1 << 24), (1 << 24) - 1), (0, (1 << 34) - 1), 1 << 40, 41, 2),
    ((-(1 << 30), 1 << 29), (0, (1 << 34) - 1), 1 << 40, 41, 4),
    ((0, 1 << 27), (0, 1 << 27), 0, 0, 4),
    ((-(1 << 40), 1 << 40), (-5, 1 << 30), 3, 16, 4),
    ((0, (1 << 60) - 1), (-(1 << 50), (1 << 50) - 1), 1, 30, 12),
]


@pytest.mark.parametrize("a, b, addend, dropped, blocks", CASES)
def test_product(a, b, addend, dropped, blocks):
    dut = ChainedProduct(a, b, addend=addend, dropped=dropped)
    assert dut.latency == blocks + 2
    rng = random.Random(0)
    pairs = [(x, y) for x in a for y in b] + [(rng.randint(*a), rng.randint(*b)) for _ in range(60)]

    def drive(ctx, pair):
        ctx.set(dut.a, pair[0])
        ctx.set(dut.b, pair[1])

    got = pipelined(dut, pairs, drive, lambda ctx: ctx.get(dut.o))
    assert got == [(x * y + addend) >> dropped for x, y in pairs]


@pytest.mark.parametrize("a, b, addend, dropped, blocks", [CASES[1], CASES[5], CASES[6]])
def test_all_is_in_the_blocks(a, b, addend, dropped, blocks):
    dut = ChainedProduct(a, b, addend=addend, dropped=dropped)
    figures = synthesis.measure(verilog.of_components({"product": dut}), "product")
    assert (figures.dsp, figures.lut, figures.carry4) == (blocks, 0, 0)
    assert figures.delay_ps < 3300

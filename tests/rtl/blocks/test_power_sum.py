"""Sums of powers of two over the lanes of a beat, against Python's own."""

import random

import pytest

from rtl.blocks.power_sum import PowerSum
from sim.testing.pysim import pipelined


@pytest.mark.parametrize("code_bits, fraction_bits", [(2, 4), (3, 7), (4, 15), (4, 10), (5, 20)])
@pytest.mark.parametrize("lanes", [1, 2, 3, 8, 17])
def test_power_sum(code_bits, fraction_bits, lanes):
    dut = PowerSum(code_bits, fraction_bits, lanes)
    rng = random.Random(lanes)
    top = 1 << code_bits
    # Every pair of codes in the first two lanes, and then all lanes at the largest term.
    beats = [([a, b] + [rng.randrange(top) for _ in range(lanes)])[:lanes]
             for a in range(top) for b in range(top)] + [[0] * lanes]
    beats = [(codes, [rng.random() < 0.9 for _ in codes]) for codes in beats]
    beats.append(([0] * lanes, [True] * lanes))

    def drive(ctx, beat):
        for k, value in enumerate(beat[0]):
            ctx.set(dut.code[k], value)
        ctx.set(dut.live, sum(flag << k for k, flag in enumerate(beat[1])))
    expected = [sum((1 << fraction_bits) >> k for k, flag in zip(*beat, strict=True) if flag)
                for beat in beats]
    assert pipelined(dut, beats, drive, lambda ctx: ctx.get(dut.o)) == expected

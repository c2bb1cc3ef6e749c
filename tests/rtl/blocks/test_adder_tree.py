"""Sums over the lanes of a beat, against Python's own."""

import random

import pytest

from rtl.blocks.adder_tree import AdderTree
from sim.testing.pysim import pipelined


@pytest.mark.parametrize("lanes", [1, 2, 3, 4, 5, 7, 8, 16, 17, 64])
def test_adder_tree(lanes):
    dut = AdderTree(7, lanes, largest=100)
    rng = random.Random(lanes)
    beats = [[100] * lanes] + [[rng.randrange(101) for _ in range(lanes)] for _ in range(60)]

    def drive(ctx, beat):
        for k, value in enumerate(beat):
            ctx.set(dut.i[k], value)
    assert len(dut.o) == (100 * lanes).bit_length()
    assert pipelined(dut, beats, drive, lambda ctx: ctx.get(dut.o)) == [sum(beat) for beat in beats]

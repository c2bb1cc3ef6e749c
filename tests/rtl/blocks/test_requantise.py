"""The requantiser's pipeline against the integers of its rule, and as late as it says."""

import random
from fractions import Fraction

import pytest
from amaranth import signed, unsigned

from rtl.blocks.requantise import RequantiserPipeline
from rtl.fixed import Requantiser
from sim.testing.pysim import pipelined


@pytest.mark.parametrize("rule", [
    Requantiser(1, 0, 6), Requantiser(1, 3, 6), Requantiser(1, 30, 6), Requantiser(37, 9, 8),
    Requantiser.of_square(Fraction(9), 10)])
@pytest.mark.parametrize("offset", [0, 300])
def test_requantiser_pipeline(rule, offset):
    low, high = -300, 200
    rng = random.Random(0)
    values = [low, high, *range(-40, 41, 3), *(rng.randint(low, high) for _ in range(40))]
    dut = RequantiserPipeline(rule, low, high, unsigned(10) if offset else signed(10), offset)
    got = pipelined(dut, values, lambda ctx, x: ctx.set(dut.i, x + offset),
                    lambda ctx: ctx.get(dut.o))
    assert got == [rule(x) for x in values]


@pytest.mark.parametrize("rule", [Requantiser(1, 2, 4), Requantiser(5, 3, 4)])
def test_exhaustive(rule):
    dut = RequantiserPipeline(rule, -64, 63, signed(7))
    values = range(-64, 64)
    got = pipelined(dut, values, lambda ctx, x: ctx.set(dut.i, x), lambda ctx: ctx.get(dut.o))
    assert got == [rule(x) for x in values]


def test_latency_of_a_power_of_two():
    assert RequantiserPipeline.stages(Requantiser(1, 9, 8)) == 2
    assert RequantiserPipeline.stages(Requantiser(3, 9, 8)) == 4

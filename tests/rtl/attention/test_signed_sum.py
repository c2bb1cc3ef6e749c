"""Sums of numbers whose signs come apart, and the leading ones that are added by them."""

import random

import pytest
from amaranth import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl.attention.predict.predictors import LeadingOne
from rtl.attention.predict.signed_sum import SignedSum
from rtl.emit import synthesis, verilog
from sim.testing.pysim import pipelined


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13])
@pytest.mark.parametrize("width, largest", [(3, 4), (2, 3)])
def test_sums_are_exact(count, width, largest):
    """All of the largest magnitude and one sign, or the other; random ones, zeros of both signs."""
    rng = random.Random(count)
    vectors = [([size] * count, sign) for size in (0, largest) for sign in (0, (1 << count) - 1)]
    vectors += [([rng.randrange(largest + 1) for _ in range(count)], rng.randrange(1 << count))
                for _ in range(60)]
    dut = SignedSum(width, count, largest)

    def drive(ctx, vector):
        ctx.set(dut.size, vector[0])
        ctx.set(dut.negative, vector[1])

    got = pipelined(dut, vectors, drive, lambda ctx: ctx.get(dut.o))
    assert got == [largest * count + sum(-size if signs >> j & 1 else size
                                         for j, size in enumerate(sizes))
                   for sizes, signs in vectors]


class Lane(wiring.Component):
    """Predicted score of a query and a key, by leading ones."""

    def __init__(self, dims):
        self.rule = LeadingOne(8, dims)
        self.latency = self.rule.score_stages
        codes = data.ArrayLayout(self.rule.code_bits, dims)
        super().__init__({"a": In(codes), "b": In(codes), "o": Out(self.rule.score_bits)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(self.rule.score_logic(m, self.a, self.b, "score"))
        return m


def test_scores_are_sums_of_the_terms():
    """Codes of all places and signs, those of zeros too."""
    rng, dut = random.Random(3), Lane(6)
    vectors = [tuple([rng.randrange(16) for _ in range(6)] for _ in range(2)) for _ in range(200)]

    def drive(ctx, vector):
        ctx.set(dut.a, vector[0])
        ctx.set(dut.b, vector[1])

    got = pipelined(dut, vectors, drive, lambda ctx: ctx.get(dut.o))
    assert got == [sum(map(dut.rule.term, a, b)) for a, b in vectors]


@pytest.mark.slow
def test_signs_take_no_lut_of_their_own():
    """A term: a LUT for each bit of its magnitude, one for its sign, and its share of the tree."""
    found = synthesis.measure(verilog.of_components({"top": Lane(8)}), "top")
    assert found.lut <= 8 * (7 + 1 + 9 + 1)

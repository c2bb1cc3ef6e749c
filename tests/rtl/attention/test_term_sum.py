"""Sums of terms with signs inside their carry chains, against the terms of the model."""

import random

import pytest

from rtl.attention.predict.predictors import WORDS, Octave
from rtl.attention.predict.term_sum import TermSum
from sim.testing.pysim import pipelined


@pytest.mark.parametrize("count", [1, 3, 4, 6, 13])
def test_sums_are_those_of_the_terms(count):
    """Chains that are full and short; all products of one sign, and random ones."""
    rng, rule = random.Random(count), Octave(8, count)
    ends = [rule.code(x) for x in (-128, 127, 0, -1)]
    vectors = [([a] * count, [b] * count) for a in ends for b in ends]
    vectors += [tuple([rng.randrange(8) for _ in range(count)] for _ in range(2))
                for _ in range(40)]
    dut = TermSum(WORDS, count)

    def drive(ctx, vector):
        ctx.set(dut.a, vector[0])
        ctx.set(dut.b, vector[1])

    got = pipelined(dut, vectors, drive, lambda ctx: ctx.get(dut.o))
    assert got == [sum(map(rule.term, a, b)) + dut.constant for a, b in vectors]
    assert rule.score_bits == len(dut.o) and rule.score_stages == dut.latency


def test_codes():
    """Magnitudes rounded half away from 0 to 0, 1, 2, and 4 from there on."""
    rule = Octave(8, 1)
    assert [rule.code(x) for x in (0, 7, 8, 23, 24, 39, 40, 127)] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert [rule.code(x) for x in (-1, -8, -39, -128)] == [4, 5, 6, 7]
    terms = {(x, y): rule.term(rule.code(x), rule.code(y)) - rule.bias
             for x in (0, 16, -32, 64) for y in (0, -16, 32, -64)}
    assert terms == {(0, 0): 0, (0, -16): 0, (0, 32): 0, (0, -64): 0,
                     (16, 0): 0, (16, -16): -2, (16, 32): 2, (16, -64): -5,
                     (-32, 0): 0, (-32, -16): 2, (-32, 32): -5, (-32, -64): 8,
                     (64, 0): 0, (64, -16): -5, (64, 32): 8, (64, -64): -16}

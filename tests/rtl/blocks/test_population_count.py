"""Number of bits that are set."""

import random

import pytest
from amaranth import Const

from rtl.blocks.population_count import population_count
from sim.testing.pysim import combinational


@pytest.mark.parametrize("width", [1, 2, 5, 6, 7, 12, 13, 32])
def test_population_count(width):
    rng = random.Random(width)
    words = list(range(1 << width)) if width < 8 else [
        0, (1 << width) - 1, *(rng.randrange(1 << width) for _ in range(500))]
    count = combinational(lambda m, word: population_count(m, list(word), "ones"), [width], 6)
    assert count([(word,) for word in words]) == [word.bit_count() for word in words]


def test_no_bits():
    assert combinational(lambda m, word: population_count(m, [], "none") + Const(0, 1), [1], 1)(
        [(0,), (1,)]) == [0, 0]

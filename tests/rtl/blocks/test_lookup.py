import random

import pytest
from amaranth import Signal

from rtl.blocks.lookup import constant_multiple, lookup
from sim.testing.pysim import combinational


@pytest.mark.parametrize("bits, count", [(1, 2), (3, 8), (5, 20), (6, 64), (8, 256)])
def test_lookup(bits, count):
    rng = random.Random(bits)
    words = [rng.randrange(1 << 9) for _ in range(count)]
    evaluate = combinational(lambda m, index: lookup(m, index, words), [bits], 9)
    results = evaluate([(i,) for i in range(1 << bits)])
    assert results == words + [0] * ((1 << bits) - count)


def test_lookup_of_zeros():
    assert combinational(lambda m, index: lookup(m, index, [0, 0]), [1], 1)([(0,), (1,)]) == [0, 0]


@pytest.mark.parametrize("factor", [0, 1, 2, 3, 5, 7, 23, 92, 255, 369, 1023, 0xdeadbeef])
@pytest.mark.parametrize("signed", [False, True])
def test_constant_multiple(factor, signed):
    def build(m, x):
        value = x.as_signed() if signed else x
        result = Signal.like(constant_multiple(value, factor))
        m.d.comb += result.eq(constant_multiple(value, factor))
        widened = Signal(48)
        m.d.comb += widened.eq(result)
        return widened
    inputs = range(256)
    expected = [((x - 256 if signed and x > 127 else x) * factor) % (1 << 48) for x in inputs]
    assert combinational(build, [8], 48)([(x,) for x in inputs]) == expected

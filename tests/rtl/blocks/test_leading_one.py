import pytest
from amaranth import Cat, Module, Signal

from rtl.blocks.leading_one import leading_one, normalised
from sim.testing.pysim import clocked, combinational


@pytest.mark.parametrize("width, tail, below", [
    (1, 0, 0), (1, 2, 2), (3, 1, 1), (4, 4, 3), (5, 3, 3), (8, 2, 0), (9, 4, 4)])
def test_leading_one(width, tail, below):
    def build(m, x):
        place, fraction = leading_one(m, x[tail:], x[:tail], below)
        return Cat(fraction, place)
    vectors = [(x,) for x in range(1 << tail, 1 << (width + tail))]
    expected = []
    for x, in vectors:
        place = x.bit_length() - 1
        fraction = (x << below >> place) & ((1 << below) - 1)
        expected.append((place - tail) << below | fraction)
    assert combinational(build, [width + tail], 16)(vectors) == expected


@pytest.mark.parametrize("rests", [(), (1,), (0, 2)])
@pytest.mark.parametrize("least", [0, 2, 5])
def test_normalised(least, rests):
    m = Module()
    value, result = Signal(9), Signal(16)
    place, fraction = normalised(m, value, least, 3, rests=rests)
    m.d.comb += result.eq(Cat(fraction, place))
    values = list(range(1 << least, 1 << 9))
    results = clocked(m, lambda ctx, n: ctx.set(value, values[min(n, len(values) - 1)]),
                      lambda ctx, n: ctx.get(result), len(values) + len(rests))
    expected = [(x.bit_length() - 1 - least) << 3 | (x << 3 >> x.bit_length() - 1) & 7
                for x in values]
    assert results[len(rests):] == expected

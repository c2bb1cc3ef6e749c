import pytest
from amaranth import Cat

from pysim import combinational
from rtl.leading_one import leading_one


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

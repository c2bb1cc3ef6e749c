import itertools

import pytest

from rtl.blocks.barrel_shift import shift_left, shift_right
from sim.testing.pysim import combinational


@pytest.mark.parametrize("width, amount_bits", [(1, 1), (5, 2), (7, 3), (8, 5), (9, 6), (26, 4)])
def test_shift_right(width, amount_bits):
    evaluate = combinational(lambda m, x, n: shift_right(m, x, n), [width, amount_bits], width)
    values = sorted({0, 1, (1 << width) - 1, 0x155_5555 % (1 << width), 0x2cb_1f0d % (1 << width)})
    vectors = [(x, n) for x in values for n in range(1 << amount_bits)]
    assert evaluate(vectors) == [x >> n for x, n in vectors]


@pytest.mark.parametrize("width, bits", [(4, 1), (3, 2), (4, 3)])
def test_shift_left(width, bits):
    vectors = list(itertools.product(range(1 << width), range(1 << bits)))
    shape = width + (1 << bits)
    run = combinational(lambda m, value, amount: shift_left(m, value, amount, shape, "value"),
                        [width, bits], shape)
    assert run(vectors) == [value << amount for value, amount in vectors]

"""One of several values."""

import pytest

from rtl.blocks.choose import choose, choose_by_bits
from sim.testing.pysim import combinational


@pytest.mark.parametrize("function", [choose, choose_by_bits])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 8])
def test_value(function, count):
    evaluate = combinational(lambda m, number, *values: function(values, number),
                             [max((count - 1).bit_length(), 1), *[4] * count], 4)
    values = [(5 * k + 3) % 16 for k in range(count)]
    assert evaluate((number, *values) for number in range(count)) == values

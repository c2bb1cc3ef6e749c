"""Words of tables, against floating point and by hand."""

import decimal
import math
from decimal import Decimal
from fractions import Fraction

import pytest

from rtl.tables import exp2_words, exp_words, ln2, log2_ratio, reciprocal_words


def test_exp2_words():
    words = exp2_words((k / 7 for k in range(60)), 1 << 12)
    for k, word in enumerate(words):
        assert abs(word - 4096 * 2 ** (-k / 7)) <= 0.5 + 1e-9


def test_exp2_words_truncate():
    assert exp2_words([0, 1, 2.5, 3], 255, "truncate") == (255, 127, 45, 31)


def test_exp2_words_tie_rounds_up():
    assert exp2_words([1, -1], 5) == (3, 10)
    assert exp2_words([1, 3.0], 12, "truncate") == (6, 1)


def test_exp2_words_are_powers_of_two():
    """To the last of 30 digits."""
    with decimal.localcontext(prec=50) as context:
        wanted = [int((10 ** 30 * context.power(2, -Decimal(k) / 64)).to_integral_value())
                  for k in range(-64, 256)]
    assert exp2_words((Fraction(k, 64) for k in range(-64, 256)), 10 ** 30) == (*wanted,)


@pytest.mark.parametrize("rounding", ["round", "truncate"])
def test_words_of_huge_exponents(rounding):
    """Next to nothing, in next to no time."""
    assert exp2_words([2.0 ** 64], 255, rounding) == exp_words([1e30], 255, rounding) == (0,)


def test_reciprocal_words_are_means():
    # The mean of 1/(1+s) over 0 <= s < 1/2 and 1/2 <= s < 1, by midpoint sums.
    for count in (2, 4, 8):
        for j, word in enumerate(reciprocal_words(count, 16)):
            steps = 1000
            mean = sum(1 / (1 + (j + (i + 0.5) / steps) / count) for i in range(steps)) / steps
            assert word == pytest.approx(mean * 65536, abs=0.6)


def test_logarithms():
    assert float(ln2()) == pytest.approx(math.log(2), abs=1e-15)
    assert float(log2_ratio(12345, 678)) == pytest.approx(math.log2(12345 / 678), abs=1e-13)

"""The model of the one-pass datapath: its equations, one key at a time, and its errors."""

import math
from fractions import Fraction

import numpy as np
import pytest

from rtl.attention.sink import Sink
from rtl.fixed import signed_range
from sim.model.attention import online
from sim.model.attention.sinks import Sinks
from sim.testing.online import NUMBERS, directed_rows, numbers, one_by_one


@pytest.mark.parametrize("name", NUMBERS)
def test_equations(name):
    own = NUMBERS[name]
    random = np.random.default_rng(1)
    for case, x, hidden in directed_rows(own, random):
        v = random.integers(*signed_range(own.value_bits), (len(x), 3), endpoint=True)
        v[:, 0] = signed_range(own.value_bits)[0]
        total, sums, y = one_by_one(own, x, hidden, v)
        found = online.row_sums(own, x[None, None], hidden[None, None], v[None])
        assert (found.total.item(), found.weighted[0, 0].tolist()) == (total, sums), case
        assert online.scaled(own, found, own.scale)[0, 0].tolist() == y, case


def test_rows_beside_each_other():
    """Sets and queries whose references rise at different keys."""
    own, random = numbers(lanes=3, max_keys=17), np.random.default_rng(2)
    x = random.integers(-512, 512, (3, 5, 17))
    x[0] = np.sort(x[0])
    hidden = random.random(x.shape) < 0.2
    v = random.integers(-128, 128, (3, 17, 4))
    y = online.outputs(own, x, hidden, v)
    assert y.tolist() == [[one_by_one(own, x[s, q], hidden[s, q], v[s])[2] for q in range(5)]
                          for s in range(3)]
    none = np.zeros(x.shape, bool)
    assert (online.outputs(own, x, None, v) == online.outputs(own, x, none, v)).all()


@pytest.mark.parametrize("sink", [None, -512, -40, 70, 511])
def test_sink(sink):
    """It raises the reference and takes weight; without a key the outputs are 0."""
    own, random = numbers(lanes=3, sink=True), np.random.default_rng(4)
    given = Sinks.of([Sink(sink or 0, sink is not None)])
    for case, x, hidden in directed_rows(own, random):
        v = random.integers(-128, 128, (len(x), 3))
        want = one_by_one(own, x, hidden, v, sink)
        found = online.row_sums(own, x[None, None], hidden[None, None], v[None], given)
        y = online.outputs(own, x[None, None], hidden[None, None], v[None], sink=given)
        assert (found.total.item(), found.weighted[0, 0].tolist(), y[0, 0].tolist()) == want, case
        assert found.total <= own.held_sum, case
        assert y.any() <= (~hidden).any(), case


@pytest.mark.parametrize("name", NUMBERS)
def test_ranges(name):
    """What the hardware holds."""
    own = NUMBERS[name]
    random = np.random.default_rng(3)
    low, high = signed_range(own.value_bits)
    for case, x, hidden in directed_rows(own, random):
        v = np.stack([np.full(len(x), low), np.full(len(x), high),
                      random.choice([low, high], len(x))], axis=1)
        found = online.row_sums(own, x[None, None], hidden[None, None], v[None])
        total, sums = found.total.item(), found.weighted[0, 0]
        assert own.held_range[0] <= sums.min() and sums.max() <= own.held_range[1], case
        if total:
            assert own.least_sum <= total <= own.held_sum, case


def test_terms():
    """Rounded powers of two, that of the distance 0 a step less, down to the first 0."""
    own = numbers(fraction_bits=10)
    g = own.grid.per_octave
    exact = [1024 * 2.0 ** (-d / float(g)) for d in range(len(own.terms))]
    assert own.terms[0] == 1023
    assert max(abs(a - b) for a, b in zip(own.terms[1:], exact[1:], strict=True)) <= 0.5
    assert own.terms[-1] == 1 and len(own.terms) == math.ceil(11 * g)


@pytest.mark.parametrize("ratio", [1, 0.3, 127.9, 2.0 ** -9])
def test_error_of_a_factor(ratio):
    """Against T / S: half of the interval of a mantissa, and what is cut off behind the point."""
    own = numbers(ratio=ratio, max_keys=320)
    assert 1 << 15 <= own.scale.multiplier < 1 << 16
    bits = own.scale.MANTISSA_BITS
    for place in range(own.places[0], own.places[1] + own.block):
        totals = np.array([(1 << bits) + edge + (1 << bits) // 2 ** 9 * step
                           for edge in range(0, 1 << bits, 31) for step in (0, 1)][:-1])
        totals = (totals << place) >> bits
        sums = online.RowSums(totals[None], np.zeros((1, len(totals), 1), np.int64))
        factor = online.placed(own, sums, own.scale)[0, :, 0] / 2.0 ** (own.point + own.cut)
        exact = float(own.scale.ratio) / totals
        assert (abs(factor / exact - 1) < 2.0 ** -11 + 2.0 ** -15
                + 2.0 ** -(own.point + own.cut) / exact).all()


def test_most_ratio():
    """Below it no factor saturates; at it that of the least sum does."""
    for value_bits, out_bits in (8, 8), (4, 12), (12, 5), (2, 16):
        top = numbers(value_bits=value_bits, out_bits=out_bits).most_ratio
        for ratio, saturates in (top * Fraction(65535, 65536), False), (top, True):
            own = numbers(value_bits=value_bits, out_bits=out_bits, ratio=ratio)
            down = own.down(own.scale.shift, own.places[0])
            assert (down < 0) == saturates, (value_bits, out_bits)

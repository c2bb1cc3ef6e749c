"""Blocks of the map reuse: division by a row's sum, and the array of two modes."""

from fractions import Fraction

import numpy as np
import pytest
from amaranth import signed

from rtl.attention.reuse.dual_array import DualArray
from rtl.attention.reuse.row_division import RowDivision, RowDivisionPipeline, RowFactor
from rtl.fixed import signed_range
from sim.model.attention.reuse import divided
from sim.testing.pysim import clocked

DIVISIONS = [RowDivision(Fraction(1), 255, 320 * 255, 8),
             RowDivision(Fraction(3, 1000), 15, 15, 16),
             RowDivision(Fraction(7, 3) * 256, 2047, 3 * 2047, 12),
             RowDivision(Fraction(1, 1 << 20), 255, 4096 * 255, 4)]


@pytest.mark.parametrize("division", DIVISIONS)
def test_division(division):
    rng = np.random.default_rng(1)
    total = rng.integers(division.least, division.largest + 1, 400)
    total[:2] = division.least, division.largest
    reach = 1 + int(2.2 ** division.bits / division.ratio)
    x = rng.integers(-reach, reach, 400) * total
    exact = [Fraction(int(a)) * division.ratio / int(t) for a, t in zip(x, total, strict=True)]
    got = divided(division, x, total)
    assert got.tolist() == [division(int(a), int(t)) for a, t in zip(x, total, strict=True)]
    low, high = signed_range(division.bits)
    for y, value in zip(got.tolist(), exact, strict=True):
        bounded = min(max(value, low), high)
        assert abs(y - bounded) <= Fraction(1, 2) + abs(bounded) * (
            Fraction(1, 1 << 11) + Fraction(1, 1 << 16))
    assert low in got and high in got


def test_nothing_over_nothing_is_nothing():
    for division in DIVISIONS:
        assert division(0, 0) == 0
        assert divided(division, *np.zeros((2, 2), np.int64)).tolist() == [0, 0]


@pytest.mark.parametrize("division", DIVISIONS)
def test_division_pipeline(division):
    rng = np.random.default_rng(2)
    total = rng.integers(division.least, division.largest + 1, 60)
    total[:2] = division.least, division.largest
    reach = 1 + int(2.2 ** division.bits / division.ratio)
    x = rng.integers(-reach, reach, 60) * total
    x[5:8], total[5] = 0, 0
    low, high = int(x.min()), int(x.max())
    factor, dut = RowFactor(division), RowDivisionPipeline(division, low, high)
    factors = clocked(factor, lambda ctx, n: ctx.set(factor.total, int(total[min(n, 59)])),
                      lambda ctx, n: (ctx.get(factor.o.word), ctx.get(factor.o.place)),
                      60 + RowFactor.LATENCY)[RowFactor.LATENCY:]

    def drive(ctx, n):
        word, place = factors[min(n, 59)]
        ctx.set(dut.i, int(x[min(n, 59)]))
        ctx.set(dut.factor, {"word": word, "place": place})

    got = clocked(dut, drive, lambda ctx, n: ctx.get(dut.o), 60 + dut.LATENCY)
    assert got[dut.LATENCY:] == divided(division, x, total).tolist()


@pytest.mark.parametrize("count", [1, 3, 4, 5, 10])
def test_dual_array(count):
    """Dot products and running sums by turns, each right whatever was before."""
    rng = np.random.default_rng(count)
    cycles = 200
    a, b = rng.integers(-16, 16, (cycles, count)), rng.integers(-8, 8, (cycles, count))
    mode = np.repeat(rng.random(cycles // 5) < 0.5, 5)
    first = rng.random(cycles) < 0.3
    first[1:] |= mode[1:] & ~mode[:-1]
    first[0] = True
    dut = DualArray(signed(5), signed(4), count, -128 * cycles, 128 * cycles)

    def drive(ctx, n):
        for k in range(count):
            ctx.set(dut.a[k], int(a[n % cycles, k]))
            ctx.set(dut.b[k], int(b[n % cycles, k]))
        ctx.set(dut.accumulate, bool(mode[n % cycles]))
        ctx.set(dut.first, bool(first[n % cycles]))

    def sample(ctx, n):
        return ctx.get(dut.o), [ctx.get(total) for total in dut.sums]

    got = clocked(dut, drive, sample, cycles)
    sums = np.zeros(count, int)
    seen = 0
    for n in range(cycles - dut.latency):
        if not mode[n]:
            assert got[n + dut.latency][0] == (a[n] * b[n]).sum() + dut.offset
            continue
        sums = np.where(first[n], 0, sums) + a[n] * b[n]
        assert [got[n + dut.stages_of_sum(count, j)][1][j] for j in range(count)] == sums.tolist()
        seen += 1
    assert 20 < seen < cycles - 20

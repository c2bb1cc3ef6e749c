"""Sums whose unit changes within the row, against Python's own arithmetic."""

import random

import pytest

from rtl.blocks.online_sum import OnlineSum
from rtl.emit import verilog
from rtl.emit.synthesis import measure
from sim.testing.pysim import clocked

WIDTH, SUM_BITS, RISE_BITS = 6, 12, 5


def rows_of(seed, count=80):
    rng = random.Random(seed)
    lengths = [rng.choice([1, 1, 2, 3, rng.randint(1, 12)]) for _ in range(count)]
    return [[(rng.randrange(1 << WIDTH),
              rng.choice([0, 0, 1, 2, rng.randrange(1 << RISE_BITS)])) for _ in range(length)]
            for length in lengths]


def expected(row, partial):
    sums = [0, 0]
    rise = 0
    for number, (term, rise) in enumerate(row):
        if partial == 1:
            sums = [(sums[0] >> rise if number else 0) + term]
        else:
            before = sums[1] >> rise + row[number - 1][1] if number > 1 else 0
            sums = [before + term, sums[0]]
    return sums[0] if partial == 1 else sums[0] + (sums[1] >> rise if len(row) > 1 else 0)


@pytest.mark.parametrize("partial", [1, 2])
@pytest.mark.parametrize("density", [1.0, 0.5])
def test_online_sum(partial, density):
    rows = rows_of(partial)
    rng = random.Random(3)
    slots = []
    for row in rows:
        for number, (term, rise) in enumerate(row):
            while rng.random() >= density:
                slots.append(None)
            slots.append((term, rise, number == 0, number == len(row) - 1))
    dut = OnlineSum(WIDTH, SUM_BITS, RISE_BITS, partial=partial)
    lead = dut.lead(partial)

    def slot(n):
        return slots[n] if 0 <= n < len(slots) else None

    def drive(ctx, n):
        now, then = slot(n), slot(n - lead)
        ctx.set(dut.valid, now is not None)
        ctx.set(dut.i_valid, then is not None)
        # What comes without a beat must not matter.
        ctx.set(dut.rise, now[1] if now else rng.randrange(1 << RISE_BITS))
        ctx.set(dut.first, now[2] if now else rng.randrange(2))
        ctx.set(dut.i, then[0] if then else rng.randrange(1 << WIDTH))
        ctx.set(dut.i_first, then[2] if then else rng.randrange(2))
    results = clocked(dut, drive, lambda ctx, n: ctx.get(dut.o), len(slots) + lead + partial)
    seen = [results[n + lead + partial] for n, beat in enumerate(slots) if beat and beat[3]]
    assert seen == [expected(row, partial) for row in rows]


@pytest.mark.slow
def test_loop_is_short():
    """Shift and addition of a sum of 320 terms of 8 bits take one cycle of 3.3 ns."""
    loop = OnlineSum(8, 17, 6)
    assert measure(verilog.of_components({"loop": loop}), "loop").delay_ps <= 3200

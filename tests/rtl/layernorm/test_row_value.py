"""Values of rows that wait until their row is read."""

import pytest

from rtl.layernorm.row_value import RowValue
from sim.testing.pysim import clocked


@pytest.mark.parametrize("rows, bypass, pushes, pops", [
    (1, False, [0, 4, 6], [1, 5, 7]),
    (4, False, [0, 1, 2, 9], [3, 4, 6, 10]),
    (4, True, [0, 1, 2, 9], [0, 4, 6, 9]),
])
def test_held_until_the_next_row(rows, bypass, pushes, pops):
    dut = RowValue(8, rows, bypass=bypass)

    def drive(ctx, n):
        ctx.set(dut.i, n + 100)
        ctx.set(dut.push, n in pushes)
        ctx.set(dut.pop, n in pops)
    results = clocked(dut, drive, lambda ctx, n: ctx.get(dut.o), 14)
    held = 0
    for n, result in enumerate(results):
        # The value is on the output from the cycle after the pop.
        if n - 1 in pops:
            held = pushes[pops.index(n - 1)] + 100
        assert result == held

"""Values of rows that wait until their row is read."""

from rtl.layernorm.row_value import RowValue
from sim.testing.pysim import clocked

PUSHES, POPS = [0, 4, 6], [1, 5, 7]


def test_held_until_the_next_row():
    dut = RowValue(8)

    def drive(ctx, n):
        ctx.set(dut.i, n + 100)
        ctx.set(dut.push, n in PUSHES)
        ctx.set(dut.pop, n in POPS)
    results = clocked(dut, drive, lambda ctx, n: ctx.get(dut.o), 14)
    held = 0
    for n, result in enumerate(results):
        # The value is on the output from the cycle after the pop.
        if n - 1 in POPS:
            held = PUSHES[POPS.index(n - 1)] + 100
        assert result == held

"""Credits before a pipeline that never stalls."""

import random

import pytest

from rtl.stream.credit import Credit
from sim.testing.pysim import clocked


@pytest.mark.parametrize("depth, returns", [(1, 1), (4, 1), (5, 2), (8, 2)])
def test_credit(depth, returns):
    """Any order of credits taken and returned, all at once and none left among them."""
    dut = Credit(depth, returns=returns)
    rng = random.Random(depth)
    plan, left = [], depth
    for n in range(300):
        issue = left > 0 and rng.random() < (0.9 if n % 40 < 20 else 0.2)
        done = min(rng.randint(0, returns) if n % 40 > 15 else 0, depth - left)
        plan.append((issue, done, left))
        left += done - issue
    assert {0, depth} <= {step[2] for step in plan}

    def drive(ctx, n):
        ctx.set(dut.issue, plan[n][0])
        ctx.set(dut.done, plan[n][1])
    results = clocked(dut, drive, lambda ctx, n: (ctx.get(dut.left), ctx.get(dut.available)),
                      len(plan))
    assert results == [(step[2], step[2] > 0) for step in plan]

"""The FIFO: order, bypass, and what depth it takes."""

import random

import pytest

from rtl.stream.fifo import FifoStorage
from sim.testing.pysim import clocked


@pytest.mark.parametrize("bypass", [False, True])
def test_storage(bypass):
    dut = FifoStorage(8, 4, bypass=bypass)
    rng = random.Random(0)
    waiting, sent, plan = [], 0, []
    for n in range(400):
        push = rng.random() < (0.8 if n % 40 < 20 else 0.3)
        push = push and len(waiting) < 4
        if push:
            sent += 1
        visible = waiting + ([sent % 256] if push and bypass else [])
        pop = bool(visible) and rng.random() < (0.3 if n % 40 < 20 else 0.8)
        plan.append((push, sent % 256, pop, visible[0] if pop else None))
        if push:
            waiting.append(sent % 256)
        if pop:
            waiting.pop(0)

    def drive(ctx, n):
        push, value, pop, _ = plan[n]
        ctx.set(dut.push, push)
        ctx.set(dut.i, value)
        ctx.set(dut.pop, pop)
    results = clocked(dut, drive, lambda ctx, n: ctx.get(dut.o), len(plan))
    assert [out for out, step in zip(results, plan, strict=True) if step[2]] == [
        step[3] for step in plan if step[2]]


def test_depth():
    with pytest.raises(ValueError, match=r"^Depth must be a power of two of at least 2, not 3$"):
        FifoStorage(8, 3)

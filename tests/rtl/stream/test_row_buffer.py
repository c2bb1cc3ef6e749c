"""Rows and the words that belong to them."""

import random

import pytest
from amaranth import unsigned
from amaranth.lib import data

from rtl.stream.row_buffer import LATENCY, RowBuffer
from sim.testing.pysim import clocked


@pytest.mark.parametrize("memory", ["block", "distributed"])
@pytest.mark.parametrize("density", [1.0, 0.6])
def test_row_buffer(memory, density):
    """Words that come as late as they may are beside all beats of their row."""
    layout = data.StructLayout({"value": unsigned(16), "last": 1})
    dut = RowBuffer(layout, 8, 32, words={"early": 16}, late={"late": 16}, memory=memory)
    rng = random.Random(1)
    slots, row = [], 0
    while len(slots) < 300:
        length = rng.randint(1, 8)
        for n in range(length):
            while rng.random() >= density:
                slots.append(None)
            slots.append((row, n == length - 1))
        row += 1

    def ended(n):
        return slots[n] if 0 <= n < len(slots) and slots[n] and slots[n][1] else None

    def drive(ctx, n):
        beat = slots[n] if n < len(slots) else None
        ctx.set(dut.write, beat is not None)
        if beat:
            ctx.set(dut.i, {"value": beat[0], "last": beat[1]})
        for name, wait in ("early", 1), ("late", LATENCY):
            end = ended(n - wait)
            ctx.set(getattr(dut, f"{name}_push"), end is not None)
            ctx.set(getattr(dut, f"{name}_i"), end[0] if end else rng.randrange(1 << 16))

    def sample(ctx, n):
        return (ctx.get(dut.valid), ctx.get(dut.first), ctx.get(dut.o.value), ctx.get(dut.o.last),
                ctx.get(dut.early), ctx.get(dut.late))
    results = clocked(dut, drive, sample, len(slots) + 20)
    sent = [beat for beat in slots if beat]
    if not sent[-1][1]:
        raise AssertionError("the last row must be whole")
    opening, got = True, []
    for now, after in zip(results, results[1:], strict=False):
        valid, first, value, last, early, _ = now
        if valid:
            assert first == opening and early == value and after[5] == value
            got.append((value, bool(last)))
            opening = last
    assert got == sent

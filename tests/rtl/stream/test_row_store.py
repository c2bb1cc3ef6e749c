"""The ring of beats: rows leave whole, in order and without a bubble."""

import random

import pytest
from amaranth import EnableInserter, Module, Signal, unsigned
from amaranth.lib import data

from rtl.stream.row_store import RowStore
from sim.testing.pysim import clocked


@pytest.mark.parametrize("max_beats", [1, 2, 3, 4, 13, 16])
@pytest.mark.parametrize("memory", ["block", "distributed"])
@pytest.mark.parametrize("density", [1.0, 0.6])
def test_row_store(max_beats, memory, density):
    layout = data.StructLayout({"value": unsigned(32)})
    dut = RowStore(layout, max_beats, memory=memory)
    rng = random.Random(max_beats)
    beats, row = [], 0
    while len(beats) < 300:
        length = rng.choice([1, max_beats, rng.randint(1, max_beats)])
        for n in range(length):
            while rng.random() >= density:
                beats.append(None)
            beats.append((row << 8 | n, n == length - 1))
        row += 1

    def drive(ctx, n):
        beat = beats[n] if n < len(beats) else None
        ctx.set(dut.write, beat is not None)
        if beat is not None:
            ctx.set(dut.i, {"value": beat[0]})
            ctx.set(dut.last, beat[1])
    idle = max_beats + 3
    results = clocked(dut, drive, lambda ctx, n: (ctx.get(dut.valid), ctx.get(dut.o.value)),
                      len(beats) + idle)

    # A row leaves from two cycles after its last beat, or after the row before, without a pause.
    schedule, free, pending = {}, 0, []
    for n, beat in enumerate(beats):
        if beat is None:
            continue
        pending.append(beat[0])
        if beat[1]:
            free = max(free, n + 2)
            schedule.update({free + k: value for k, value in enumerate(pending)})
            free += len(pending)
            pending = []
    seen = {n: value for n, (valid, value) in enumerate(results) if valid}
    assert seen == {n: value for n, value in schedule.items() if n < len(results)}


def test_row_store_stands_still():
    dut = RowStore(unsigned(16), 4)
    m = Module()
    enable = Signal()
    m.submodules.dut = EnableInserter(enable)(dut)
    rng = random.Random(1)
    enables = [rng.random() < 0.5 for _ in range(200)]
    sent = iter(range(1, 300))
    state = {"value": next(sent)}

    def drive(ctx, n):
        ctx.set(enable, enables[n])
        ctx.set(dut.write, 1)
        ctx.set(dut.i, state["value"])
        ctx.set(dut.last, state["value"] % 3 == 0)
        if enables[n]:
            state["value"] = next(sent)
    results = clocked(m, drive, lambda ctx, n: (ctx.get(dut.valid), ctx.get(dut.o)), 200)
    moved = [value for (valid, value), on in zip(results, enables, strict=True) if valid and on]
    assert len(moved) > 80 and moved == list(range(1, len(moved) + 1))

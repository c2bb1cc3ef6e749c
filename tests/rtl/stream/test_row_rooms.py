"""What rows pass through: entry, store and queue."""

import random

import pytest
from amaranth import EnableInserter, Module, Signal, unsigned
from amaranth.lib import data

from rtl.stream.fifo import FifoStorage
from rtl.stream.row_buffer import LATENCY, RowBuffer
from rtl.stream.row_input import RowInput
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


@pytest.mark.parametrize("bypass", [False, True])
def test_fifo_storage(bypass):
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


def test_fifo_depth():
    with pytest.raises(ValueError, match=r"^Depth must be a power of two of at least 2, not 3$"):
        FifoStorage(8, 3)


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


LANES, LENGTH = 4, 10


def entry(beats):
    """Send (keep, last) beats; returns (valid, kept, first, end) a beat and the final error."""
    dut = RowInput(LANES, LENGTH)

    def drive(ctx, n):
        ctx.set(dut.transfer, n < len(beats))
        if n < len(beats):
            ctx.set(dut.keep, beats[n][0])
            ctx.set(dut.last, beats[n][1])
    results = clocked(dut, drive, lambda ctx, n: (
        tuple(ctx.get(s) for s in (dut.valid, dut.kept, dut.first, dut.end)), ctx.get(dut.error)),
        len(beats) + 1)
    return [flags for flags, _ in results[:-1]], results[-1][1]


def test_row_input_whole_rows():
    flags, error = entry([(15, 0), (15, 0), (3, 1), (1, 1), (15, 1)])
    assert flags == [(1, 15, 1, 0), (1, 15, 0, 0), (1, 3, 0, 1), (1, 1, 1, 1), (1, 15, 1, 1)]
    assert not error


def test_row_input_cuts_a_long_row():
    flags, error = entry([(15, 0), (15, 0), (15, 0), (15, 0), (7, 1), (15, 1)])
    assert flags[:3] == [(1, 15, 1, 0), (1, 15, 0, 0), (1, 3, 0, 1)]
    assert [valid for valid, *_ in flags[3:5]] == [0, 0]
    assert flags[5] == (1, 15, 1, 1)
    assert error


def test_row_input_cuts_a_long_last_beat():
    flags, error = entry([(15, 0), (15, 0), (7, 1), (1, 1)])
    assert flags[2:] == [(1, 3, 0, 1), (1, 1, 1, 1)]
    assert error


@pytest.mark.parametrize("beats", [
    [(7, 0), (15, 1)], [(5, 1)], [(14, 1)], [(0, 1)], [(15, 0), (9, 1)]],
    ids=["not_full", "hole", "first_lane", "empty", "hole_at_end"])
def test_row_input_malformed(beats):
    flags, error = entry(beats + [(3, 1)])
    assert error
    assert flags[-1] == (1, 3, 1, 1)

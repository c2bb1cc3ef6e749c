"""Maxima over the lanes of a beat and over a row, against Python's own."""

import random

import pytest

from rtl.blocks.maximum import MaxRadix, MaxTree, RunningMax
from sim.testing.pysim import clocked, pipelined

LANES = [1, 2, 3, 4, 5, 7, 8, 16, 17, 64]


def live_beats(width, lanes, seed):
    rng = random.Random(seed)
    beats = []
    for kind in range(120):
        top = 1 << (width if kind % 3 else 1)
        data = [rng.randrange(top) for _ in range(lanes)]
        density = (1.0, 0.5, 0.1, 0.0)[kind % 4]
        beats.append((data, [rng.random() < density for _ in range(lanes)]))
    return beats


def set_live(dut):
    def drive(ctx, beat):
        for k, value in enumerate(beat[0]):
            ctx.set(dut.data[k], value)
        ctx.set(dut.live, sum(flag << k for k, flag in enumerate(beat[1])))
    return drive


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("width", [1, 5, 8])
def test_max_tree(width, lanes):
    dut = MaxTree(width, lanes)
    beats = live_beats(width, lanes, lanes)

    def output(ctx):
        flags = ctx.get(dut.o_live)
        candidates = [ctx.get(o) for k, o in enumerate(dut.o) if flags >> k & 1]
        return max(candidates, default=None)
    expected = [max((x for x, flag in zip(*beat, strict=True) if flag), default=None)
                for beat in beats]
    assert pipelined(dut, beats, set_live(dut), output) == expected


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("width", [1, 2, 5, 6])
@pytest.mark.parametrize("relaxed", [False, True])
def test_max_radix(width, lanes, relaxed):
    dut = MaxRadix(width, lanes, relaxed=relaxed)
    beats = live_beats(width, lanes, lanes)
    expected = [max((x for x, flag in zip(*beat, strict=True) if flag), default=0)
                for beat in beats]
    assert pipelined(dut, beats, set_live(dut), lambda ctx: ctx.get(dut.o)) == expected


@pytest.mark.parametrize("options", [{}, {"radix": True}, {"radix": True, "relaxed": True}])
@pytest.mark.parametrize("lanes", [1, 2, 3, 8, 17])
def test_running_max(options, lanes):
    dut = RunningMax(6, lanes, **options)
    assert dut.candidates == RunningMax.stages(6, lanes, **options)
    rng = random.Random(lanes)
    # A beat in three of four cycles, every fourth one the first of a row.
    flags = [(rng.random() < 0.75, rng.random() < 0.25) for _ in range(120)]
    beats = live_beats(6, lanes, lanes)
    wait = dut.candidates

    def drive(ctx, n):
        if n < len(beats):
            set_live(dut)(ctx, beats[n])
        valid, first = flags[n - wait] if 0 <= n - wait < len(flags) else (False, True)
        ctx.set(dut.valid, valid)
        ctx.set(dut.first, first)
    results = clocked(dut, drive, lambda ctx, n: ctx.get(dut.o), len(beats) + wait + 1)
    best, started = 0, False
    for n, ((data, live), (valid, first)) in enumerate(zip(beats, flags, strict=True)):
        if valid:
            best = max([0 if first else best, *(x for x, on in zip(data, live, strict=True) if on)])
            started |= first
        if started:
            assert results[n + wait + 1] == best

"""Reductions over the lanes of a beat: maxima and sums, each against Python's own."""

import random

import pytest

from rtl.blocks.adder_tree import AdderTree
from rtl.blocks.maximum import MaxRadix, MaxTree, RunningMax
from rtl.blocks.power_sum import PowerSum
from sim.testing.pysim import clocked

LANES = [1, 2, 3, 4, 5, 7, 8, 16, 17, 64]


def stream(dut, beats, drive, output):
    """Send one beat per cycle, and return the outputs ``dut.latency`` cycles later."""
    def set_inputs(ctx, n):
        if n < len(beats):
            drive(ctx, beats[n])
    results = clocked(dut, set_inputs, lambda ctx, n: output(ctx), len(beats) + dut.latency)
    return results[dut.latency:]


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
    assert stream(dut, beats, set_live(dut), output) == expected


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("width", [1, 2, 5, 6])
def test_max_radix(width, lanes):
    dut = MaxRadix(width, lanes)
    beats = live_beats(width, lanes, lanes)
    expected = [max((x for x, flag in zip(*beat, strict=True) if flag), default=0)
                for beat in beats]
    assert stream(dut, beats, set_live(dut), lambda ctx: ctx.get(dut.o)) == expected


@pytest.mark.parametrize("lanes", LANES)
def test_adder_tree(lanes):
    dut = AdderTree(7, lanes, largest=100)
    rng = random.Random(lanes)
    beats = [[100] * lanes] + [[rng.randrange(101) for _ in range(lanes)] for _ in range(60)]

    def drive(ctx, beat):
        for k, value in enumerate(beat):
            ctx.set(dut.i[k], value)
    assert len(dut.o) == (100 * lanes).bit_length()
    assert stream(dut, beats, drive, lambda ctx: ctx.get(dut.o)) == [sum(beat) for beat in beats]


@pytest.mark.parametrize("code_bits, fraction_bits", [(2, 4), (3, 7), (4, 15), (4, 10), (5, 20)])
@pytest.mark.parametrize("lanes", [1, 2, 3, 8, 17])
def test_power_sum(code_bits, fraction_bits, lanes):
    dut = PowerSum(code_bits, fraction_bits, lanes)
    rng = random.Random(lanes)
    top = 1 << code_bits
    # Every pair of codes in the first two lanes, and then all lanes at the largest term.
    beats = [([a, b] + [rng.randrange(top) for _ in range(lanes)])[:lanes]
             for a in range(top) for b in range(top)] + [[0] * lanes]
    beats = [(codes, [rng.random() < 0.9 for _ in codes]) for codes in beats]
    beats.append(([0] * lanes, [True] * lanes))

    def drive(ctx, beat):
        for k, value in enumerate(beat[0]):
            ctx.set(dut.code[k], value)
        ctx.set(dut.live, sum(flag << k for k, flag in enumerate(beat[1])))
    expected = [sum((1 << fraction_bits) >> k for k, flag in zip(*beat, strict=True) if flag)
                for beat in beats]
    assert stream(dut, beats, drive, lambda ctx: ctx.get(dut.o)) == expected


@pytest.mark.parametrize("radix", [False, True])
@pytest.mark.parametrize("lanes", [1, 2, 3, 8, 17])
def test_running_max(radix, lanes):
    dut = RunningMax(6, lanes, radix=radix)
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

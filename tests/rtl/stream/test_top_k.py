"""Flags of the k largest elements of rows."""

import random

import pytest

from rtl.stream.top_k import TopK
from sim.testing.pysim import clocked


def k_largest(row, k):
    """Places of the k largest live elements, of equal ones the first, by sorting."""
    alive = sorted((-value, place) for place, (value, live) in enumerate(row) if live)
    chosen = {place for _, place in alive[:k]}
    return [place in chosen for place in range(len(row))]


def random_row(rng, width, length):
    values = {0: lambda: rng.randrange(1 << width), 1: lambda: rng.randrange(1 << width >> 1),
              2: lambda: rng.choice([0, (1 << width) - 1]), 3: lambda: 5 % (1 << width),
              4: lambda: rng.randrange(4) % (1 << width)}[rng.randrange(5)]
    part = rng.choice([0, 0.3, 1])
    return [(values(), rng.random() >= part) for _ in range(length)]


@pytest.mark.parametrize("width, lanes, max_beats, k", [
    (5, 4, 7, 6), (3, 1, 20, 5), (8, 8, 5, 40), (1, 2, 9, 1), (13, 3, 6, 7), (4, 4, 1, 3),
    (6, 2, 4, 4096)])
@pytest.mark.parametrize("density", [1.0, 0.5])
def test_exactly_k(width, lanes, max_beats, k, density):
    seed = f"{width} {lanes} {max_beats} {k} {density}"
    rng = random.Random(seed)
    rows, beats = [], []
    for _ in range(60):
        length = rng.choice([1, max_beats, rng.randint(1, max_beats)])
        row = random_row(rng, width, lanes * length)
        rows.append(row)
        for n in range(length):
            while rng.random() >= density:
                beats.append(None)
            beats.append((row[n * lanes:(n + 1) * lanes], n == length - 1))
    dut = TopK(width, lanes, max_beats, k)

    def drive(ctx, n):
        beat = beats[n] if n < len(beats) else None
        ctx.set(dut.write, beat is not None)
        elements, last = beat or ([(rng.randrange(1 << width), 1)] * lanes, rng.randrange(2))
        ctx.set(dut.last, last)
        ctx.set(dut.live, sum(live << lane for lane, (_, live) in enumerate(elements)))
        for lane, (value, _) in enumerate(elements):
            ctx.set(dut.data[lane], value)

    def sample(ctx, n):
        return ctx.get(dut.valid), ctx.get(dut.ends), ctx.get(dut.keep)

    idle = dut.latency + TopK.stages(width) * max_beats + max_beats
    got = [(ends, keep) for valid, ends, keep in clocked(dut, drive, sample, len(beats) + idle)
           if valid]
    wanted = []
    for row in rows:
        flags = k_largest(row, k)
        assert sum(flags) == min(k, sum(live for _, live in row))
        words = [sum(flag << lane for lane, flag in enumerate(flags[n:n + lanes]))
                 for n in range(0, len(flags), lanes)]
        wanted += [(n == len(words) - 1, word) for n, word in enumerate(words)]
    assert got == wanted, seed


@pytest.mark.parametrize("width", [1, 3, 7, 14])
def test_latency(width):
    dut = TopK(width, 2, 4, 1)

    def drive(ctx, n):
        ctx.set(dut.write, n == 3)
        ctx.set(dut.last, 1)
        ctx.set(dut.live, 3)

    got = clocked(dut, drive, lambda ctx, n: ctx.get(dut.valid), dut.latency + 8)
    assert [n for n, valid in enumerate(got) if valid] == [3 + dut.latency]


def test_rows_follow_without_a_pause():
    dut = TopK(6, 2, 5, 3)

    def drive(ctx, n):
        ctx.set(dut.write, n < 100)
        ctx.set(dut.last, n % 5 == 4)
        ctx.set(dut.live, 3)

    got = clocked(dut, drive, lambda ctx, n: ctx.get(dut.valid), 160)
    assert sum(got) == 100 and "".join(map(str, map(int, got))).strip("0") == 100 * "1"

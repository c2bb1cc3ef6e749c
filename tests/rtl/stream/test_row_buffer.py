"""Rows and the words that belong to them."""

import random

import pytest
from amaranth import unsigned
from amaranth.lib import data

from rtl.stream.row_buffer import LATENCY, RowBuffer
from rtl.stream.row_words import RowWord
from sim.testing.pysim import clocked

LAYOUT = data.StructLayout({"value": unsigned(16), "last": 1})


def lengths_of(most, rng):
    """Rows of every sequence that is hard: as many one-beat rows behind a long one as fit."""
    lengths = [most, *[1] * (most + 5), most, most, *[1, 2] * 3,
               *range(most, 0, -max(most // 8, 1)), *(rng.randint(1, most) for _ in range(10)),
               *[1] * 8, 2, 1, 3, 1]
    return [min(length, most) for length in lengths]


@pytest.mark.parametrize("density", [1.0, 0.6])
@pytest.mark.parametrize("max_beats, memory, max_rows, lags", [
    (1, "auto", 0, (1, 3)), (2, "auto", 0, (0, 3)), (8, "block", 0, (2, 3)),
    (8, "distributed", 0, (1, 1)), (9, "auto", 0, (-3, 2)), (9, "auto", 4096, (1, 3)),
    # Words in block RAM: from 65 slots on.
    (70, "auto", 0, (-1, 1)), (70, "auto", 0, (0, 2)), (70, "block", 0, (1, 3)),
    (70, "auto", 0, (2, 0)), (70, "auto", 0, (1, None)), (70, "auto", 0, (0, None)),
    (70, "distributed", 0, (2, 3)),
    # Words by the number of the row.
    (70, "auto", 90, (2, 3)), (70, "distributed", 90, (0, 1)), (300, "auto", 128, (1, 3))])
def test_words_are_beside_their_rows(max_beats, memory, max_rows, lags, density):
    """A word of each row, known ``lag`` cycles after it, is beside all of its beats."""
    words = {"early": RowWord(16, lags[0], short_path=density == 1.0)}
    if lags[1] is not None:
        words["late"] = RowWord(14, lags[1], late=True)
    dut = RowBuffer(LAYOUT, max_beats, words, max_rows=max_rows, memory=memory)
    rng = random.Random(1)
    cycles = []
    # Rows inside: no more than those of the longest sequence of one-beat rows.
    longest = max_beats if not max_rows else min(max_beats, max_rows - 8)
    for row, length in enumerate(lengths_of(longest, rng)):
        for n in range(length):
            while rng.random() >= density:
                cycles.append(None)
            cycles.append((row, n == length - 1))

    def ended(n):
        return cycles[n][0] if 0 <= n < len(cycles) and cycles[n] and cycles[n][1] else None

    def drive(ctx, n):
        beat = cycles[n] if n < len(cycles) else None
        ctx.set(dut.write, beat is not None)
        ctx.set(dut.i, {"value": beat[0], "last": beat[1]} if beat else
                {"value": rng.getrandbits(16), "last": rng.getrandbits(1)})
        for name, word in words.items():
            row = ended(n - word.lag)
            ctx.set(getattr(dut, f"{name}_i"), rng.getrandbits(14) if row is None else row)

    def sample(ctx, n):
        return (ctx.get(dut.valid), ctx.get(dut.first), ctx.get(dut.o.value), ctx.get(dut.o.last),
                *(ctx.get(getattr(dut, name)) for name in words))
    results = clocked(dut, drive, sample, len(cycles) + max_beats + LATENCY + 2)
    opening, got = True, []
    for n, (now, after) in enumerate(zip(results, results[1:], strict=False)):
        valid, first, value, last, early, *_ = now
        if valid:
            assert first == opening and early == value, f"cycle {n}"
            assert "late" not in words or after[5] == value, f"cycle {n}"
            got.append((value, bool(last)))
            opening = last
    assert got == [beat for beat in cycles if beat]

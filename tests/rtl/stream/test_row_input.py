"""Framing of rows: first and last beats, over-long rows, malformed ``keep``."""

import pytest

from rtl.stream.row_input import RowInput
from sim.testing.pysim import clocked

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

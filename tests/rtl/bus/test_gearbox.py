"""Rows of any number of bytes between beats of any two sizes."""

import random

import pytest
from amaranth.sim import Simulator

from rtl.bus.gearbox import Gearbox


def convert(sizes, rows, *, gap=0.0, stall=0.0, cycles=20_000):
    """Rows that come out, and the cycles that it took."""
    dut, numbers = Gearbox(*sizes), random.Random(1)
    beats = [(row[k:k + sizes[0]], k + sizes[0] >= len(row)) for row in rows
             for k in range(0, len(row), sizes[0])]
    found, took = [[]], None

    async def testbench(ctx):
        nonlocal took
        sent, offered, held = 0, False, None
        for cycle in range(cycles):
            offered = sent < len(beats) and (offered or numbers.random() >= gap)
            ctx.set(dut.i.valid, offered)
            if offered:
                # What is not kept is not 0.
                word, last = beats[sent]
                word += numbers.randbytes(sizes[0] - len(word))
                ctx.set(dut.i.p.data, int.from_bytes(word, "little"))
                ctx.set(dut.i.p.keep, (1 << len(beats[sent][0])) - 1)
                ctx.set(dut.i.p.last, last)
            ready = numbers.random() >= stall
            ctx.set(dut.o.ready, ready)
            offer = None
            if ctx.get(dut.o.valid):
                word, keep, last = (ctx.get(dut.o.p[name]) for name in ("data", "keep", "last"))
                size = keep.bit_length()
                assert keep == (1 << size) - 1 and size and (last or size == sizes[1])
                offer = word.to_bytes(sizes[1], "little")[:size], last
            assert held in (None, offer)
            held = None if ready else offer
            if offer and ready:
                found[-1].append(offer[0])
                if offer[1]:
                    found.append([])
            if offered and ctx.get(dut.i.ready):
                sent, offered = sent + 1, False
            await ctx.tick()
            if len(found) > len(rows):
                took = cycle + 1
                break
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    return [b"".join(row) for row in found[:-1]], took


@pytest.mark.parametrize("sizes", [(8, 8), (8, 1), (1, 8), (8, 3), (3, 8), (8, 16), (24, 8),
                                   (8, 12), (64, 8)], ids=lambda sizes: f"{sizes[0]}-{sizes[1]}")
def test_rows(sizes):
    numbers = random.Random(2)
    rows = [numbers.randbytes(numbers.choice((numbers.randint(1, 2 * sum(sizes)), *sizes)))
            for _ in range(20)]
    assert convert(sizes, rows, gap=0.3, stall=0.3)[0] == rows
    # Without a bubble at the side that has more beats.
    found, took = convert(sizes, rows)
    assert found == rows
    beats = max(sum(-(-len(row) // size) for row in rows) for size in sizes)
    assert took <= beats + 6


def test_sizes():
    with pytest.raises(ValueError, match="^Sizes of beats must be at least 1 byte, not 8 and 0$"):
        Gearbox(8, 0)

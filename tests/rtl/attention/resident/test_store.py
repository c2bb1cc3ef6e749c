"""Store of resident sets: addresses, progress, loads that are dropped, cut short or aborted."""

import random

import pytest
from amaranth.sim import Simulator

from rtl import unit
from rtl.attention.resident.regions import Regions
from rtl.attention.resident.store import ResidentStore

RING = Regions(sets=2, capacity=12, lanes=4, window=4, sinks=2, chunk=3, position_bits=8)
PLAIN = Regions(sets=3, capacity=6, lanes=1)


def load(regions, number, position, count, **fields):
    first = regions.sink_words
    word = position // regions.lanes
    return {"set": number, "base": number * regions.words,
            "word": word if word < first else first + (word - first) % regions.ring_words,
            "position": position, "count": count, "drop": 0, **fields}


def run(store, loads, vectors, *, aborted=lambda number: (0, 0), seed=0):
    """Send loads and vectors (two beats each; ``(value, last)``), then read what is there.

    ``aborted(n)`` gives ``aborted`` and ``limit`` once ``n`` vectors have come. Returns the words,
    what has come of each set, and how often ``broken`` pulsed.
    """
    regions, rng = store.regions, random.Random(seed)
    words, complete, broken = [], [], [0]

    async def send_loads(ctx):
        for each in loads:
            ctx.set(store.load.payload, each)
            ctx.set(store.load.valid, 1)
            await ctx.tick().until(store.load.ready)
            ctx.set(store.load.valid, 0)

    async def bench(ctx):
        for number, (value, last) in enumerate(vectors):
            for beat in range(2):
                while rng.random() < 0.3:
                    await ctx.tick()
                if store.cut:
                    abort, limit = aborted(number)
                    ctx.set(store.aborted, abort)
                    ctx.set(store.limit, limit)
                ctx.set(store.i.payload, {"data": [value + beat], "last": beat and last})
                ctx.set(store.i.valid, 1)
                await ctx.tick().until(store.i.ready)
                ctx.set(store.i.valid, 0)
        await ctx.tick().repeat(3)
        assert ctx.get(store.idle)
        for number in range(regions.sets):
            ctx.set(store.set, number)
            complete.append(ctx.get(store.complete))
        for word in range(regions.sets * regions.words):
            ctx.set(store.word, word)
            await ctx.tick()
            words.append([ctx.get(store.o[k].data[0]) for k in range(regions.lanes)])

    async def watch(ctx):
        async for _, _, pulse in ctx.tick().sample(store.broken):
            broken[0] += pulse

    simulator = Simulator(store)
    simulator.add_clock(1e-6)
    simulator.add_testbench(send_loads, background=True)
    simulator.add_testbench(watch, background=True)
    simulator.add_testbench(bench)
    simulator.run()
    return words, complete, broken[0]


def store_of(regions, **options):
    config = unit("attention")(dim=2, io_lanes=1)
    return ResidentStore(config.value_layout, 2, regions, **options)


def numbered(*counts, start=1):
    """Vectors 1, 3, 5 ... of loads of so many each."""
    last = {sum(counts[:k + 1]) for k in range(len(counts))}
    return [(2 * n + start, n + 1 in last) for n in range(sum(counts))]


def test_ring_wraps_inside_a_load():
    """Sinks stay, the ring goes round, and the other set is not touched."""
    words, complete, broken = run(store_of(RING), [load(RING, 1, 0, 7), load(RING, 1, 7, 8)],
                                  numbered(7, 8))
    assert broken == 0 and complete == [0, 15]
    for j in (*range(4), *range(7, 15)):
        address = j if j < 4 else 4 + (j - 4) % 8
        assert words[3 + address // 4][address % 4] == 2 * j + 1, j
    assert words[:3] == [[0] * 4] * 3


def test_dropped_load():
    words, complete, broken = run(store_of(PLAIN), [
        load(PLAIN, 0, 0, 2), load(PLAIN, 0, 2, 3, drop=1), load(PLAIN, 2, 0, 1)],
        numbered(2, 3, 1))
    assert broken == 0 and complete == [2, 0, 1]
    assert [word[0] for word in words] == [1, 3, *[0] * 10, 11, *[0] * 5]


@pytest.mark.parametrize(("ends", "complete", "content"), [
    # A vector too few, and one too many: the load behind is where it should be.
    ([(1, 0), (3, 1), (5, 0), (7, 1)], [3, 2, 0], [1, 3, 0, 0, 0, 0, 5, 7]),
    ([(1, 0), (3, 0), (5, 0), (7, 1), (9, 0), (11, 1)], [3, 2, 0], [1, 3, 5, 0, 0, 0, 9, 11]),
])
def test_load_that_is_cut_short_or_too_long(ends, complete, content):
    words, come, broken = run(store_of(PLAIN), [load(PLAIN, 0, 0, 3), load(PLAIN, 1, 0, 2)], ends)
    assert broken
    assert come == complete
    assert [word[0] for word in words][:8] == content


def test_load_behind_a_truncation_starts_over():
    """What has come is what the new load says."""
    _, complete, _ = run(store_of(PLAIN), [load(PLAIN, 0, 0, 5), load(PLAIN, 0, 1, 2)],
                         numbered(5, 2))
    assert complete == [3, 0, 0]


def test_abort():
    """Vectors that come for positions which went are not stored, and do not count."""
    words, complete, broken = run(store_of(PLAIN, cut=True), [load(PLAIN, 0, 0, 5)], numbered(5),
                                  aborted=lambda number: (number > 1, 3))
    assert broken == 0 and complete == [3, 0, 0]
    assert [word[0] for word in words][:6] == [1, 3, 5, 0, 0, 0]

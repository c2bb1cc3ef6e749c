"""Hardware of A3's search: its rooms against plain Python, and the engine in corner cases."""

import os
import random
import subprocess

import numpy as np
import pytest
from amaranth import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.sim import Simulator

import rtl
from rtl.attention.engine import Attention as Engine
from rtl.attention.greedy.column_load import ColumnLoad
from rtl.attention.greedy.column_merge import ColumnMerge
from rtl.attention.greedy.column_sort import ColumnSort
from rtl.attention.greedy.live_keys import LiveKeys
from rtl.attention.greedy.post_score import PostScore
from rtl.attention.greedy.sorted_columns import SortedColumns
from rtl.attention.greedy.sorted_queue import SortedQueue
from rtl.attention.layouts import LogitLayout, RowLayout
from rtl.bus import AxiStream
from rtl.emit import verilog
from sim import model, runner
from sim.bench.attention import KeySet, unordered
from sim.data.columns import sort
from sim.model.attention import greedy
from sim.model.attention import selection as attention
from sim.testing.attention import Set, directed, expected, random_set, run_sets
from sim.testing.compare_tree import CompareTree
from sim.testing.compiled import check
from sim.testing.refusal import refused

Attention = rtl.unit("attention")


def engine(**parameters):
    return Attention.preset("conservative", **{
        "dim": 4, "io_lanes": 2, "max_keys": 13, "bits": 4, "scan_lanes": 4, **parameters})


def simulate(dut, *benches):
    """Run testbenches, the last of which says when it is over."""
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for bench in benches[:-1]:
        simulator.add_testbench(bench, background=True)
    simulator.add_testbench(benches[-1])
    simulator.run()


def compare(config, sets):
    """Compare the emitted engine with its model: many cycles take Amaranth's simulator long."""
    check(config, [KeySet(s.q, s.k, s.v, s.mask) for s in sets], tests=["sets_back_to_back"])


# Columns ----------------------------------------------------------------------------------------

HEAD = 3


class Sorter(wiring.Component):
    """What makes sorted columns, with their memory and the count of the keys that take part."""

    def __init__(self, config, kind):
        self.source, self.columns = kind(config), SortedColumns(config, HEAD)
        self.live = LiveKeys(config.max_keys)
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.submodules += [self.source, self.columns, self.live]
        m.d.comb += [self.columns.write.eq(self.source.write), self.columns.i.eq(self.source.o)]
        m.d.comb += [self.source.count[k].eq(self.live.count[k]) for k in range(2)]
        return m

    async def load_keys(self, ctx, mask, bank, rng):
        """Keys come one behind the other, at any pace."""
        source, live = self.source, self.live
        ctx.set(live.bank, bank)
        for place, hidden in enumerate(mask):
            if hasattr(source, "written"):
                ctx.set(source.written, place)
            await ctx.tick().repeat(int(rng.integers(1, 4)))
            last = place == len(mask) - 1
            ctx.set(live.place, place)
            ctx.set(live.mask, int(hidden))
            ctx.set(live.write, 1)
            if last:
                ctx.set(source.ends[bank], place)
                ctx.set(source.finished, 1)
            await ctx.tick()
            ctx.set(live.write, 0)
            ctx.set(source.finished, 0)
        if hasattr(source, "written"):
            ctx.set(source.written, 0)

    async def wait(self, ctx, cycles):
        for _ in range(cycles):
            if ctx.get(self.source.done):
                break
            await ctx.tick()
        assert ctx.get(self.source.done)
        await ctx.tick()

    async def read(self, ctx, config, k, mask, bank):
        """Compare what is read with a stable sort."""
        dut, sorted_ = self.columns, sort(k, mask)
        count = sorted_.values.shape[1]
        assert ctx.get(self.live.count[bank]) == count
        assert ctx.get(self.live.first[bank]) == (np.flatnonzero(~mask)[0] if count else 0)
        for j in range(config.dim):
            beat, lane = divmod(j, config.io_lanes)
            ctx.set(dut.head_bank, bank)
            ctx.set(dut.head_beat, beat)
            await ctx.tick()
            wanted = list(zip(sorted_.values[j].tolist(), sorted_.rows[j].tolist(), strict=True))
            for place, entry in enumerate(wanted[:HEAD]):
                assert as_pair(ctx.get(dut.low[lane][place])) == entry
            for place, entry in enumerate(wanted[:-HEAD - 1:-1]):
                assert as_pair(ctx.get(dut.high[lane][place])) == entry
            for place, entry in enumerate(wanted):
                side = place % 2
                ctx.set(dut.address[side], bank * dut.words + beat * count + place)
                ctx.set(dut.lane[side], lane)
                await ctx.tick().repeat(2)
                assert as_pair(ctx.get(dut.o[side])) == entry


def column_sets(config, rng):
    low, high = config.element_range
    for number in range(6):
        keys = int(rng.integers(1, config.max_keys + 1))
        # Ties everywhere, in some sets; nothing that takes part, in others.
        k = rng.integers(low, high + 1 if number % 2 else low + 2, (keys, config.dim))
        yield k, rng.random(keys) < (0, 0.3, 1)[number % 3]


COLUMNS = pytest.mark.parametrize("parameters", [
    {}, {"io_lanes": 4, "lanes": 2},
    {"dim": 6, "io_lanes": 3, "start_lanes": 1, "max_keys": 40, "bits": 5, "lanes": 3},
    {"dim": 1, "io_lanes": 1, "start_lanes": 1, "max_keys": 1}])


@COLUMNS
def test_column_sort(parameters):
    config = engine(**parameters)
    rng = np.random.default_rng(1)
    dut = Sorter(config, ColumnSort)
    sets = [*column_sets(config, rng)]
    loaded = [None, None]

    async def memory(ctx):
        async for _, _, place, bank in ctx.tick().sample(dut.source.place, dut.source.bank):
            k, mask = loaded[bank] or (np.zeros((1, config.dim), int), [0])
            there = min(place.word * config.lanes + place.lane, len(k) - 1)
            ctx.set(dut.source.vector, k[there].tolist())
            ctx.set(dut.source.mask, int(mask[there]))

    async def bench(ctx):
        for number, (k, mask) in enumerate(sets):
            bank = number % 2
            loaded[bank] = k, mask
            await dut.load_keys(ctx, mask, bank, rng)
            await dut.wait(ctx, 2 * ColumnSort.cycles_of(config, len(k)))
            await dut.read(ctx, config, k, mask, bank)
            if number:
                await dut.read(ctx, config, *sets[number - 1], 1 - bank)

    simulate(dut, memory, bench)


@COLUMNS
def test_column_load(parameters):
    """Columns that come sorted, between sets that are broken in all ways."""
    config = engine(**parameters)
    rng = np.random.default_rng(1)
    dut = Sorter(config, ColumnLoad)
    port, lanes = dut.source.i, config.io_lanes

    async def send(ctx, beats):
        for beat in beats:
            if rng.random() < 0.5:
                await ctx.tick()
            ctx.set(port.payload, beat)
            ctx.set(port.valid, 1)
            await ctx.tick().until(port.ready)
            ctx.set(port.valid, 0)

    def beats_of(vectors):
        flat = vectors.reshape(-1, lanes)
        return [{"data": data.tolist(), "last": place == len(flat) - 1}
                for place, data in enumerate(flat)]

    async def bench(ctx):
        bank, before, broken_sets = 0, None, 0

        async def one(k, mask, beats, broken):
            nonlocal bank, before
            # Columns wait for their keys.
            assert not ctx.get(port.ready)
            await dut.load_keys(ctx, mask, bank, rng)
            await send(ctx, beats)
            await dut.wait(ctx, 4)
            assert ctx.get(dut.source.broken[bank]) == broken
            if not broken:
                await dut.read(ctx, config, k, mask, bank)
            if before:
                await dut.read(ctx, config, *before, 1 - bank)
            bank, before = 1 - bank, None if broken else (k, mask)

        for k, mask in column_sets(config, rng):
            vectors = sort(k, mask).vectors()
            beats = beats_of(vectors)
            await one(k, mask, beats, 0)
            ways = [beats[:-1] + [{**beats[-1], "last": False}] * 2 * config.vector_beats
                    + beats[-config.vector_beats:]]
            if config.vector_beats > 1:
                ways.append(beats[:-2] + beats[-1:])
            if len(vectors) > 1:
                ways += [beats[config.vector_beats:], beats_of(unordered(vectors, rng))]
            if not mask.all() and len(k) < config.max_keys:
                wrong = vectors.copy()
                wrong[int(rng.integers(len(wrong))), 0] |= 0xff00
                ways.append(beats_of(wrong))
            for way in ways:
                broken_sets += 1
                await one(k, mask, way, 1)
                await one(k, mask, beats, 0)
        assert broken_sets >= 6

    simulate(dut, bench)


def as_pair(entry):
    return entry.value, entry.key


# Queue ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind", [SortedQueue, CompareTree])
@pytest.mark.parametrize("places", [1, 2, 7])
def test_sorted_queue(kind, places):
    """Equal keys among them, the largest comes first, whatever replaces it."""
    dut = kind(places, 3, 3)
    rng = random.Random(14)

    async def bench(ctx):
        entries = [0] * places
        for _ in range(40):
            fresh = [rng.randrange(8) << 3 | low for low in range(places - 1, -1, -1)]
            loading = list(fresh)
            while loading or rng.random() < 0.8:
                ctx.set(dut.load, load := bool(loading) and rng.random() < 0.7)
                if load:
                    ctx.set(dut.fresh, loading.pop(0))
                ctx.set(dut.waiting, waiting := rng.randrange(64))
                assert ctx.get(dut.head) == max(entries)
                assert ctx.get(dut.ahead) == (max(entries) > waiting)
                ctx.set(dut.step, step := max(entries) > waiting and rng.random() < 0.7)
                if step:
                    entries[entries.index(max(entries))] = waiting
                await ctx.tick()
            ctx.set(dut.load, 0)
            ctx.set(dut.step, 0)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            entries = fresh

    simulate(dut, bench)


# Merge ------------------------------------------------------------------------------------------

@pytest.mark.parametrize("parameters, high, pause", [
    ({}, 7, 0), ({}, 1, 0.3), ({"start_lanes": 1, "dim": 5, "io_lanes": 1}, 3, 0),
    ({"dim": 12, "io_lanes": 4, "max_keys": 60, "bits": 6}, 30, 0),
    ({"dim": 2, "io_lanes": 2, "max_keys": 70}, 7, 0)])
def test_column_merge(parameters, high, pause):
    """Products leave in order, ties by column, one per step, while the next query is loaded."""
    config = engine(**parameters)
    rng = np.random.default_rng(2)
    element = data.StructLayout({"value": signed(config.bits),
                                 "key": range(config.max_keys)})
    keys, lanes, head = config.max_keys, config.start_lanes, ColumnMerge.HEAD
    dut = ColumnMerge(config, element, config.dim * keys)
    columns = [[(int(v), int(r)) for v, r in zip(np.sort(rng.integers(-high, high + 1, keys)),
                                                 rng.permutation(keys), strict=True)]
               for _ in range(config.dim)]
    # One column whose products are all larger than those of the others.
    queries = [rng.integers(-high, high + 1, config.dim) for _ in range(4)]
    queries[1][:] = 0
    queries[2][:] = 0
    queries[2][config.dim // 2] = -high

    def products(query):
        piles = [[(max(int(f) * v, 0), r) for v, r in (column[::-1] if f > 0 else column)]
                 for f, column in zip(query, columns, strict=True)]
        merged = []
        while any(piles):
            best = max(range(config.dim), key=lambda j: (piles[j][0][0] if piles[j] else -1, -j))
            merged.append(piles[best].pop(0))
        return [pair for pair in merged if pair[0]]

    async def memory(ctx):
        before = 0
        async for _, _, address in ctx.tick().sample(dut.address):
            column, place = divmod(before, keys)
            value, row = columns[column % config.dim][place]
            ctx.set(dut.element, {"value": value, "key": row})
            before = address

    async def load(ctx, query):
        for group in range(dut.groups):
            loads = []
            for j in range(group * lanes, (group + 1) * lanes):
                factor = int(query[j])
                ends = columns[j][::-1] if factor > 0 else columns[j]
                ends = [(max(factor * v, 0), r) for v, r in ends[:head]]
                ends += [(0, 0)] * (head - len(ends))
                origin = j * keys + (-1 if factor >= 0 else keys)
                loads.append({"factor": factor, "keys": [p for p, _ in ends],
                              "rows": [r for _, r in ends],
                              "origin": origin % (1 << len(dut.address)), "lane": 0})
            ctx.set(dut.i, {"columns": loads, "left": max(keys - head, 0), "group": group})
            ctx.set(dut.load, 1)
            await ctx.tick()
        ctx.set(dut.load, 0)

    taken = [[] for _ in queries]
    # Set by the bench when a query may be loaded, taken back when it is.
    loading = Signal()
    m = Module()
    m.submodules.dut = dut

    async def fill(ctx):
        """Something where no column is, as switching on may leave it; then two empty turns."""
        column = {"factor": high, "keys": [high] * head, "rows": [0] * head, "origin": 0, "lane": 0}
        ctx.set(dut.i, {"columns": [column] * lanes, "left": 0,
                        "group": (1 << len(dut.i.group)) - 1})
        for port in (dut.load, dut.start, dut.load, dut.start, dut.start, dut.start):
            ctx.set(port, 1)
            await ctx.tick()
            ctx.set(port, 0)

    async def bench(ctx):
        await fill(ctx)
        await load(ctx, queries[0])
        for number, query in enumerate(queries):
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            ctx.set(loading, 1)
            wanted = products(query)
            while len(taken[number]) < min(len(wanted) + 3, 60 + 40 * number):
                step = rng.random() >= pause
                ctx.set(dut.step, int(step))
                if step:
                    taken[number].append((ctx.get(dut.top), ctx.get(dut.row)))
                await ctx.tick()
            ctx.set(dut.step, 0)
            while ctx.get(loading):
                await ctx.tick()
            got = taken[number]
            assert [p for p in got if p[0]] == wanted[:len(got)]

    async def loader(ctx):
        for query in queries[1:] + [queries[0]]:
            while not ctx.get(loading):
                await ctx.tick()
            await load(ctx, query)
            ctx.set(loading, 0)

    simulate(m, memory, loader, bench)


# Post-scoring -----------------------------------------------------------------------------------

@pytest.mark.parametrize("lanes, gaps, stalls", [
    (1, 0, 0), (1, 0.5, 0), (1, 0, 0.6), (1, 0.3, 0.3), (3, 0, 0), (3, 0.3, 0.3)])
def test_post_score(lanes, gaps, stalls):
    """Beats without a logit that passes drop out; what does not pass of the others is masked."""
    config = engine(max_keys=9 * lanes, lanes=lanes, logit_bits=6)
    rng = np.random.default_rng(3)
    word = data.ArrayLayout(range(9), lanes)
    dut = PostScore(config, LogitLayout(config, word, RowLayout(distance=6)))
    rows, wanted = [], []
    for _ in range(150):
        shape = int(rng.choice([1, 2, 9, rng.integers(1, 10)])), lanes
        x, mask = rng.integers(-32, 32, shape), rng.random(shape) < rng.choice([0, 0.4, 1])
        places = rng.integers(0, 9, shape)
        distance = int(rng.choice([0, 5, 20, 63]))
        rows.append((x, mask, places, distance))
        stays = greedy.post_score(x.ravel(), ~mask.ravel(), distance).reshape(shape)
        passed = np.flatnonzero(stays.any(axis=1)) if stays.any() else [len(x) - 1]
        wanted += [(x[i].tolist(), (~stays[i]).tolist(), places[i].tolist(), i == passed[-1],
                    int(x[0, 0] & 1)) for i in passed]
    got = []

    async def source(ctx):
        draw = random.Random(4)
        for x, mask, places, distance in rows:
            for i in range(len(x)):
                while draw.random() < gaps:
                    await ctx.tick()
                ctx.set(dut.i.payload, {
                    "last": i == len(x) - 1, "data": x[i].tolist(), "keep": (1 << lanes) - 1,
                    "mask": sum(int(flag) << k for k, flag in enumerate(mask[i])),
                    "word": places[i].tolist(),
                    "row": {"set_end": int(x[0, 0] & 1), "distance": distance}})
                ctx.set(dut.i.valid, 1)
                await ctx.tick().until(dut.i.ready)
                ctx.set(dut.i.valid, 0)

    async def sink(ctx):
        draw = random.Random(5)
        silent = 0
        while len(got) < len(wanted) and silent < 200:
            ctx.set(dut.o.ready, draw.random() >= stalls)
            _, _, valid, ready, beat = await ctx.tick().sample(
                dut.o.valid, dut.o.ready, dut.o.payload)
            silent += 1
            if valid and ready:
                silent = 0
                lane = range(lanes)
                got.append(([beat.data[k] for k in lane], [beat.mask >> k & 1 for k in lane],
                            [beat.word[k] for k in lane], bool(beat.last), beat.row.set_end))

    simulate(dut, source, sink)
    assert got == wanted


# Engine -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("parameters", [
    {}, pytest.param({"empty": "first", "min_skip": False, "iterations_per_key": 4.0,
                      "percent": 0.001}, marks=pytest.mark.slow)])
def test_directed(parameters):
    """One key, ties everywhere, queries of zeros, masks, extremes, exhausted columns."""
    config = engine(max_keys=7, **parameters)
    names, sets = zip(*directed(), strict=True)
    # Of eight bits the upper four.
    sets = [Set(s.q >> 4, s.k >> 4, s.v >> 4, s.mask) for s in sets]
    outputs, _ = run_sets(config.create(), sets)
    assert dict(zip(names, outputs, strict=True)) == \
        dict(zip(names, expected(config, sets), strict=True))


@pytest.mark.usefixtures("verilator")
@pytest.mark.slow
@pytest.mark.parametrize("empty", ["all", "first"])
def test_without_a_candidate(empty):
    config = engine(empty=empty)
    rng = np.random.default_rng(6)
    sets = []
    for keys in 1, 5, 13:
        q, k, v = (rng.integers(1, 8, (n, 4)) for n in (5, keys, keys))
        q[2] = 0
        k = -k
        sets += [Set(q, k, v), Set(q, k, v, np.arange(keys) < keys // 2), Set(q, -k, v)]
        assert not (q @ k.T > 0).any()
        if empty == "all" and keys > 1:
            assert attention.kept(config, q, k).sum(axis=1)[2] == keys
    compare(config, sets)


@pytest.mark.slow
@pytest.mark.usefixtures("verilator")
def test_all_iterations_are_exact():
    """Without a skip, all products taken on both sides, the scores are the dot products."""
    config = engine(min_skip=False, iterations_per_key=4.0, percent=1e-9)
    rng = np.random.default_rng(7)
    sets = [Set(*(rng.integers(-7, 8, (n, 4)) for n in (6, 13, 13))) for _ in range(3)]
    compare(config, sets)
    for s in sets:
        found = attention.candidates(config, s.q, s.k)
        positive = s.q @ s.k.T > 0
        assert (found == np.where(positive.any(axis=1, keepdims=True), positive, True)).all()


@pytest.mark.slow
def test_without_selection_it_is_dense():
    config = engine(min_skip=False, iterations_per_key=4.0, percent=1e-9)
    dense = Attention(dim=4, io_lanes=2, max_keys=13, bits=4)
    rng = np.random.default_rng(8)
    one = Set(*(rng.integers(1, 8, (n, 4)) for n in (6, 13, 13)))
    one.v -= 4
    outputs, _ = run_sets(config.create(), [one])
    assert outputs == expected(dense, [one])


class Adjusted:
    """An engine whose limits change when so many beats of queries were taken."""

    def __init__(self, config, changes):
        self.config, self.changes = config, changes

    def run(self, sets):
        dut = self.config.create()
        taken = Signal(range(1 << 12))
        m = Module()
        m.submodules.dut = dut
        with m.If(dut.q.valid & dut.q.ready):
            m.d.sync += taken.eq(taken + 1)
        for beats, (iterations, distance) in self.changes.items():
            # The limits are there when the beat before the query's first one is taken.
            with m.If((taken == beats - 1) & dut.q.valid & dut.q.ready):
                m.d.comb += [dut.adjust.eq(1), dut.iterations.eq(iterations),
                             dut.distance.eq(distance)]
        m.q, m.k, m.v, m.o, m.error = dut.q, dut.k, dut.v, dut.o, dut.error
        m.config = self.config
        return run_sets(m, sets)[0]


@pytest.mark.slow
def test_limits_are_set_between_queries():
    config = engine(bits=6)
    rng = np.random.default_rng(9)
    one = Set(*(rng.integers(-31, 32, (n, 4)) for n in (12, 13, 13)))
    # Two beats a query.
    limits = [(config.iterations, config.distance), (1, 300), (0, 20), (52, 0), (20, 1023)]
    starts = [0, 3, 5, 8, 10, 12]
    outputs = Adjusted(config, {2 * start: limit for start, limit in
                                zip(starts[1:], limits[1:], strict=False)}).run([one])
    wanted = []
    for (iterations, distance), start, end in zip(limits, starts, starts[1:], strict=False):
        wanted += model.run(config, one.q[start:end], one.k, one.v, iterations=iterations,
                            distance=distance).tolist()
    assert outputs == [wanted] and wanted != expected(config, [one])[0]


# Cycles -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("parameters, cycles", [
    pytest.param({"iterations_per_key": 0.5, "scan_lanes": 16}, 32, marks=pytest.mark.slow),
    pytest.param({"iterations_per_key": 0.25, "scan_lanes": 16}, 16, marks=pytest.mark.slow),
    # What a query is prepared in, or its scores are scanned in, takes longer than its iterations.
    pytest.param({"iterations_per_key": 0.01, "scan_lanes": 16}, 9, marks=pytest.mark.slow),
    pytest.param({"iterations_per_key": 0.01, "start_lanes": 1, "scan_lanes": 16}, 13,
                 marks=pytest.mark.slow),
    pytest.param({"iterations_per_key": 0.01}, 18, marks=pytest.mark.slow)])
def test_cycles_of_a_query(parameters, cycles):
    config = engine(dim=8, io_lanes=8, max_keys=64, percent=100.0, **parameters)
    rng = np.random.default_rng(10)
    one = Set(*(rng.integers(-7, 8, (n, 8)) for n in (24, 64, 64)))
    found = attention.candidates(config, one.q, one.k).sum(axis=1)
    outputs, times = run_sets(config.create(), [one])
    assert outputs == expected(config, [one])
    assert config.query_cycles(64, found.max()) == max(cycles, found.max())
    # On average; which queries wait for which depends on the order.
    steps = np.diff(times["o"])[8:]
    assert abs(steps.mean() - max(cycles, found[8:].mean())) < 1


@pytest.mark.slow
def test_candidates_set_the_pace_if_they_are_many():
    config = engine(max_keys=30, iterations_per_key=0.5, scan_lanes=16)
    rng = np.random.default_rng(11)
    one = Set(*(rng.integers(-7, 8, (n, 4)) for n in (12, 30, 30)))
    one.q[:] = 0
    outputs, times = run_sets(config.create(), [one])
    assert outputs == expected(config, [one])
    assert np.diff(times["o"][1::2])[4:].tolist() == [30] * 7


@pytest.mark.slow
def test_sets_are_sorted_while_others_are_searched():
    """Enough queries of a set hide what the next one takes to be loaded and sorted."""
    config = engine(dim=4, io_lanes=4, max_keys=16)
    rng = np.random.default_rng(12)
    sets = [Set(*(rng.integers(-7, 8, (n, 4)) for n in (12, 16, 16))) for _ in range(4)]
    assert 12 * config.query_cycles(16, 16) > config.sort_cycles(16) + 16
    outputs, times = run_sets(config.create(), sets)
    assert outputs == expected(config, sets)
    # No longer than one that meets all keys and one that waits for it.
    assert np.diff(times["o"])[4:].max() <= 2 * config.query_cycles(16, 16)


# Faults in the hardware that the comparison with the model has to find --------------------------

@pytest.mark.parametrize("fault", [
    {"empty": "first"}, *(pytest.param(fault, marks=pytest.mark.slow) for fault in (
        {"min_skip": False}, {"iterations": 3}, {"distance": 9}))],
    ids=lambda fault: next(iter(fault)))
def test_fault_is_found(fault):
    config = engine(bits=6)
    rng = np.random.default_rng(13)
    sets = [random_set(config, rng, keys=13, queries=6)]
    sets.append(Set(*(rng.integers(-31, 32, (n, 4)) for n in (6, 13, 13))))
    sets[-1].k[:, :] = -np.abs(sets[-1].k)
    sets[-1].q[:3] = np.abs(sets[-1].q[:3])

    class Faulty:
        """The configuration, with something else in it."""

        def __getattr__(self, name):
            return fault[name] if name in fault else getattr(config, name)

    outputs, _ = run_sets(Engine(Faulty()), sets)
    assert outputs != expected(config, sets)


# Shell ------------------------------------------------------------------------------------------

def test_axi_ports():
    shell = AxiStream(engine().create())
    widths = {name: member.shape for name, member in shell.signature.members.items()}
    assert (widths["adjust"], widths["iterations"], widths["distance"]) == (1, 6, 10)


@pytest.mark.parametrize("parameters, message", [
    ({"causal": True}, 'Parameter causal must be false for select "greedy", whose columns are '
                       'sorted for all queries of a set, not true'),
    ({"dim": 6, "io_lanes": 3}, "Parameter start_lanes must be a divisor of io_lanes (3), not 2"),
    ({"iterations_per_key": 5}, "Parameter iterations_per_key must be at most dim (4), not 5.0"),
    ({"percent": 101}, "Parameter percent must be at most 100, not 101.0"),
    ({"empty": "none"}, "Parameter empty must be one of all, first, not 'none'")])
def test_wrong_parameter(parameters, message):
    with refused(message):
        engine(**parameters)


@pytest.mark.slow
@pytest.mark.parametrize("dim", [1, 2])
def test_one_key_compares_with_no_constant(tmp_path, require_simulator, dim):
    """A count of one bit, of keys or of iterations, is not asked whether it is above 1.

    Verilator warns of that.
    """
    require_simulator("verilator")
    config = Attention.preset("conservative", bits=4, max_keys=1, dim=dim, io_lanes=dim,
                              scan_lanes=2, start_lanes=1)
    source = tmp_path / "design.v"
    source.write_text(verilog.of_unit(config))
    done = subprocess.run(
        [runner.verilator_home() / "bin" / "verilator", "--quiet", "--lint-only", "--top-module",
         config.name, *(f"-Wno-{name}" for name in runner.WAIVERS), source],
        env={**os.environ, "VERILATOR_ROOT": str(runner.verilator_home())}, text=True,
        capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")

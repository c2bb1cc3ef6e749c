"""Attention engines in Amaranth's own simulator: sets, and what streams them through."""

import random

import numpy as np
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.sim import Simulator

from sim import model
from sim.data.columns import sort
from sim.data.synthetic import integers
from sim.model.attention.reuse import AttentionMap

__all__ = ["Leader", "Reuser", "Set", "directed", "expected", "latency", "random_set",
           "random_sets", "run_sets", "use", "values"]


class Set:
    """Keys, values, mask and queries that belong together."""

    #: What the values are for, where their stream says so.
    use = 0

    def __init__(self, q, k, v, mask=None):
        self.q, self.k, self.v = q, k, v
        self.mask = np.zeros(len(k), bool) if mask is None else mask

    @property
    def c(self):
        """Sorted columns of the keys."""
        return sort(self.k, self.mask).vectors()

    @property
    def rows(self):
        """Number of outputs."""
        return len(self.q)

    def expected(self, config):
        return model.run(config, self.q, self.k, self.v, mask=self.mask).tolist()


def random_set(config, rng, keys=None, queries=None):
    keys = keys or int(rng.integers(1, config.max_keys + 1))
    queries = queries or int(rng.integers(1, 7))
    mask = rng.random(keys) < rng.choice([0, 0, 0.3, 1.0])
    return Set(*integers(config, rng, queries, keys), mask)


def run_sets(dut, sets, *, gaps=0.0, stalls=0.0, seed=0):
    """Stream sets through an engine; returns outputs by set, and cycles of what was transferred.

    Under ``error`` the cycles have what the output of that name was in the end.
    """
    config = dut.config
    lanes = config.io_lanes
    names = tuple(config.streams)
    outputs, cycles = [[]], {name: [] for name in names}
    total = sum(s.rows for s in sets) * config.vector_beats
    work = sum((s.rows + 2 * len(s.v)) * (len(s.v) + config.vector_beats)
               + config.sort_cycles(len(s.v)) + s.rows * config.query_cycles(len(s.v))
               for s in sets)

    def source(name):
        async def send(ctx):
            await send_all(ctx, name)
        return send

    async def send_all(ctx, name):
        rng = random.Random(f"{seed}{name}")
        stream = getattr(dut, name)
        for s in sets:
            vectors = getattr(s, name)
            for number, vector in enumerate(vectors):
                for start in range(0, config.dim, lanes):
                    while rng.random() < gaps:
                        ctx.set(stream.payload, {"data": [rng.randrange(3)] * lanes})
                        await ctx.tick()
                    final = start + lanes == config.dim
                    beat = {"data": vector[start:start + lanes].tolist(),
                            "last": final and number == len(vectors) - 1}
                    if name == "k":
                        beat["mask"] = int(s.mask[number]) if final else rng.randrange(2)
                    if name == "v" and config.reuse:
                        use = s.use if beat["last"] else rng.randrange(1 << 9)
                        beat["use"] = stream.payload.shape()["use"].shape.from_bits(use)
                    ctx.set(stream.payload, beat)
                    ctx.set(stream.valid, 1)
                    await ctx.tick().until(stream.ready)
                    ctx.set(stream.valid, 0)

    async def watch(ctx):
        for cycle in range(1000 + int(work * (1 + 3 * gaps) / (1.0001 - stalls))):
            if len(cycles["o"]) == total:
                cycles["error"] = ctx.get(dut.error)
                break
            sampled = await ctx.tick().sample(
                *(getattr(getattr(dut, port), wire) for port in names
                  for wire in ("valid", "ready")))
            for place, port in enumerate(names):
                if sampled[2 + 2 * place] and sampled[3 + 2 * place]:
                    cycles[port].append(cycle)
        else:
            raise AssertionError("the engine hangs")

    async def sink(ctx):
        rng = random.Random(seed + 1)
        held, vector = None, []
        while True:
            ctx.set(dut.o.ready, rng.random() >= stalls)
            _, _, valid, ready, beat = await ctx.tick().sample(
                dut.o.valid, dut.o.ready, dut.o.payload)
            beat = ([beat.data[k] for k in range(lanes)], beat.last)
            assert held is None or (valid and beat == held), "a beat changed while it waited"
            held = beat if valid and not ready else None
            if valid and ready:
                vector += beat[0]
                if len(vector) == config.dim:
                    outputs[-1].append(vector)
                    vector = []
                if beat[1]:
                    assert not vector
                    outputs.append([])

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for name in names[:-1]:
        simulator.add_testbench(source(name), background=True)
    simulator.add_testbench(sink, background=True)
    simulator.add_testbench(watch)
    simulator.run()
    return outputs[:-1], {port: np.array(times) for port, times in cycles.items()}


def expected(config, sets):
    return [s.expected(config) for s in sets]


def directed():
    """Sets that go for one thing each, for vectors of four elements of eight bits."""
    rng = np.random.default_rng(3)
    q, k, v = (rng.integers(-128, 128, (n, 4)) for n in (3, 7, 7))
    yield "one key", Set(q, k[:1], v[:1])
    yield "query of zeros", Set(0 * q, k, v)
    yield "ties everywhere", Set(q, k[:1].repeat(7, 0), v)
    yield "all masked", Set(q, k, v, np.ones(7, bool))
    yield "all but the first masked", Set(q, k, v, np.arange(7) > 0)
    yield "all but the last masked", Set(q, k, v, np.arange(7) < 6)
    yield "one masked", Set(q, k, v, np.arange(7) == 3)
    for name, low, high in ("lowest", -128, -128), ("highest", 127, 127), ("opposite", -128, 127):
        yield name, Set(np.full((3, 4), low), np.full((7, 4), high), np.full((7, 4), low))
    yield "one in front", Set(np.full((1, 4), 9), np.eye(7, 4, dtype=int) * 99, v)


def latency(config, one):
    late = Late(config.create(),
                4 * len(one.k) * config.vector_beats + config.sort_cycles(len(one.k)))
    _, cycles = run_sets(late, [one])
    return cycles["o"][0] - cycles["q"][-1]


class Late(wiring.Component):
    """An engine whose queries wait at its door for so many cycles."""

    def __init__(self, core, cycles):
        self.core, self.config, self.cycles = core, core.config, cycles
        super().__init__(core.signature)

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        for port in "kv":
            wiring.connect(m, wiring.flipped(getattr(self, port)), getattr(core, port))
        wiring.connect(m, core.o, wiring.flipped(self.o))
        m.d.comb += self.error.eq(core.error)
        left = Signal(range(self.cycles + 1), init=self.cycles)
        with m.If(left != 0):
            m.d.sync += left.eq(left - 1)
        with m.Else():
            m.d.comb += [core.q.valid.eq(self.q.valid), self.q.ready.eq(core.q.ready)]
        m.d.comb += core.q.payload.eq(self.q.payload)
        return m


def use(config, reuse, number, tag):
    """What a set of values says that it is for."""
    return reuse | number << 1 | tag << config.maps.bit_length()


class Leader(Set):
    """A set whose map is stored."""

    def __init__(self, config, one, number=0, tag=0):
        super().__init__(one.q, one.k, one.v, one.mask)
        self.use = use(config, 0, number, tag)
        self.map = AttentionMap.of(config, self.q, self.k, self.mask)


class Reuser(Set):
    """Values that reuse a map, of another set; of none, if they are to be refused."""

    def __init__(self, config, v, leader, number=0, tag=0):
        super().__init__(v[:0], v[:0], v)
        self.use, self.leader = use(config, 1, number, tag), leader

    @property
    def rows(self):
        return len(self.leader.q) if self.leader else 1

    def expected(self, config):
        if not self.leader:
            return [[0] * config.dim]
        return self.leader.map.run(config, self.v).tolist()


def values(config, rng, count):
    return rng.integers(*config.element_range, (count, config.dim))


def random_sets(config, rng, count=14):
    """Leading sets and reusing ones in any order, each map used often or never."""
    maps, sets = {}, []
    for _ in range(count):
        number, tag = int(rng.integers(config.maps)), int(rng.integers(256))
        if not maps or rng.random() < 0.4:
            one = random_set(config, rng, queries=int(rng.integers(1, config.map_rows + 1)))
            sets.append(Leader(config, one, number, tag))
            maps[number] = sets[-1], tag
        else:
            number = int(rng.choice(list(maps)))
            leader, tag = maps[number]
            sets.append(Reuser(config, values(config, rng, len(leader.k)), leader, number, tag))
    return sets

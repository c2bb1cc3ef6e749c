"""Hardware of the attention engine against its model, in Amaranth's simulator."""

import dataclasses
import random

import numpy as np
import pytest
from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.sim import Simulator

import rtl
from rtl.attention.dense import DenseAttention
from sim import model
from sim.model import attention as attention_model
from sim.model.attention_greedy import sort
from sim.attention_data import integers

Attention = rtl.unit("attention")


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
    names = config.STREAMS
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


CONFIGS = [
    Attention(dim=4, io_lanes=2, max_keys=11),
    Attention(dim=4, io_lanes=4, max_keys=1),
    Attention(dim=1, io_lanes=1, max_keys=3, lanes=2, query_scale=1.0),
    Attention(dim=6, io_lanes=6, max_keys=13, lanes=4, causal=True),
    Attention(dim=5, io_lanes=1, max_keys=9, lanes=3, query_scale=0.1, output_scale=0.05),
    Attention(dim=9, io_lanes=3, max_keys=20, lanes=7, causal=True, bits=5, query_scale=0.5),
    Attention(dim=8, io_lanes=2, max_keys=40, lanes=2, bits=4, key_scale=0.5, logit_bits=6,
              logit_scale=0.25, weight_bits=12, out_bits=12, output_scale=2.0 ** -9,
              softmax="softmax-e2:plus,code_bits=8", memory="block"),
    Attention.preset("predict", dim=4, io_lanes=2, max_keys=27, predict_lanes=4),
    Attention.preset("predict", dim=3, io_lanes=3, max_keys=13, predict_lanes=2, causal=True,
                     predictor="4-bit", mean_shift=0, softmax="softmax-e2:paper"),
    Attention.preset("predict", dim=5, io_lanes=1, max_keys=9, predict_lanes=8, bits=5,
                     predictor="sign", rule="threshold", threshold=1),
    Attention.preset("predict", dim=4, io_lanes=4, max_keys=27, predict_lanes=4, rule="top-k",
                     top_k=5),
    Attention.preset("predict", dim=3, io_lanes=1, max_keys=13, predict_lanes=2, causal=True,
                     predictor="sign", rule="top-k", top_k=3),
    Attention.preset("predict", dim=6, io_lanes=2, max_keys=27, predict_lanes=4,
                     predictor="prefix", prefix_dims=2, query_scale=0.1),
    Attention.preset("predict", dim=9, io_lanes=9, max_keys=13, predict_lanes=1, causal=True,
                     predictor="prefix", prefix_dims=8, rule="top-k", top_k=3, bits=6),
    Attention.preset("predict", dim=10, io_lanes=2, max_keys=70, predict_lanes=2, memory="block",
                     predictor="prefix", prefix_dims=1, rule="threshold", threshold=9),
    Attention.preset("conservative", dim=4, io_lanes=2, max_keys=27, scan_lanes=4, bits=6),
    Attention.preset("aggressive", dim=6, io_lanes=6, max_keys=40, bits=5, empty="first",
                     memory="block"),
    Attention.preset("conservative", dim=5, io_lanes=1, max_keys=9, bits=4, start_lanes=1,
                     scan_lanes=2, min_skip=False, iterations_per_key=5.0, percent=0.1),
]
STREAMS = [(0, 0), (0.4, 0.4), (0, 0.8)]


@pytest.fixture(params=CONFIGS, ids=lambda config: config.name)
def config(request):
    return request.param


def expected(config, sets):
    return [s.expected(config) for s in sets]


# Exactness --------------------------------------------------------------------------------------

@pytest.mark.parametrize("gaps, stalls", STREAMS)
def test_equals_the_model(config, gaps, stalls):
    rng = np.random.default_rng(1)
    sets = [random_set(config, rng) for _ in range(8)]
    outputs, _ = run_sets(config.create(), sets, gaps=gaps, stalls=stalls)
    assert outputs == expected(config, sets)


@pytest.mark.parametrize("unit", [name for name in rtl.units() if name.startswith("softmax-")])
def test_every_softmax(unit):
    config = Attention(dim=4, io_lanes=4, max_keys=9, lanes=2, softmax=unit)
    rng = np.random.default_rng(2)
    sets = [random_set(config, rng) for _ in range(5)]
    outputs, _ = run_sets(config.create(), sets, stalls=0.2)
    assert outputs == expected(config, sets)


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


@pytest.mark.parametrize("parameters", [
    {}, {"lanes": 3}, {"lanes": 2, "causal": True}, {"select": "predict"},
    {"select": "predict", "rule": "top-k", "top_k": 3, "predict_lanes": 2}])
def test_directed(parameters):
    config = Attention(dim=4, io_lanes=2, max_keys=7, **parameters)
    names, sets = zip(*directed(), strict=True)
    outputs, _ = run_sets(config.create(), sets)
    assert dict(zip(names, outputs, strict=True)) == \
        dict(zip(names, expected(config, sets), strict=True))


# Cycles -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("keys", [1, 3, 17, 40])
@pytest.mark.parametrize("parameters", [
    {"dim": 4, "io_lanes": 4}, {"dim": 8, "io_lanes": 2, "lanes": 4},
    {"dim": 6, "io_lanes": 2, "lanes": 3, "query_scale": 0.3, "output_scale": 0.3}])
def test_no_bubble_between_queries(parameters, keys):
    config = Attention(max_keys=40, **parameters)
    one = random_set(config, np.random.default_rng(4), keys, queries=20)
    outputs, cycles = run_sets(config.create(), [one])
    assert outputs == expected(config, [one])
    steps = np.diff(cycles["o"][config.vector_beats - 1::config.vector_beats])
    assert steps.tolist() == [config.query_cycles(keys)] * 19


def test_no_bubble_between_sets():
    """Sets are loaded while the queries of the set before run."""
    config = Attention(dim=4, io_lanes=4, max_keys=16)
    rng = np.random.default_rng(5)
    sets = [random_set(config, rng, keys=16, queries=4) for _ in range(5)]
    outputs, cycles = run_sets(config.create(), sets)
    assert outputs == expected(config, sets)
    assert np.diff(cycles["o"]).tolist() == [16] * 19


def test_causal_queries_take_the_cycles_of_the_keys_that_they_see():
    config = Attention(dim=4, io_lanes=4, max_keys=30, lanes=2, causal=True)
    one = random_set(config, np.random.default_rng(6), keys=30, queries=30)
    _, cycles = run_sets(config.create(), [one])
    beats = -(-np.arange(1, 31) // 2)
    # A row comes and goes in as many cycles as it has beats, and goes after it came.
    assert np.diff(cycles["o"]).tolist() == (beats[1:] + np.diff(beats)).tolist()


def test_latency(config):
    keys = None if config.select == "none" else 1
    one = random_set(config, np.random.default_rng(7), keys, queries=1)
    seen = 1 if config.causal else len(one.k)
    # The engine has its keys and values before the query comes.
    assert latency(config, one) == config.query_latency(seen)


def latency(config, one):
    late = Late(config.create(),
                4 * len(one.k) * config.vector_beats + config.sort_cycles(len(one.k)))
    _, cycles = run_sets(late, [one])
    return cycles["o"][0] - cycles["q"][-1]


@pytest.mark.parametrize("predictor", ["leading-one", "4-bit", "sign", "prefix"])
def test_predicted_queries_take_the_cycles_of_what_they_keep(predictor):
    config = Attention.preset("predict", dim=4, io_lanes=4, max_keys=40, predict_lanes=4,
                              predictor=predictor, prefix_dims=3)
    random = np.random.default_rng(9)
    one = Set(*(random.integers(-127, 128, (n, 4)) for n in (24, 40, 40)))
    outputs, cycles = run_sets(config.create(), [one])
    assert outputs == expected(config, [one])
    kept = attention_model.kept(config, one.q, one.k).sum(axis=1)
    assert 1 < kept.mean() < 20
    # On average; which queries wait for which depends on the order.
    ends = cycles["o"]
    average = (ends[-1] - ends[3]) / (len(ends) - 4)
    assert average <= config.query_cycles(40, kept[4:].mean()) + kept.max() / 20


@pytest.mark.parametrize("top_k", [1, 9, 10, 33, 40])
def test_top_k_sets_the_pace(top_k):
    """A query takes the cycles of the keys that it keeps, or of all in words: no bubble.

    A key waits for its query's last one, so that their ends differ by some words from that.
    """
    config = Attention.preset("predict", dim=4, io_lanes=4, max_keys=40, predict_lanes=4,
                              rule="top-k", top_k=top_k)
    random = np.random.default_rng(top_k)
    one = Set(*(random.integers(-127, 128, (n, 4)) for n in (40, 40, 40)))
    outputs, cycles = run_sets(config.create(), [one])
    assert outputs == expected(config, [one])
    late = cycles["o"] - max(top_k, 10) * np.arange(40)
    assert late.max() - late.min() <= 10
    if top_k > 10 or top_k == 1:
        assert late.max() == late.min()


def test_one_kept_key_per_query():
    """The prediction sets the pace, one word of keys per cycle, if it keeps few."""
    config = Attention.preset("predict", dim=4, io_lanes=4, max_keys=40, predict_lanes=4,
                              rule="threshold", threshold=0)
    random = np.random.default_rng(10)
    q, k, v = (random.integers(-20, 20, (n, 4)) for n in (16, 40, 40))
    k[7], q = 127, np.abs(q) + 64
    outputs, cycles = run_sets(config.create(), [Set(q, k, v)])
    assert outputs == expected(config, [Set(q, k, v)])
    assert (attention_model.kept(config, q, k).sum(axis=1) == 1).all()
    assert np.diff(cycles["o"]).tolist() == [10] * 15


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


# The configured thing was built -----------------------------------------------------------------

def test_ports_have_the_widths_of_the_configuration(config):
    dut = config.create()
    lanes = config.io_lanes
    widths = {port: len(getattr(dut, port).payload.as_value()) for port in config.STREAMS}
    assert widths == {"q": lanes * config.bits + 1, "k": lanes * config.bits + 2,
                      "v": lanes * config.bits + 1, "o": lanes * config.out_bits + 1}


# Faults in the hardware that the comparison with the model has to find --------------------------

def faults():
    config = CONFIGS[0]
    yield {"logit": dataclasses.replace(config.logit, shift=config.logit.shift + 1)}
    yield {"output": dataclasses.replace(config.output, shift=config.output.shift + 1)}
    yield {"sum_range": (-(1 << 10), (1 << 10) - 1)}
    yield {"dot_range": (-(1 << 10), (1 << 10) - 1)}
    yield {"causal": True}


@pytest.mark.parametrize("fault", [*faults()], ids=lambda fault: next(iter(fault)))
def test_fault_is_found(fault):
    config = CONFIGS[0]
    rng = np.random.default_rng(8)
    sets = [random_set(config, rng) for _ in range(6)]

    class Faulty:
        """The configuration, with something else in it."""

        def __getattr__(self, name):
            return fault[name] if name in fault else getattr(config, name)

    outputs, _ = run_sets(DenseAttention(Faulty()), sets)
    assert outputs != expected(config, sets)

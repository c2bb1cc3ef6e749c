"""Configuration of the attention engine, and the blocks that it is built of."""

import dataclasses
import math

import numpy as np
import pytest
from amaranth import signed, unsigned

import rtl
from rtl import UnitConfig
from rtl.blocks.products import DotProduct, MultiplyAccumulate
from rtl.bus import AxiStream
from rtl.emit import verilog
from rtl.stream.fifo import Fifo
from sim.testing.pysim import clocked

Attention = rtl.unit("attention")


# Configuration ----------------------------------------------------------------------------------

@pytest.mark.parametrize("parameters, message", [
    ({"bits": 9}, "Parameter bits must be an integer in 4..8, not 9"),
    ({"reuse": True, "lanes": 2}, "Parameter lanes must be 1 for reuse, not 2"),
    ({"predictor": "leading_one"},
     "Parameter predictor must be one of octave, prefix, leading-one, 4-bit, sign, not "
     "'leading_one'"),
    ({"select": "predict", "predictor": "prefix", "dim": 8},
     "Parameter prefix_dims must be less than dim (8), not 8"),
    ({"prefix_dims": 0}, "Parameter prefix_dims must be an integer in 1..511, not 0"),
    ({"top_k": 0}, "Parameter top_k must be an integer in 1..4096, not 0"),
    ({"datapath": "online", "reuse": True},
     'Parameter reuse must be false for datapath "online", not true'),
    ({"datapath": "online", "value_scale": 32.0, "output_scale": 0.25},
     'Parameter output_scale must be above 0.25 for datapath "online" and value_scale 32, not '
     '0.25'),
    ({"datapath": "online", "logit_scale": 32.0},
     'Parameter logit_scale must be at most 16 for datapath "online", not 32.0'),
    ({"dsp_packing": True}, "Parameter dsp_packing must be false for lanes 1, not true"),
    ({"term_bits": 17}, "Parameter term_bits must be an integer in 6..16, not 17"),
    ({"rule": "topk"}, "Parameter rule must be one of mean, threshold, top-k, not 'topk'"),
    ({"dim": 10}, "Parameter io_lanes must be a divisor of dim (10), not 8"),
    ({"value_dim": 10}, "Parameter io_lanes must be a divisor of value_dim (10), not 8"),
    ({"dim": 513}, "Parameter dim must be an integer in 1..512, not 513"),
    ({"value_dim": 0}, "Parameter value_dim must be an integer in 1..512, not 0"),
    ({"softmax": "layernorm-ai"}, "Parameter softmax must be UNIT[:PRESET][,PARAMETER=VALUE...] "
                                  "with UNIT one of "),
    ({"softmax": 3}, "Parameter softmax must be UNIT[:PRESET][,PARAMETER=VALUE...] with UNIT"),
    ({"softmax": "softmax-e2,plus"}, "Parameter softmax must be UNIT[:PRESET]"),
    ({"softmax": "softmax-e2:pluss"},
     "Preset 'pluss' of softmax-e2 does not exist; did you mean 'plus'?"),
    ({"softmax": "softmax-e2,code_bit=5"},
     "Parameter 'code_bit' of softmax-e2 does not exist; did you mean 'code_bits'?"),
    ({"softmax": "softmax-e2,code_bits=five"},
     "Parameter code_bits of softmax-e2 must be an integer in 2..10, not 'five'"),
    ({"softmax": "softmax-e2,lanes=4"},
     "Parameter softmax must leave lanes to the engine, not say 'lanes=4'"),
    ({"softmax": "softmax-split,sink=true"},
     "Parameter softmax must leave sink to the engine, not say 'sink=true'"),
    ({"logit_scale": 1e15},
     "Parameter logit_scale must be 2^-16 to 2^40 times the step of what is requantised, "
     "not 1000000000000000.0"),
    ({"output_scale": 1e-12},
     "Parameter output_scale must be 2^-16 to 2^40 times the step of what is requantised, "
     "not 1e-12"),
])
def test_wrong_parameter(parameters, message):
    with pytest.raises(rtl.ConfigError) as raised:
        Attention(**parameters)
    assert str(raised.value).startswith(message)


def test_softmax_is_derived():
    config = Attention(lanes=3, max_keys=50, softmax="softmax-e2:plus, code_bits=7")
    assert config.softmax == "softmax-e2:plus,code_bits=7"
    assert config.softmax_config == rtl.unit("softmax-e2").preset(
        "plus", code_bits=7, bits=10, input_scale=2.0 ** -5, out_bits=12, lanes=3, max_length=50)


def test_files_and_names():
    names = set()
    for parameters in ({}, {"softmax": "softmax-e2"}, {"softmax": "softmax-e2,code_bits=5"},
                       {"causal": True}, {"dim": 32}, {"max_keys": 100}, {"io_lanes": 4},
                       {"select": "predict"}, {"select": "predict", "predictor": "4-bit"},
                       {"select": "predict", "rule": "top-k"},
                       {"select": "predict", "rule": "top-k", "top_k": 9},
                       {"select": "predict", "predictor": "prefix"},
                       {"reuse": True}, {"reuse": True, "maps": 2}, {"datapath": "online"},
                       {"datapath": "online", "term_bits": 10},
                       {"datapath": "online", "octave_bits": 2}):
        config = Attention(**parameters)
        assert UnitConfig.from_toml(config.to_toml()) == config
        assert UnitConfig.from_json(config.to_json()) == config
        assert config.name.isidentifier()
        names.add(config.name)
    assert len(names) == 17


@pytest.mark.parametrize("bits, dim, dot_bits", [(8, 64, 22), (4, 1, 8), (5, 3, 11)])
def test_width_of_dot_products(bits, dim, dot_bits):
    config = Attention(bits=bits, dim=dim, io_lanes=1)
    low, high = config.element_range
    assert config.dot_range == (dim * low * high, dim * low * low)
    assert config.dot_bits == dot_bits
    assert -(1 << (dot_bits - 1)) <= config.dot_range[0]
    assert 1 << (dot_bits - 2) <= config.dot_range[1] < 1 << (dot_bits - 1)


def test_values_are_as_wide_as_keys_unless_said():
    assert Attention(dim=16).value_dim == 16
    config = Attention(dim=16, value_dim=24)
    assert "vd24" in config.name and "vd" not in Attention(dim=16).name
    # What a query takes is what its longest vector does.
    assert (config.vector_beats, config.value_beats, config.query_cycles(1)) == (2, 3, 3)
    sheet = config.data_sheet
    assert {name: (form.least, form.step) for name, form in sheet.formats.items()} == {
        "q": (16, 16), "k": (16, 16), "v": (24, 24), "o": (24, 24)}
    assert sheet.formats["v"].most == 24 * 320 and sheet.formats["o"].most is None
    assert "a value or output is 24 elements in 3 beats" in sheet.framing
    resident = dataclasses.replace(config, store="resident").data_sheet
    assert resident.formats["o"].step == 24 and "24 elements in 3 beats" in resident.framing


def test_cycles():
    config = Attention()
    assert config.query_cycles(320) == 320 and config.query_cycles(2) == 8
    assert config.query_latency(320) == config.latency + 2 * 319
    for lanes, most in (1, 360), (4, 120):
        config = Attention(datapath="online", lanes=lanes)
        assert config.query_cycles(320) == 320 // lanes
        assert config.query_latency(320) == config.latency + 320 // lanes - 1 <= most
        heads = dataclasses.replace(config, scales="run-time", sink=True)
        assert heads.query_latency(320) <= most
        decode = dataclasses.replace(config, store="resident", causal=True)
        assert decode.query_latency(320) <= 320 // lanes + 60


# Blocks -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("count", [1, 2, 4, 5, 7, 16, 21])
@pytest.mark.parametrize("shapes", [(signed(4), signed(4)), (unsigned(5), signed(3))])
@pytest.mark.parametrize("addend_bits", [0, 3, 14])
def test_dot_product(count, shapes, addend_bits):
    rng = np.random.default_rng(count)

    def draw(shape):
        low, high = (-(1 << shape.width - 1), 1 << shape.width - 1) if shape.signed else \
            (0, 1 << shape.width)
        values = rng.integers(low, high, (30, count))
        values[0], values[1], values[2, ::2] = low, high - 1, low
        return values

    a, b = map(draw, shapes)
    addends = rng.integers(0, 1 << addend_bits, 30)
    addends[0] = (1 << addend_bits) - 1
    dut = DotProduct(*shapes, count, addend_bits)

    def drive(ctx, n):
        for k in range(count):
            ctx.set(dut.a[k], int(a[n % 30, k]))
            ctx.set(dut.b[k], int(b[n % 30, k]))
        ctx.set(dut.addend, int(addends[(n - 1) % 30]))

    got = clocked(dut, drive, lambda ctx, n: ctx.get(dut.o), 30 + dut.latency)
    assert got[dut.latency:] == ((a * b).sum(axis=1) + addends + dut.offset).tolist()


@pytest.mark.parametrize("depth", [5, 600])
@pytest.mark.parametrize("stalls", [0.0, 0.5])
def test_fifo_in_memory(depth, stalls):
    """Everything leaves in order; without stalls three cycles after it came."""
    dut = Fifo(unsigned(12), depth, memory="auto")
    rng = np.random.default_rng(depth)
    pushed, room, ready = [], depth, False

    def drive(ctx, n):
        nonlocal ready
        ready = rng.random() >= stalls
        push = rng.random() < 0.8 and room > 0 and n < 900
        ctx.set(dut.i, int(rng.integers(1 << 12)))
        ctx.set(dut.push, push)
        ctx.set(dut.o.ready, ready)
        if push:
            pushed.append((n, ctx.get(dut.i)))

    def sample(ctx, n):
        nonlocal room
        left = ctx.get(dut.o.valid) and ready
        room = depth - len(pushed) + sum(1 for entry in popped if entry) + left
        popped.append((n, ctx.get(dut.o.payload)) if left else None)
        return None

    popped = []
    clocked(dut, drive, sample, 3000)
    got = [entry for entry in popped if entry]
    assert [value for _, value in got] == [value for _, value in pushed]
    if not stalls:
        assert [n for n, _ in got] == [n + dut.latency for n, _ in pushed]


@pytest.mark.parametrize("lanes", [1, 3, 6])
def test_multiply_accumulate(lanes):
    rng = np.random.default_rng(lanes)
    a, b = rng.integers(0, 16, (40, lanes)), rng.integers(-8, 8, (40, lanes))
    first = rng.random(40) < 0.2
    first[0] = True
    dut = MultiplyAccumulate(unsigned(4), signed(4), lanes, -128 * 40 * lanes, 128 * 40 * lanes)

    def drive(ctx, n):
        ctx.set(dut.first, bool(first[n]) if n < 40 else 0)
        for k in range(lanes):
            ctx.set(dut.a[k], int(a[n, k]) if n < 40 else 0)
            ctx.set(dut.b[k], int(b[n, k]) if n < 40 else 0)

    got = clocked(dut, drive, lambda ctx, n: ctx.get(dut.o), 40 + dut.latency)
    total, wanted = 0, []
    for n in range(40):
        total = (0 if first[n] else total) + int((a[n] * b[n]).sum())
        wanted.append(total)
    assert got[dut.latency:] == wanted


# Shell ------------------------------------------------------------------------------------------

def test_axi_ports():
    config = Attention(dim=6, io_lanes=3, out_bits=12, max_keys=5)
    shell = AxiStream(verilog.BlackBox(config.create(), config.name))
    widths = {name: member.shape for name, member in shell.signature.members.items()}
    handshake = {f"{bus}_{wire}": 1 for bus in ("s_axis_q", "s_axis_k", "s_axis_v", "m_axis")
                 for wire in ("tlast", "tvalid", "tready")}
    assert widths == {
        "aclk": 1, "aresetn": 1, "clear": 1, "causes": 3, "error": 1, **handshake,
        "s_axis_q_tdata": 24, "s_axis_k_tdata": 24, "s_axis_k_tuser": 1, "s_axis_v_tdata": 24,
        "m_axis_tdata": 48, "m_axis_tuser": 1}
    assert shell.aclk.attrs["X_INTERFACE_PARAMETER"].startswith(
        "ASSOCIATED_BUSIF s_axis_q:s_axis_k:s_axis_v:m_axis, ")
    assert shell.s_axis_k_tuser.attrs["X_INTERFACE_INFO"] == \
        "xilinx.com:interface:axis:1.0 s_axis_k TUSER"


def test_axi_port_of_the_values_says_what_they_are_for():
    config = Attention(reuse=True, dim=6, io_lanes=3, max_keys=5, maps=8)
    shell = AxiStream(verilog.BlackBox(config.create(), config.name))
    widths = {name: member.shape for name, member in shell.signature.members.items()}
    assert widths["s_axis_v_tuser"] == 1 + 3 + 8 and widths["s_axis_k_tuser"] == 1
    assert "s_axis_q_tuser" not in widths


def test_every_parameter_is_in_the_hash():
    assert len({Attention().hash, *(dataclasses.replace(Attention(), **change).hash for change in (
        {"query_scale": 0.5}, {"memory": "block"}, {"weight_bits": 9}))}) == 4


# What the documentation says ---------------------------------------------------------------------

def test_codes_are_at_most_one_off():
    """Products of two rounded words: of the default codes two are higher and one is lower."""
    config = Attention.preset("reuse")
    codes = config.softmax_config.codes
    nearest = [min(255, math.floor(256 * math.exp(-d * config.logit_scale) + 0.5))
               for d in range(len(codes))]
    differences = [code - exact for code, exact in zip(codes, nearest, strict=True)]
    assert len(codes) == 200 and sorted(d for d in differences if d) == [-1, 1, 1]


@pytest.mark.parametrize("preset, keys", [("aggressive", 72), ("conservative", 160)])
def test_break_even_of_a_greedy_search(preset, keys):
    """With as many queries as keys, hardware sorting included, and one candidate a query."""
    dense, greedy = Attention(), Attention.preset(preset)

    def faster(n):
        return max(greedy.sort_cycles(n), n * greedy.query_cycles(n, kept=1)) < \
            n * dense.query_cycles(n)
    assert not any(faster(n) for n in range(8, keys + 1))
    assert all(faster(n) for n in range(keys + 1, 321))

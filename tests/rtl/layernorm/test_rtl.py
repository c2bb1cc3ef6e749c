"""LayerNorm units in Amaranth's own simulator: every kind of config, in its cycle, under loads."""

import dataclasses

import numpy as np
import pytest
from amaranth.sim import Simulator

import rtl
from rtl.layernorm.affine import Affine
from rtl.parameter import Integer
from sim import model
from sim.stimuli import layernorm as layernorm_rows
from sim.stimuli.layernorm import load_beats
from sim.stimuli.provider import random_config
from sim.testing.layernorm import simulate
from sim.testing.pysim import exchange, row_beats
from sim.testing.pysim import rows_of as output_rows

UNITS = ("layernorm-ai", "layernorm-exact")


def with_parameters(name, seed=0, **parameters):
    return layernorm_rows.channel_parameters(rtl.unit(name)(**parameters),
                                             np.random.default_rng([seed, 1]))


def rows_of(config, beats, seed=0):
    rows = layernorm_rows.random_rows(config, np.random.default_rng([seed, 2]), beats)
    return [rows.row(k)[0] for k in range(len(rows))]


KINDS = [
    {"lanes": 4, "channels": 30},
    {"lanes": 1, "channels": 9, "alpha_bits": 0, "zero_point": 0},
    {"lanes": 4, "channels": 30, "alpha_bits": 3},
    {"lanes": 3, "channels": 2, "zero_point": 255},
    {"lanes": 2, "channels": 1},
    {"lanes": 20, "channels": 100},
    {"lanes": 5, "channels": 33, "epsilon": 20.0, "memory": "block"},
    {"lanes": 4, "channels": 30, "rms": True},
    {"lanes": 4, "channels": 30, "row_length": "variable", "epsilon": 3.0},
    {"lanes": 3, "channels": 20, "row_length": "variable", "rms": True, "epsilon": 2.0},
    {"lanes": 1, "channels": 5, "row_length": "variable"},
    {"lanes": 4, "channels": 30, "signed_input": True, "zero_point": -7, "bits": 6, "out_bits": 12,
     "gamma_bits": 12, "gamma_fraction_bits": 3, "beta_bits": 14, "beta_fraction_bits": 3,
     "output_scale": 0.003},
    {"lanes": 4, "channels": 14, "gamma_fraction_bits": 12, "gamma_bits": 10, "out_bits": 16},
]


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("parameters", KINDS, ids=map(str, range(len(KINDS))))
def test_equals_model(name, parameters):
    config = with_parameters(name, **parameters)
    result = simulate(config, rows_of(config, 120), gaps=0.3, stalls=0.3)
    assert result["mismatches"] == 0
    assert result["error"] == 0


@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("parameters", KINDS, ids=map(str, range(len(KINDS))))
def test_cycles(name, parameters):
    """One beat per cycle, and every row in the cycle that the config promises."""
    config = with_parameters(name, **parameters)
    rows = [row for row in rows_of(config, 120) if len(row) == config.channels]
    result = simulate(config, rows)
    assert result["mismatches"] == 0
    assert set(result["latency"]) == {config.latency}
    # From the first beat in to the last one out: every beat, and the way through.
    assert result["cycles"] == len(rows) * config.max_beats + config.latency + config.max_beats - 2


@pytest.mark.parametrize("name, parameters", [
    ("layernorm-ai", {"bits": 10, "channels": 43, "channel_parameters": "loaded"}),
    ("layernorm-exact", {"bits": 16, "channels": 43, "row_length": "variable"}),
    ("layernorm-exact", {"bits": 16, "channels": 43, "epsilon": 2.0 ** 64})])
def test_extreme_scales(name, parameters):
    """Wide reciprocals of the length, and radicands of more than 64 bits."""
    config = rtl.unit(name)(lanes=8, zero_point=0, mean_fraction_bits=8, alpha=(3,) * 43,
                            beta=tuple(range(-20, 23)), **parameters)
    config = dataclasses.replace(config, gamma=(127, -128, 90) * 14 + (127,))
    assert config.reciprocal_bits > 16
    low, high = config.raw_range
    rows = [np.full(43, value) for value in (low, high, high - 1, high // 3)]
    result = simulate(config, [*rows, *rows_of(config, 60)])
    assert result["mismatches"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("seed", range(40))
def test_random_configs(name, seed):
    random = np.random.default_rng([seed, 7])
    config = random_config(rtl.unit(name), random, channels=Integer(1, 150))
    result = simulate(config, rows_of(config, 150, seed), gaps=0.2, stalls=0.2, seed=seed)
    assert result["mismatches"] == 0


# Loads

@pytest.mark.parametrize("name", UNITS)
@pytest.mark.parametrize("parameters", [
    {}, {"row_length": "variable"}, {"rms": True}, {"alpha_bits": 0}])
def test_loads(name, parameters):
    config = with_parameters(name, lanes=4, channels=14, channel_parameters="loaded", **parameters)
    random = np.random.default_rng(2)
    loads = [layernorm_rows.channel_parameters(config, random) for _ in range(4)]
    rows = rows_of(config, 160)
    for options in {}, {"gaps": 0.4, "stalls": 0.3, "load_gaps": 0.4}:
        result = simulate(config, rows, loads=loads, **options)
        assert result["mismatches"] == 0
        assert set(result["loaded"]) == set(range(5))
        assert result["error"] == 0


def test_loads_do_not_stop_the_data():
    config = with_parameters("layernorm-ai", lanes=4, channels=12, channel_parameters="loaded")
    random = np.random.default_rng(2)
    loads = [layernorm_rows.channel_parameters(config, random) for _ in range(5)]
    rows = rows_of(config, 200)
    cycles = simulate(config, rows, loads=loads)["cycles"]
    assert cycles == simulate(config, rows)["cycles"]


def test_loads_without_a_row_between():
    """All are taken back to back, and a row gets the last one."""
    config = with_parameters("layernorm-ai", lanes=4, channels=14, channel_parameters="loaded")
    random = np.random.default_rng(3)
    loads = [layernorm_rows.channel_parameters(config, random) for _ in range(3)]
    beats = [beat for load in loads for beat in load_beats(load)]
    row, = rows_of(config, 1)
    sent = {"i": [None] * len(beats) + row_beats(config, [row], None), "load": beats}
    traffic = exchange(config.create(), sent, 1)
    assert traffic.cycles["load"] == list(range(1, len(beats) + 1))
    assert (np.concatenate(outputs_of(config, traffic)) == model.run(loads[-1], row)).all()


@pytest.mark.parametrize("parameters", [{}, {"row_length": "variable"}])
def test_load_waits_for_the_rows_of_its_bank_only(parameters):
    """A row that has begun keeps its bank to its last beat's read, and not a cycle longer."""
    config = with_parameters("layernorm-ai", lanes=4, channels=14, channel_parameters="loaded",
                             **parameters)
    random = np.random.default_rng(3)
    loads = [layernorm_rows.channel_parameters(config, random) for _ in range(3)]
    size = config.max_beats
    first, second = (random.integers(0, 256, config.channels) for _ in range(2))
    head, *rest = row_beats(config, [first], None)
    sent = {"i": [head, *[None] * 60, *rest, *[None] * 60, *row_beats(config, [second], None)],
            "load": [beat for load in loads for beat in load_beats(load)]}
    traffic = exchange(config.create(), sent, 2)
    taken, outputs = traffic.cycles["load"], traffic.cycles["o"]
    assert taken[:size] == list(range(1, size + 1))
    # The last beat's parameters are read as many cycles before its output as the second pass takes.
    after_read = outputs[size - 1] - Affine.LATENCY + 1
    assert taken[size:] == list(range(after_read, after_read + 2 * size))
    got = outputs_of(config, traffic)
    assert (got[0] == model.run(config, first)).all()
    assert (got[1] == model.run(loads[-1], second)).all()


def outputs_of(config, traffic):
    """Output rows of a unit, as arrays."""
    return [np.array(row) for row in output_rows(traffic.beats, config.lanes)]


def drive_loads(unit, beats):
    """Send beats of loads with the output free, and return the unit's error."""
    errors = []

    async def bench(ctx):
        ctx.set(unit.o.ready, 1)
        for beat in beats:
            ctx.set(unit.load.payload, beat)
            ctx.set(unit.load.valid, 1)
            if not ctx.get(unit.load.ready):
                break
            await ctx.tick()
        ctx.set(unit.load.valid, 0)
        await ctx.tick()
        errors.extend([ctx.get(unit.error), ctx.get(unit.load.ready)])

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return tuple(errors)


def test_wrong_loads():
    config = with_parameters("layernorm-ai", lanes=4, channels=10, channel_parameters="loaded")
    whole = load_beats(config)
    assert len(whole) == 3
    open_end = [{**beat, "last": 0} for beat in whole]
    assert drive_loads(config.create(), whole) == (0, 1)
    # Too short, too long, and whole after either.
    assert drive_loads(config.create(), whole[1:]) == (1, 1)
    assert drive_loads(config.create(), whole[1:] + whole) == (1, 1)
    assert drive_loads(config.create(), open_end + whole) == (1, 1)
    assert drive_loads(config.create(), open_end + whole[-1:] + whole) == (1, 1)


# Errors

@pytest.mark.parametrize("name", UNITS)
def test_short_row(name):
    """A row of too few channels raises ``error``; the rows around it come out as ever."""
    config = with_parameters(name, lanes=4, channels=14)
    rows = rows_of(config, 40)[:9]
    for cut in 1, 4, 12, 13:
        broken = [*rows[:4], rows[4][:cut], rows[5][:cut], *rows[6:]]
        result = simulate(config, broken, ignore_short=True)
        assert result["error"] == 1
        assert result["mismatches"] == 0
    assert simulate(config, rows)["error"] == 0


def test_epsilon_that_turns_the_order_of_the_lengths():
    """The exponent of the shortest row is not the largest then."""
    config = rtl.unit("layernorm-ai")(
        bits=3, zero_point=7, alpha_bits=0, out_bits=16, lanes=1, channels=374,
        row_length="variable", epsilon=1.0, mean_fraction_bits=1, gamma_bits=12,
        gamma_fraction_bits=-7, gamma=(-380,) * 374, code_bits=6, threshold=444, low_shift=2,
        high_shift=2, compression="truncate", rsqrt_index_bits=6, rsqrt_bits=12)
    rows = [np.arange(length) % 2 * 7 for length in (374, 1, 373, 20)]
    assert simulate(config, rows)["mismatches"] == 0


def test_widths():
    config = dataclasses.replace(with_parameters("layernorm-ai", lanes=3, channels=10), out_bits=11)
    unit = config.create()
    assert len(unit.i.payload.as_value()) == 3 * 8 + 3 + 1
    assert len(unit.o.payload.as_value()) == 3 * 11 + 3 + 1
    assert not hasattr(unit, "load")

"""What all softmax methods have in common: bounds, order, masks, the figures that are expected."""

import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest

import rtl
from rtl import ConfigError
from rtl.fixed import Scaling
from sim import model
from sim.bench.rows import Rows
from sim.data import captured
from sim.stimuli.provider import random_config
from sim.stimuli.row_fields import with_fields
from sim.stimuli.softmax import CAPTURE

METHODS = [name for name in rtl.units() if name.startswith("softmax-")]
PRESETS = [(name, preset) for name in METHODS for preset in rtl.unit(name).PRESETS]


@pytest.fixture(params=PRESETS, ids=lambda pair: "-".join(pair))
def make(request):
    """Make a config of a method's preset."""
    name, preset = request.param
    return lambda **parameters: rtl.unit(name).preset(preset, **parameters)


# Properties --------------------------------------------------------------------------------------

def assert_sound(config, x, mask=None, **row):
    """Outputs are within 0..1, fall with the logits, and are 0 where masked."""
    y = model.run(config, x, mask, **row)
    assert (y >= 0).all()
    assert (y * config.output_scale <= 1).all()
    assert y.max(initial=0) < 1 << config.out_bits
    if mask is not None:
        assert not y[mask].any()
    if getattr(config, "correction", None) == "incremental":
        # Each beat's codes are rounded for themselves, as SOLE publishes it.
        return
    order = np.argsort(x, axis=-1, kind="stable")
    for row, places, dead in zip(y, order, np.zeros(x.shape, bool) if mask is None else mask,
                                 strict=True):
        alive = places[~dead[places]]
        assert (np.diff(row[alive]) >= 0).all()


@pytest.mark.parametrize("bits", [2, 3])
@pytest.mark.parametrize("scale", [0.125, 0.7, 4.0])
def test_every_short_row(make, bits, scale):
    config = make(bits=bits, input_scale=scale, lanes=3, max_length=4)
    values = np.arange(1 << bits) - (1 << (bits - 1))
    rows = np.stack(np.meshgrid(*[values] * 4), -1).reshape(-1, 4)
    assert_sound(config, rows)
    assert_sound(config, rows, np.broadcast_to([False, True, False, False], rows.shape).copy())


def test_every_pair_of_logits(make):
    config = make(lanes=2, max_length=2)
    values = np.arange(256) - 128
    assert_sound(config, np.stack(np.meshgrid(values, values), -1).reshape(-1, 2))


@pytest.mark.parametrize("name", METHODS)
def test_random_configs(name):
    random = np.random.default_rng(11)
    for _ in range(25):
        config = random_config(rtl.unit(name), random)
        length = min(config.max_length, 200)
        limit = 1 << (config.bits - 1)
        spread = min(3 / config.input_scale, limit)
        x = np.concatenate([random.integers(-limit, limit, (8, length)),
                            np.clip(np.rint(random.normal(0, spread, (8, length))),
                                    -limit, limit - 1).astype(np.int64)])
        mask = random.random(x.shape) < 0.2
        rows = with_fields(config, Rows.of(zip(map(str, range(16)), x, mask, strict=True)), random)
        assert_sound(config, rows.values.reshape(x.shape), mask, **rows.fields)


def test_fully_masked_row(make):
    x = np.full((1, 20), 127)
    assert not model.run(make(), x, np.ones(x.shape, bool)).any()


def test_one_element(make):
    """A row of one element is 1, but for what a method can not express."""
    config = make()
    y = model.run(config, np.arange(-128, 128)[:, None]) * config.output_scale
    assert (y > (0.75 if config.UNIT in ("softmax-e2", "softmax-lut2d") else 0.96)).all()


def test_captured_logits(make):
    """Real attention rows: bounded, and the largest logit keeps the largest output."""
    rows = [row for row in captured.load(CAPTURE) if row.scale == 0.125][:40]
    config = make(max_length=max(len(row.logits) for row in rows))
    assert rows
    for row in rows:
        y = model.run(config, row.logits, row.mask)
        assert not y[row.mask].any()
        assert y.max() * config.output_scale <= 1
        alive = np.where(row.mask, -129, row.logits.astype(int))
        assert y[alive.argmax()] == y.max()


# Rows with parameters of their own ---------------------------------------------------------------

def test_sink_is_an_element_without_output(make):
    """A sink gives what one element more in the first beat does, which is in no row otherwise."""
    random = np.random.default_rng(4)
    lanes, beats, count = 3, 5, 200
    config = make(lanes=lanes, max_length=lanes * beats, sink=True)
    wide = make(lanes=lanes + 1, max_length=lanes * beats + 1)
    assert config.max_terms == wide.max_length
    # The longer rows of the wider beats take part up to the same number of terms.
    wide = dataclasses.replace(wide, max_length=(lanes + 1) * beats)
    low, high = -128, 127
    x = np.clip(np.rint(random.normal(0, 30, (count, beats, lanes))), low, high).astype(int)
    mask = random.random(x.shape) < 0.3
    mask[:9] = True
    sink = np.clip(x.max((1, 2)) + random.integers(-40, 40, count), low, high)
    valid = random.random(count) < 0.8
    more = np.zeros((count, beats, 1), int)
    more[:, 0, 0] = sink
    hidden = np.ones(more.shape, bool)
    hidden[:, 0, 0] = ~valid
    flat = (count, -1)
    y = model.run(config, x.reshape(flat), mask.reshape(flat), sink=sink, sink_valid=valid)
    same = model.run(wide, np.concatenate([x, more], 2).reshape(flat),
                     np.concatenate([mask, hidden], 2).reshape(flat))
    same = same.reshape(count, beats, lanes + 1)[..., :lanes].reshape(flat)
    if "rexp" in config.UNIT or "lut2d" in config.UNIT or config.UNIT == "softmax-softermax":
        # Tables and widths follow from the number of terms.
        assert np.abs(y - same).max() <= 4
    else:
        assert (y == same).all()
    assert not y[:9].any()


def test_sink_takes_weight(make):
    """With the sink, outputs are what float64 says; far above all logits it takes everything."""
    random = np.random.default_rng(5)
    config = make(max_length=64, sink=True)
    scale = config.input_scale
    x = np.clip(np.rint(random.normal(0, 2, (300, 64)) / scale), -128, 127).astype(int)
    sink = np.clip(x.max(1) + random.integers(-8, 9, 300), -128, 127)
    e = np.exp((x - 127.0) * scale)
    wanted = e / (e.sum(1, keepdims=True) + np.exp((sink - 127.0) * scale)[:, None])
    y = model.run(config, x, sink=sink) * config.output_scale
    plain = model.run(config, x)
    worst = 1.5 if "paper" in config.nearest_preset()[0] else 1.2
    float_error = np.abs(y - wanted).sum(1).mean()
    without = e / e.sum(1, keepdims=True)
    assert float_error <= worst * np.abs(plain * config.output_scale - without).sum(1).mean()
    assert (model.run(config, x, sink=sink, sink_valid=0) == plain).all()
    assert not model.run(config, np.full((1, 64), -128), sink=127).any()
    assert not model.run(config, x, np.ones(x.shape, bool), sink=sink).any()


def test_accumulators_are_requantised(make):
    """Row by row the outputs of accumulators are those of their logits."""
    random = np.random.default_rng(6)
    config = make(accumulator_bits=24, max_length=40)
    a = random.integers(-1 << 23, 1 << 23, (50, 40)) >> random.integers(0, 16, (50, 1))
    multiplier, shift = random.integers(1, 1 << 16, 50), random.integers(12, 40, 50)
    offset = random.integers(-128, 128, 50)
    x = [[min(max(math.floor(Fraction(int(v) * int(m), 1 << int(s)) + Fraction(1, 2)) + int(o),
                  -128), 127) for v in row]
         for row, m, s, o in zip(a, multiplier, shift, offset, strict=True)]
    y = model.run(config, a, multiplier=multiplier, shift=shift, offset=offset)
    assert (y == model.run(config.of_logits, np.array(x))).all()
    one = Scaling.of(0.01)
    assert (model.run(config, a, multiplier=one.multiplier, shift=one.shift)
            == model.run(config.of_logits, one(a, 8))).all()


@pytest.mark.parametrize("parameters, row, message", [
    ({}, {"sink": 3}, "have no 'sink'"),
    ({"sink": True}, {"sink": 128}, "sink in -128..127, not 128..128"),
    ({"sink": True}, {"sink": [1, 2]}, "one sink each"),
    ({"sink": True}, {"sink": 0.5}, "integers as sink"),
    ({"accumulator_bits": 9}, {"shift": 1}, "need 'multiplier'"),
    ({"accumulator_bits": 9}, {"multiplier": 65536, "shift": 1}, "multiplier in 0..65535"),
    ({"accumulator_bits": 9}, {"multiplier": 1, "shift": 64}, "shift in 0..63")])
def test_parameters_of_rows_are_checked(parameters, row, message):
    config = rtl.unit("softmax-e2")(**parameters)
    with pytest.raises((TypeError, ValueError), match=message):
        model.run(config, np.zeros((3, 4), int), **row)


def test_accumulators_are_checked():
    config = rtl.unit("softmax-e2")(accumulator_bits=9)
    with pytest.raises(ValueError, match="Accumulators must be in -256..255, not 256..256"):
        model.run(config, [256], multiplier=1, shift=0)
    with pytest.raises(ConfigError, match="accumulator_bits must be 0 or 2..32, not 1"):
        rtl.unit("softmax-e2")(accumulator_bits=1)


# Expected figures --------------------------------------------------------------------------------

def figures(config, length=64, rows=4000):
    """L1 per row, largest error, least and largest sum, on logits of N(0, 3)."""
    scale = config.input_scale
    x = np.rint(np.random.default_rng(7).normal(0, 3, (rows, length)) / scale)
    x = np.clip(x, -128, 127).astype(np.int64)
    p = np.exp((x - x.max(1, keepdims=True)) * scale)
    p /= p.sum(1, keepdims=True)
    q = model.run(config, x) * config.output_scale
    return np.abs(q - p).sum(1).mean(), np.abs(q - p).max(), q.sum(1).min(), q.sum(1).max()


ROUNDED = {"exp_index": "round", "sum_rounding": "round"}
EXPECTED = [
    # L1 per row and its tolerance, largest error, bounds of the sum.
    ("softmax-rexp", {}, 0.379, 0.015, 0.47, 0.93, 2.01),
    ("softmax-rexp", ROUNDED, 0.226, 0.005, 0.44, 0.75, 1.51),
    ("softmax-rexp", {**ROUNDED, "out_bits": 15}, 0.207, 0.005, 0.44, 0.74, 1.51),
    ("softmax-rexp", {**ROUNDED, "out_bits": 4}, 0.414, 0.01, 0.52, 0.50, 1.74),
    ("softmax-lut2d", {}, 0.342, 0.025, 0.47, 0.45, 1.82),
    ("softmax-lut2d", {**ROUNDED, "row_index": "round"}, 0.255, 0.008, 0.37, 0.55, 1.62),
    ("softmax-lut2d", {**ROUNDED, "row_index": "round", "out_bits": 4, "exp_entries": 48,
                       "columns": 29}, 0.427, 0.02, 0.46, 0.50, 2.07),
    ("softmax-softermax", {"input_scale": math.log(2) / 4, "lanes": 16},
     0.072, 0.003, 0.09, 0.92, 1.09),
    ("softmax-softermax", {"input_scale": math.log(2) / 4, "lanes": 16, "out_bits": 16,
                           "sum_fraction_bits": 15, "reciprocal_fraction_bits": 15},
     0.0062, 0.0005, 0.014, 0.99, 1.02),
]


@pytest.mark.parametrize("name, parameters, l1, tolerance, worst, least, most", EXPECTED)
def test_expected_figures(name, parameters, l1, tolerance, worst, least, most):
    got = figures(rtl.unit(name).preset("paper", **parameters))
    assert got[0] == pytest.approx(l1, abs=tolerance)
    assert got[1] <= worst
    assert least <= got[2] <= got[3] <= most


@pytest.mark.parametrize("name, preset, l1, worst, least, most", [
    ("softmax-rexp", "plus", 0.045, 0.04, 0.93, 1.04),
    ("softmax-rexp", "online", 0.05, 0.06, 0.86, 1.08),
    ("softmax-lut2d", "plus", 0.10, 0.09, 0.85, 1.18),
    ("softmax-lut2d", "online", 0.14, 0.21, 0.80, 1.26),
    ("softmax-split", "plus", 0.036, 0.008, 0.95, 1.03),
    ("softmax-softermax", "plus", 0.065, 0.02, 0.90, 1.05),
])
def test_improved_presets(name, preset, l1, worst, least, most):
    got = figures(rtl.unit(name).preset(preset))
    assert got[0] <= l1
    assert got[1] <= worst
    assert least <= got[2] <= got[3] <= most


@pytest.mark.parametrize("name", ["softmax-e2", "softmax-rexp", "softmax-lut2d"])
def test_latency_does_not_grow_with_the_row(name):
    """The presets of a running reference, at up to 16 lanes."""
    preset = "plus" if name == "softmax-e2" else "online"
    for lanes in 1, 4, 16:
        config = rtl.unit(name).preset(preset, lanes=lanes, max_length=1024)
        assert config.row_latency(config.max_beats) == config.latency <= 12

"""Split softmax: its exponentials, its exactness, hardware against model."""

import re

import numpy as np
import pytest

import rtl
from pysim import random_rows, run_rows
from rtl import ConfigError
from sim import model

SPLIT = rtl.unit("softmax-split")
PLUS = SPLIT.preset("plus")

CONFIGS = [
    SPLIT(lanes=1, max_length=9),
    SPLIT(lanes=4, max_length=30),
    SPLIT(lanes=3, max_length=20, out_bits=16),
    SPLIT(lanes=9, max_length=100, bits=7),
    SPLIT(lanes=2, max_length=12, bits=12, input_scale=0.01, out_bits=4, order="lazy"),
    SPLIT(lanes=4, max_length=30, bits=16, input_scale=2.0 ** -10, guard_bits=2, order="lazy"),
    SPLIT(lanes=3, max_length=30, out_bits=16, guard_bits=4, order="lazy"),
    SPLIT(lanes=4, max_length=30, bits=2, input_scale=3.0, guard_bits=8),
    SPLIT(lanes=2, max_length=60, order="lazy", min_length=30),
    SPLIT(lanes=1, max_length=40, order="lazy", guard_bits=4, out_bits=4, min_length=9),
    SPLIT.preset("plus", lanes=1, max_length=9),
    SPLIT.preset("plus", lanes=4, max_length=30),
    SPLIT.preset("plus", lanes=9, max_length=90, bits=10, input_scale=0.003),
]


@pytest.mark.parametrize("parameters, message", [
    ({"reciprocal": "table"}, "Parameter reciprocal must be divider for the order weight, "
                              "not 'table'"),
    ({"reciprocal": "table", "order": "lazy", "out_bits": 13},
     "Parameter reciprocal must be divider for more than 12 output bits, not 'table'"),
    ({"min_length": 90}, "Parameter min_length must be 1 where no divider makes reciprocals, "
                         "not 90"),
    ({"min_length": 80, "order": "lazy"},
     "Parameter min_length must be 1, or at least 81 for a serial divider to be in time, not 80"),
    ({"min_length": 90, "order": "lazy", "max_length": 89},
     "Parameter min_length must be at most max_length, 89, not 90"),
])
def test_refused(parameters, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        SPLIT(**parameters)


# Exponentials ------------------------------------------------------------------------------------

@pytest.mark.parametrize("bits, scale", [(2, 8.0), (8, 0.125), (8, 0.3), (12, 0.001), (16, 1e-4)])
@pytest.mark.parametrize("guard", [0, 4])
def test_exponentials(bits, scale, guard):
    """Within one unit of the last place, and never rising with the distance."""
    config = SPLIT(bits=bits, input_scale=scale, guard_bits=guard)
    words = np.array(config.exponentials)
    exact = np.exp(-scale * np.arange(len(words))) * (1 << config.fraction_bits)
    assert words[0] == 1 << config.fraction_bits
    assert (np.diff(words) <= 0).all()
    assert np.abs(words - exact).max() < 1.0


def test_divider_and_table_agree():
    x = np.random.default_rng(5).integers(-128, 128, (50, 64))
    other = SPLIT.preset("plus", reciprocal="divider")
    assert np.array_equal(model.run(PLUS, x), model.run(other, x))


# Exactness ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("length", [64, 128, 512])
def test_mean_error_is_that_of_rounding(length):
    """Within 5 % of float64 rounded to 8 bits, with the inputs the peers were measured with."""
    scale = 24 / 128
    config = SPLIT.preset("plus", input_scale=scale)
    z = np.random.default_rng(20250000 + length).normal(0, 3, (1024, length))
    x = np.clip(np.rint(z / scale), -128, 127).astype(np.int64)
    p = np.exp((x - x.max(1, keepdims=True)) * scale)
    p /= p.sum(1, keepdims=True)
    error = np.abs(model.run(config, x) * config.output_scale - p).mean()
    floor = np.abs(np.minimum(np.floor(p * 256 + 0.5), 255) / 256 - p).mean()
    assert error <= 1.05 * floor


@pytest.mark.parametrize("out_bits", [4, 8, 12, 16])
def test_one_output_step(out_bits):
    """With guard bits, no output is wrong by more than a step and a half of its own size."""
    config = SPLIT(out_bits=out_bits, guard_bits=4, max_length=64)
    x = np.random.default_rng(6).integers(-60, 60, (200, 64))
    p = np.exp((x - x.max(1, keepdims=True)) * config.input_scale)
    p /= p.sum(1, keepdims=True)
    assert np.abs(model.run(config, x) * config.output_scale - p).max() < 1.5 * 2.0 ** -out_bits


def test_one_is_the_largest_output():
    for config in SPLIT(), PLUS:
        assert model.run(config, np.array([3])).tolist() == [255]
        assert model.run(config, np.array([3, 3])).tolist() == [128, 128]


# Hardware ----------------------------------------------------------------------------------------

@pytest.fixture(params=CONFIGS, ids=lambda config: config.name)
def config(request):
    return request.param


@pytest.mark.parametrize("gaps, stalls", [(0, 0), (0.3, 0.3)])
def test_equals_the_model(config, gaps, stalls):
    rows, masks = random_rows(config, 16, np.random.default_rng(1))
    outputs, _ = run_rows(config.create(), rows, masks, gaps=gaps, stalls=stalls)
    assert outputs == [model.run(config, x, mask).tolist()
                       for x, mask in zip(rows, masks, strict=True)]


def test_latency(config):
    for row in random_rows(config, 2, np.random.default_rng(2))[0]:
        _, latencies = run_rows(config.create(), [row], [np.zeros(len(row), bool)])
        assert latencies == [config.row_latency(-(-len(row) // config.lanes))]

"""Split softmax: its exponentials, its exactness."""

import numpy as np
import pytest

import rtl
from sim import model
from sim.testing.refusal import refused

SPLIT = rtl.unit("softmax-split")
PLUS = SPLIT.preset("plus")


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
    with refused(message):
        SPLIT.preset("paper", **parameters)


# Exponentials ------------------------------------------------------------------------------------

@pytest.mark.parametrize("bits, scale", [(2, 8.0), (8, 0.125), (8, 0.3), (12, 0.001), (16, 1e-4)])
@pytest.mark.parametrize("guard", [0, 4])
def test_exponentials(bits, scale, guard):
    """Within one unit of the last place, and never rising with the distance."""
    config = SPLIT.preset("paper", bits=bits, input_scale=scale, guard_bits=guard)
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
    config = SPLIT.preset("paper", out_bits=out_bits, guard_bits=4, max_length=64)
    x = np.random.default_rng(6).integers(-60, 60, (200, 64))
    p = np.exp((x - x.max(1, keepdims=True)) * config.input_scale)
    p /= p.sum(1, keepdims=True)
    assert np.abs(model.run(config, x) * config.output_scale - p).max() < 1.5 * 2.0 ** -out_bits


def test_one_is_the_largest_output():
    for config in SPLIT.preset("paper"), PLUS:
        assert model.run(config, np.array([3])).tolist() == [255]
        assert model.run(config, np.array([3, 3])).tolist() == [128, 128]

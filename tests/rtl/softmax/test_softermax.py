"""Softermax: its tables, its limits."""

import math

import numpy as np
import pytest

import rtl
from sim import model
from sim.testing.refusal import refused

SOFTERMAX = rtl.unit("softmax-softermax")

# One logit step is a quarter octave: the published format, without a conversion.
QUARTER = math.log(2) / 4


def real(config, x):
    """Outputs of one row as real numbers."""
    return model.run(config, np.asarray(x)) * config.output_scale


def test_published_tables():
    config = SOFTERMAX.preset("paper", input_scale=QUARTER)
    assert config.position_factors == (1, 0)
    assert config.fractions == (32768, 38968, 46341, 55109)
    assert config.exponentials[:5] == (32768, 55109 >> 1, 46341 >> 1, 38968 >> 1, 16384)
    assert config.reciprocals[0] == 128
    assert config.output_scale == 1 / 128


@pytest.mark.parametrize("parameters, message", [
    ({"exp_fraction_bits": 6, "sum_fraction_bits": 7},
     "Parameter sum_fraction_bits must be at most exp_fraction_bits, 6, not 7"),
    ({"input_scale": 17.0}, "Parameter input_scale must be at most 16, not 17.0"),
])
def test_refused(parameters, message):
    with refused(message):
        SOFTERMAX.preset("paper", **parameters)


def test_reciprocals():
    for segments, worst in (2, 0.045), (4, 0.014), (8, 0.004), (16, 0.0012):
        config = SOFTERMAX.preset("paper", reciprocal_fraction_bits=12, sum_fraction_bits=15,
                           reciprocal_segments=segments)
        exact = 1 / (1 + np.arange(len(config.reciprocals)) / len(config.reciprocals))
        error = np.array(config.reciprocals) / 4096 * (1 / exact) - 1
        assert np.abs(error).max() < worst


# Traps -------------------------------------------------------------------------------------------

def test_maximum_does_not_drift():
    """Rises of an integer maximum are exact shifts, in any number of beats."""
    ramp = np.arange(64) - 64
    results = [model.run(SOFTERMAX.preset("paper", lanes=lanes, sum_fraction_bits=15), ramp)
               for lanes in (1, 4, 16, 64)]
    assert np.ptp(results, axis=0).max() <= 1


def test_tails_of_long_rows():
    """A sum of 6 fraction bits loses small exponentials; with 15 they count."""
    row = np.r_[127, np.full(511, 127 - 64)]
    exact = 1 / (1 + 511 * np.exp(-8.0))
    paper, plus = SOFTERMAX.preset("paper", lanes=1), SOFTERMAX.preset("plus", lanes=1)
    assert real(paper, row)[0] - exact > 0.1
    assert abs(real(plus, row)[0] - exact) < 0.02


def test_outputs_are_coarse():
    paper = SOFTERMAX.preset("paper")
    assert real(paper, np.zeros(384, np.int64)).sum() == 0
    assert real(paper, np.zeros(197, np.int64)).sum() == pytest.approx(1.539, abs=1e-3)
    wide = SOFTERMAX.preset("plus", out_bits=16)
    assert real(wide, np.zeros(384, np.int64)).sum() == pytest.approx(1.0, abs=0.01)


def test_one_is_not_passed():
    """A truncated sum may be less than its only exponential."""
    for config in SOFTERMAX.preset("paper"), SOFTERMAX.preset("plus"):
        x = np.arange(-128, 128)[:, None]
        y = real(config, x)
        assert (y <= 1).all() and (y > 0.97).all()

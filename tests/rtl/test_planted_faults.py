"""Faults planted in the arithmetic of the hardware alone: each shows within a few directed rows.

The hardware is built from a configuration of which one derived quantity is wrong, while the model
keeps the right one. Faults of the handshake, of ``keep`` and of ``mask`` stand in
``tests/sim/compiled``, those that hardware and model would share in ``tests/sim/model``, those of
the attention engines in ``tests/rtl/attention``.
"""

import dataclasses

import numpy as np
import pytest

import rtl
from rtl.layernorm import affine
from rtl.softmax import rexp, softermax, split
from sim import model
from sim.stimuli import layernorm as layernorm_stimuli
from sim.testing.layernorm import simulate
from sim.testing.pysim import run_rows

LANES, LENGTH = 2, 16


def doctored(config, **faults):
    """Return the configuration with quantities replaced by what a function makes of them."""
    wrong = {name: fault(getattr(config, name)) for name, fault in faults.items()}
    other = object.__new__(type(type(config).__name__, (type(config),), wrong))
    other.__dict__.update({field.name: getattr(config, field.name)
                           for field in dataclasses.fields(config)})
    return other


def word(*place, by=1):
    """Return a function that changes one word of a table: at the place of its row, and in it."""
    def fault(words):
        first, *rest = place
        changed = word(*rest, by=by)(words[first]) if rest else words[first] + by
        return (*words[:first], changed, *words[first + 1:])
    return fault


def one_less(value):
    return value - 1


# Softmax

def softmax_differs(config, faulty):
    """Whether hardware of the second configuration differs from the model of the first one."""
    low, high = -(1 << (config.bits - 1)), (1 << (config.bits - 1)) - 1
    rng = np.random.default_rng(1)
    rows = [np.full(LENGTH, high), np.full(LENGTH, low), np.arange(LENGTH) * -3 + high]
    rows += [np.clip(np.rint(rng.normal(0, 1.5 / config.input_scale, LENGTH)), low, high)
             for _ in range(8)]
    # Each distance to the maximum that a word may stand for.
    rows += [np.array([high, *range(start, max(start - LENGTH + 1, low - 1), -1)])
             for start in range(high, high - 6 * LENGTH, 1 - LENGTH)]
    rows = [row.astype(np.int64) for row in rows]
    masks = [np.zeros(len(row), bool) for row in rows]
    outputs, _ = run_rows(faulty.create(), rows, masks)
    return outputs != [model.run(config, row).tolist() for row in rows]


SOFTMAX = {
    "word off by one, e2": ("softmax-e2", "plus", {"outputs": word(0, 12)}),
    "word off by one, octaves of e2": ("softmax-e2", "paper", {"outputs": word(0, 3)}),
    "logarithm off by one, e2": ("softmax-e2", "plus", {"sum_logs": word(66)}),
    "sum one bit short, e2": ("softmax-e2", "plus", {"sum_bits": one_less}),
    "sum one bit short, octaves of e2": ("softmax-e2", "paper", {"sum_bits": one_less}),
    "reciprocal off by one, softermax": ("softmax-softermax", "paper", {"segment_ends": word(1)}),
    "exponential off by one, rexp": ("softmax-rexp", "paper", {"exponentials": word(1)}),
    "alpha off by one, rexp": ("softmax-rexp", "paper", {"alphas": word(2)}),
    "sigma off by one, lut2d": ("softmax-lut2d", "plus", {"sigma": word(8, 16)}),
}


@pytest.mark.parametrize("fault", SOFTMAX)
def test_softmax(fault):
    unit, preset, faults = SOFTMAX[fault]
    config = rtl.unit(unit).preset(preset, lanes=LANES, max_length=LENGTH, bits=7)
    assert softmax_differs(config, doctored(config, **faults))


def test_no_fault_in_softmax():
    config = rtl.unit("softmax-e2")(lanes=LANES, max_length=LENGTH, bits=7)
    assert not softmax_differs(config, doctored(config))


@pytest.mark.parametrize("module, unit", [
    (rexp, "softmax-rexp"), (split, "softmax-split"), (softermax, "softmax-softermax")])
def test_truncation_for_rounding_in_softmax(module, unit, monkeypatch):
    """The last product of an element is rounded half up; cut off, it differs."""
    config = rtl.unit(unit).preset("plus", lanes=LANES, max_length=LENGTH, bits=7)
    monkeypatch.setattr(module, "half", lambda shift: 0)
    assert softmax_differs(config, config)


# LayerNorm

def layernorm_differs(config, faulty):
    """Whether hardware of the second configuration differs from the model of the first one."""
    rows = layernorm_stimuli.random_rows(config, np.random.default_rng(2), 200)
    return bool(simulate(config, [rows.row(k)[0] for k in range(len(rows))],
                         dut=faulty.create())["mismatches"])


LAYERNORM = {
    "root off by one, ai": ("layernorm-ai", {"rsqrt": word(16)}),
    "code off by one, ai": ("layernorm-ai", {"codes": word(100, 0)}),
    # A word has some 14 bits that one step of the output does not see.
    "bit of a root, exact": ("layernorm-exact", {"rsqrt": word(4, 0, by=1 << 14)}),
    "gamma of the next channel": ("layernorm-exact", {"gammas": lambda g: (*g[1:], g[0])}),
    "beta off by one": ("layernorm-ai", {"betas": word(5)}),
}


@pytest.mark.parametrize("fault", LAYERNORM)
def test_layernorm(fault):
    unit, faults = LAYERNORM[fault]
    config = layernorm_stimuli.channel_parameters(
        rtl.unit(unit)(lanes=LANES, channels=12), np.random.default_rng(3))
    assert layernorm_differs(config, doctored(config, **faults))


def test_no_fault_in_layernorm():
    config = rtl.unit("layernorm-ai")(lanes=LANES, channels=12)
    assert not layernorm_differs(config, doctored(config))


@pytest.mark.parametrize("unit", ["layernorm-ai", "layernorm-exact"])
def test_truncation_for_rounding_in_layernorm(unit, monkeypatch):
    config = rtl.unit(unit)(lanes=LANES, channels=12)
    monkeypatch.setattr(affine, "half", lambda shift: 0)
    assert layernorm_differs(config, config)

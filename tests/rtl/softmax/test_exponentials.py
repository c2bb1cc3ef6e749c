"""Exponentials as codes, without division."""

import numpy as np
import pytest

from rtl.softmax.exponentials import ExponentialsConfig
from sim.model.softmax.two_pass import distances
from sim.testing.pysim import run_rows

CONFIGS = [
    ExponentialsConfig(bits=10, input_scale=0.03125, out_bits=8, lanes=1, max_length=9),
    ExponentialsConfig(bits=6, input_scale=0.25, out_bits=8, lanes=3, max_length=20),
    ExponentialsConfig(bits=8, input_scale=0.1, out_bits=12, lanes=2, max_length=7),
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_codes(config):
    d = np.arange(len(config.codes))
    exact = np.minimum(np.floor(2.0 ** config.out_bits * np.exp(-d * config.input_scale) + 0.5),
                       2.0 ** config.out_bits - 1)
    assert config.codes[0] == (1 << config.out_bits) - 1 and config.codes[-1] > 0
    assert np.abs(exact - config.codes).max() <= 1
    assert (np.diff(config.codes) <= 0).all()


@pytest.mark.parametrize("gaps, stalls", [(0, 0), (0.4, 0.4)])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_equals_the_table(config, gaps, stalls):
    rng = np.random.default_rng(1)
    half = 1 << (config.bits - 1)
    rows, masks, wanted = [], [], []
    table = np.zeros(1 << config.bits, int)
    table[:len(config.codes)] = config.codes
    for _ in range(30):
        x = rng.integers(-half, half, int(rng.integers(1, config.max_length + 1)))
        if rng.random() < 0.3:
            x = np.maximum(x, half - 9)
        mask = rng.random(len(x)) < rng.choice([0, 0.4, 1])
        d = distances(x[None, None], mask[None, None], config.bits)[0, 0]
        rows.append(x)
        masks.append(mask)
        wanted.append(np.where(mask, 0, table[d.astype(int) & ((1 << config.bits) - 1)]).tolist())
    outputs, _ = run_rows(config.create(), rows, masks, gaps=gaps, stalls=stalls)
    assert [list(row) for row in outputs] == wanted


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_latency(config):
    row = np.arange(min(config.lanes, config.max_length))
    _, latencies = run_rows(config.create(), [row], [np.zeros(len(row), bool)])
    assert latencies == [config.latency]

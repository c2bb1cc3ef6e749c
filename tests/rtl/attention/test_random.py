"""The attention engine at random configurations, against its model."""

import itertools

import numpy as np
import pytest

import rtl
from rtl.attention.predict.predictors import PREDICTORS
from rtl.parameter import Choice
from sim.stimuli.provider import random_config
from sim.testing.attention import random_set, random_sets, run_sets

Attention = rtl.unit("attention")


# Without a sort in hardware, which takes this simulator long: the compiled tests have it.
@pytest.mark.parametrize("seed", [
    4, 8, 17, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (5, 15, 16))])
def test_equals_the_model(seed):
    """In Amaranth's own simulator; the seed in the test's name repeats it."""
    rng = np.random.default_rng([seed, 1])
    config = random_config(Attention, rng, store=Choice(("sets",)))
    sets = (random_sets(config, rng, 8) if config.reuse else
            [random_set(config, rng) for _ in range(5)])
    gaps, stalls = rng.choice([0.0, 0.5], 2).tolist()
    outputs, cycles = run_sets(config.create(), sets, gaps=gaps, stalls=stalls, seed=seed)
    assert outputs == [s.expected(config) for s in sets], config.to_toml()
    assert not cycles["error"]


def test_every_kind_is_drawn():
    configs = [random_config(Attention, np.random.default_rng([seed, 1])) for seed in range(250)]
    assert {config.rule for config in configs if config.select == "predict"} == {
        "mean", "threshold", "top-k"}
    assert {config.predictor for config in configs if config.select == "predict"} == {*PREDICTORS}
    assert {config.sort for config in configs if config.select == "greedy"} == {
        "hardware", "host"}
    assert {config.select for config in configs if config.lanes > 1} == {
        "none", "predict", "greedy"}
    assert {config.lanes for config in configs if config.select == "predict"} >= {1, 2, 3, 4}
    assert {config.bits for config in configs if config.dsp_packing} >= {7, 8}
    assert sum(config.reuse for config in configs) > 4
    assert {(config.datapath, config.run_time, config.sink) for config in configs} == {
        *itertools.product(("two-pass", "online"), (False, True), (False, True))}
    assert {config.window > 0 for config in configs if config.store == "resident"} == {True, False}


@pytest.mark.parametrize("store", ["sets", "resident"])
def test_every_kind_of_bias_is_drawn(store):
    only = {"store": Choice((store,)), "select": Choice(("none",)), "reuse": Choice((False,))}
    configs = [random_config(Attention, np.random.default_rng([seed, 2]), **only)
               for seed in range(150)]
    assert {config.store for config in configs} == {store}
    assert {(config.datapath, config.bias) for config in configs} == {
        *itertools.product(("two-pass", "online"), ("none", "mask", "add"))}

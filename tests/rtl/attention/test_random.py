"""The attention engine at random configurations, against its model."""

import numpy as np
import pytest

import rtl
from rtl.attention.predict.predictors import PREDICTORS
from sim.testing.attention import random_set, random_sets, run_sets

Attention = rtl.unit("attention")


def random_config(rng):
    """A small configuration: every parameter is drawn, those of what is not in use as well."""
    def draw(*values):
        return values[int(rng.integers(len(values)))]

    kind = draw("dense", "predict", "predict", "predict", "greedy", "greedy", "reuse")
    io_lanes = int(rng.integers(1, 5))
    dim = io_lanes * int(rng.integers(1, 4))
    bits = int(rng.integers(4, 9))
    scales = {f"{name}_scale": float(2.0 ** rng.integers(-5, 1)) * draw(1.0, 1.0, 0.7)
              for name in ("query", "key", "value", "output")}
    predictor = draw(*PREDICTORS)
    return Attention(
        bits=bits, **scales, max_keys=int(rng.integers(1, 30)), dim=dim, io_lanes=io_lanes,
        lanes=int(rng.integers(1, 5)) if kind == "dense" else 1,
        logit_bits=int(rng.integers(4, 12)), logit_scale=float(2.0 ** rng.integers(-4, 1)),
        softmax=draw("softmax-e2:plus", "softmax-split:plus", "softmax-rexp:paper"),
        weight_bits=int(rng.integers(6, 13)), out_bits=int(rng.integers(4, 13)),
        causal=draw(False, kind != "greedy"), memory=draw("auto", "block", "distributed"),
        select=kind if kind in ("predict", "greedy") else "none", reuse=kind == "reuse",
        predictor="sign" if predictor == "prefix" and dim == 1 else predictor,
        prefix_dims=int(rng.integers(1, max(dim, 2))), predict_lanes=draw(1, 2, 4, 8),
        rule=draw("mean", "threshold", "top-k"), mean_shift=int(rng.integers(0, 5)),
        threshold=int(rng.integers(0, 300)), top_k=int(rng.integers(1, 20)),
        iterations_per_key=float(rng.uniform(0.01, dim)), percent=float(rng.uniform(0.001, 100)),
        min_skip=draw(False, True), empty=draw("all", "first"), sort=draw("hardware", "host"),
        start_lanes=1 if io_lanes % 2 else draw(1, 2), scan_lanes=draw(2, 4, 8),
        maps=draw(1, 2, 4), map_queries=draw(0, int(rng.integers(1, 9))),
        code_bits=int(rng.integers(4, 13)))


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=[pytest.mark.slow] if seed >= 6 else [])
                                  for seed in range(48)])
def test_equals_the_model(seed):
    """The seed in the test's name repeats it."""
    rng = np.random.default_rng([seed, 1])
    config = random_config(rng)
    sets = (random_sets(config, rng, 8) if config.reuse else
            [random_set(config, rng) for _ in range(5)])
    gaps, stalls = rng.choice([0.0, 0.5], 2).tolist()
    outputs, cycles = run_sets(config.create(), sets, gaps=gaps, stalls=stalls, seed=seed)
    assert outputs == [s.expected(config) for s in sets], config.to_toml()
    assert not cycles["error"]


def test_every_kind_is_drawn():
    configs = [random_config(np.random.default_rng([seed, 1])) for seed in range(48)]
    assert {config.rule for config in configs if config.select == "predict"} == {
        "mean", "threshold", "top-k"}
    assert {config.predictor for config in configs if config.select == "predict"} == {*PREDICTORS}
    assert {config.sort for config in configs if config.select == "greedy"} == {
        "hardware", "host"}
    assert sum(config.reuse for config in configs) > 4

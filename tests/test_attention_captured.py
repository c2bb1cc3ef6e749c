"""The attention engine on queries, keys and values of a real Transformer."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from sim import attention_data, captured, metrics, model, prefix_basis, reference, runner
from sim.bench.attention import AttentionJob, KeySet
from sim.model.attention import kept

SAMPLE = Path(__file__).parent / "data" / "minilm_heads.npz"
BASIS = SAMPLE.with_name("minilm_basis.npz")
SELECTIONS = {
    "dense": {}, "mean": {"select": "predict"},
    "top-k": {"select": "predict", "rule": "top-k", "top_k": 45, "memory": "distributed"},
    "prefix": {"select": "predict", "predictor": "prefix", "rule": "top-k", "top_k": 22},
}


@pytest.fixture(scope="module")
def heads():
    return captured.load_heads(SAMPLE)


def exact_top(head, count):
    """Softmax mass, and error of the output, of the ``count`` largest exact scores alone."""
    q, k, v = head.real()
    scores = q @ k.T / math.sqrt(q.shape[1])
    order = np.argsort(-scores, axis=1)
    hidden = np.zeros(scores.shape, bool)
    np.put_along_axis(hidden, order[:, count:], True, axis=1)
    mass = (reference.softmax(scores) * ~hidden).sum(axis=1).mean()
    error = metrics.attention_errors(reference.attention(q, k, v),
                                     reference.softmax(scores, hidden) @ v)
    return mass, error.relative


@pytest.mark.parametrize("part, mass, error", [(8, 0.8, 0.2), (2, 0.97, 0.04)])
def test_real_attention_is_flat(heads, part, mass, error):
    """No choice of keys, however good, stands for all of them."""
    found = np.mean([exact_top(head, 181 // part) for head in heads], axis=0)
    assert found[0] < mass and found[1] > error


@pytest.mark.parametrize("parameters, relative", [
    ({}, 0.14), ({"select": "predict", "rule": "top-k", "top_k": 90}, 0.32)])
def test_error(heads, parameters, relative):
    for head in heads:
        q, k, v = head.real()
        config = attention_data.fitted(q, k, v, **parameters)
        outputs = model.run(config, *attention_data.quantised(config, q, k, v))
        found = metrics.attention_errors(reference.attention(q, k, v),
                                         outputs * config.output_scale)
        assert found.relative < relative


def test_codes_of_the_sample_are_those_of_the_engine(heads):
    for head in heads:
        config = attention_data.fitted(*head.real())
        config = dataclasses.replace(config, query_scale=head.query_scale)
        for x, codes in zip(attention_data.quantised(config, *head.real()),
                            (head.q, head.k, head.v), strict=True):
            assert (x == np.clip(codes.astype(int), -127, 127)).all()


def cases():
    for simulator in runner.SIMULATORS:
        for number, name in enumerate(SELECTIONS):
            yield pytest.param(simulator, name, number, id=f"{simulator}-{name}",
                               marks=[] if (simulator, name) == ("icarus", "top-k")
                               else [pytest.mark.slow])


@pytest.mark.parametrize("simulator, name, number", [*cases()])
def test_equals_model(heads, simulator, name, number, tmp_path, store):
    try:
        runner.check_simulator(simulator)
    except runner.SimulatorError as error:
        pytest.skip(str(error))
    q, k, v = heads[number + 2].real()
    if name == "prefix":
        basis = prefix_basis.load(BASIS)[number + 2]
        q, k = basis.queries(q), basis.keys(k)
    config = attention_data.fitted(q, k, v, **SELECTIONS[name])
    q, k, v = attention_data.quantised(config, q, k, v)
    # A padded set and a whole one, of other queries.
    mask = np.arange(len(k)) >= 150
    sets = [KeySet(part, k, v, hidden, model.run(config, part, k, v, mask=hidden))
            for part, hidden in ((q[:4], mask), (q[4:10], ~mask & mask))]
    assert 1 < kept(config, q, k, mask).sum(axis=1).mean() <= 150
    design = runner.Design.of(config)
    simulation = runner.Simulation(design, simulator, tmp_path / "simulation", store=store)
    results = simulation.run(AttentionJob(config, sets, 1, "core", design.latency),
                             ["sets_back_to_back", "sets_with_gaps_and_stalls"],
                             module="sim.bench.attention")
    assert [f"{result.test}: {result.failure}" for result in results if result.failure] == []
    assert len(results) == 2
    assert all(result.outputs == 10 * 32 and not result.mismatches for result in results)


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return tmp_path_factory.getbasetemp().parent / "verilator"

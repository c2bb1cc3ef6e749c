"""The attention engines on queries, keys and values of a real Transformer."""

import dataclasses
import math
import os
from pathlib import Path

import numpy as np
import pytest

from rtl import unit
from sim import metrics, model, reference
from sim.accuracy import AccuracyError, capture, prefix_basis
from sim.accuracy.texts import read_sentences
from sim.bench.attention import AttentionJob, KeySet
from sim.data import captured, sample, synthetic
from sim.data.real import DATA
from sim.model.attention.reuse import AttentionMap
from sim.model.attention.selection import kept
from sim.testing.compiled import check_job, design_of

SAMPLE = sample("heads")
BASIS = SAMPLE.with_name("minilm_basis.npz")
PRESETS = unit("attention").PRESETS
ENGINES = {
    "dense": {}, "mean": {"select": "predict"},
    "top-k": {"select": "predict", "predictor": "leading-one", "rule": "top-k", "top_k": 45,
              "memory": "distributed"},
    "prefix": {"select": "predict", "predictor": "prefix", "rule": "top-k", "top_k": 22},
    "conservative": PRESETS["conservative"], "aggressive": PRESETS["aggressive"],
    "reuse": {"reuse": True, "maps": 2, "map_queries": 8}, "online": {"datapath": "online"},
}
# Tokens of further texts: few, an odd number, and as many as the engine takes.
LENGTHS = (33, 97, 256)


@pytest.fixture(scope="module")
def heads():
    return captured.load_heads(SAMPLE)


@pytest.fixture(scope="module")
def texts():
    """The same heads at texts of other lengths, by the length."""
    folder = os.environ.get(DATA)
    if not folder:
        pytest.skip(f"{DATA} names no folder with stsb/sts-dev.tsv")
    try:
        reader = capture.open_reader()
        sentences = read_sentences(Path(folder) / "stsb" / "sts-dev.tsv")
    except (AccuracyError, OSError) as error:
        pytest.skip(str(error))
    return {length: capture.capture_heads(reader, sentences, rows=5, lengths=(length,))
            for length in LENGTHS}


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
        config = synthetic.fitted(q, k, v, **parameters)
        outputs = model.run(config, *synthetic.quantised(config, q, k, v))
        found = metrics.attention_errors(reference.attention(q, k, v),
                                         outputs * config.output_scale)
        assert found.relative < relative


@pytest.mark.parametrize("term_bits, octave_bits, relative", [
    (8, 2, 0.078), (10, 2, 0.043), (12, 2, 0.032), (10, 4, 0.036), (12, 4, 0.026),
    (14, 4, 0.025)])
def test_error_in_one_pass(heads, term_bits, octave_bits, relative):
    """Means over the heads."""
    errors = []
    for head in heads:
        q, k, v = head.real()
        config = synthetic.fitted(q, k, v, datapath="online", term_bits=term_bits,
                                  octave_bits=octave_bits)
        outputs = model.run(config, *synthetic.quantised(config, q, k, v))
        errors.append(metrics.attention_errors(reference.attention(q, k, v),
                                               outputs * config.output_scale).relative)
    assert round(np.mean(errors), 3) == relative


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name, relative", [("dense", 0.08), ("reuse", 0.07), ("online", 0.05)])
def test_error_at_other_lengths(heads, texts, length, name, relative):
    """Scales that fit a head at one text do at another."""
    errors = []
    for number, head in enumerate(texts[length]):
        config, (q, k, v) = engine(name, number, heads), head.real()
        outputs = model.run(config, *synthetic.quantised(config, q, k, v))
        errors.append(metrics.attention_errors(reference.attention(q, k, v),
                                               outputs * config.output_scale).relative)
    assert np.mean(errors) < relative


def test_codes_of_the_sample_are_those_of_the_engine(heads):
    for head in heads:
        config = synthetic.fitted(*head.real())
        config = dataclasses.replace(config, query_scale=head.query_scale)
        for x, codes in zip(synthetic.quantised(config, *head.real()),
                            (head.q, head.k, head.v), strict=True):
            assert (x == np.clip(codes.astype(int), -127, 127)).all()


# Hardware

def vectors(name, number, heads):
    """Real queries, keys and values of a head, as the engine is to meet them."""
    q, k, v = heads[number].real()
    if name == "prefix":
        basis = prefix_basis.load(BASIS)[number]
        q, k = basis.queries(q), basis.keys(k)
    return q, k, v


def engine(name, number, heads):
    """Engine whose scales fit a head at one text, and that takes texts of any length."""
    return synthetic.fitted(*vectors(name, number, heads), max_keys=max(LENGTHS),
                                 **ENGINES[name])


def reuser(config, leader, v, number):
    """Values that reuse the map of a set, which is kept under a number."""
    y = AttentionMap.of(config, leader.q, leader.k, leader.mask).run(config, v)
    return KeySet(v[:0], v[:0], v, np.zeros(0, bool), y, 1 | number << 1)


def simulate(config, sets, tests):
    """Compare an engine with its model."""
    job = AttentionJob(config, sets, 1, "core", design_of(config).latency)
    results = check_job(job, tests)
    outputs = sum(keys.y.size for keys in sets)
    assert len(results) == len(tests) and all(result.outputs == outputs for result in results)


def engines():
    """Engines and heads."""
    for number, name in enumerate(ENGINES):
        yield pytest.param(name, (number + 2) % len(capture.HEADS), id=name,
                           # So many dimensions and keys take long to emit.
                           marks=pytest.mark.slow)


@pytest.mark.usefixtures("verilator")
@pytest.mark.parametrize("name, number", [*engines()])
def test_equals_model(heads, name, number):
    """A padded set and a whole one, of other queries; maps of both, for another head's values."""
    config = engine(name, number, heads)
    q, k, v = synthetic.quantised(config, *vectors(name, number, heads))
    mask = np.arange(len(k)) >= 150
    sets = [KeySet(part, k, v, hidden, model.run(config, part, k, v, mask=hidden), use)
            for part, hidden, use in ((q[:4], mask, 0), (q[4:10], ~mask & mask, 2 * config.reuse))]
    assert 1 < kept(config, q, k, mask).sum(axis=1).mean() <= 150
    if config.reuse:
        others = [synthetic.quantised(config, *heads[number + place].real())[2]
                  for place in (1, 2, 3)]
        sets += [reuser(config, sets[place], v, place)
                 for place, v in zip((1, 0, 1), others, strict=True)]
    simulate(config, sets, ["sets_back_to_back", "sets_with_gaps_and_stalls"])


@pytest.mark.usefixtures("verilator")
@pytest.mark.parametrize("name, number", [*engines()])
def test_equals_model_at_other_lengths(heads, texts, name, number):
    """Texts of up to 256 tokens behind each other, in the engine that one of 181 was fitted to."""
    config = engine(name, number, heads)
    sets = []
    for length, own in texts.items():
        q, k, v = synthetic.quantised(config, *vectors(name, number, own))
        assert len(k) == length and 1 < kept(config, q, k).sum(axis=1).mean()
        sets.append(KeySet(q, k, v, np.zeros(length, bool), model.run(config, q, k, v)))
        if config.reuse:
            other = synthetic.quantised(config, *own[number + 1].real())[2]
            sets.append(reuser(config, sets[-1], other, 0))
    simulate(config, sets, ["sets_back_to_back"])

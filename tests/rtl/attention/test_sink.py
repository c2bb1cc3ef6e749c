"""Sink logits of the attention engine: of a configuration, or of each set."""

import numpy as np
import pytest

import rtl
from rtl.attention.parameters import SetParameters
from rtl.attention.sink import Sink
from rtl.fixed import Scaling
from sim import model, reference
from sim.data import captured, sample, synthetic
from sim.testing.attention import Set, random_set, run_sets
from sim.testing.refusal import refused

Attention = rtl.unit("attention")
BOTH = pytest.mark.parametrize("datapath", ["two-pass", "online"])


def small(datapath, **parameters):
    return Attention(dim=2, io_lanes=2, max_keys=5, lanes=2, sink=True, datapath=datapath,
                     **parameters)


@BOTH
def test_sink_of_a_configuration(datapath):
    random = np.random.default_rng(1)
    config = small(datapath, sink_logit=100)
    sets = [random_set(config, random) for _ in range(8)]
    outputs, _ = run_sets(config.create(), sets, gaps=0.2, stalls=0.2)
    assert outputs == [one.expected(config) for one in sets]


@BOTH
def test_sinks_change_between_sets_of_one_beat(datapath):
    """High, low, none: each set has its own, and no cycle lies between them."""
    random = np.random.default_rng(2)
    config = small(datapath, scales="run-time")
    usual = config.set_parameters
    sinks = [Sink(511), Sink(-512), Sink(40, False), Sink(0), Sink(511, False)]
    sets = [Set(*random.integers(-128, 128, (3, 2, 2)),
                parameters=SetParameters(usual.logit, usual.output, sink=sinks[number % 5]))
            for number in range(15)]
    outputs, _ = run_sets(config.create(), sets)
    assert outputs == [one.expected(config) for one in sets]
    with_one, without = outputs[0::5], outputs[4::5]
    assert np.any(without) and not np.array_equal(with_one, without)


@BOTH
@pytest.mark.parametrize("real", [None, 0.0, 2.0])
def test_error_of_a_captured_head(datapath, real):
    """Against attention in float64 with one key more, whose value is 0."""
    q, k, v = captured.load_heads(sample("heads"))[0].real()
    config = synthetic.fitted(q, k, v, datapath=datapath, softmax="softmax-split:plus", sink=True,
                              scales="run-time")
    logit = int((real or 0) / config.logit_scale)
    own = SetParameters.of(config, sink_logit=logit, with_sink=real is not None)
    y = model.run(config, *synthetic.quantised(config, q, k, v), parameters=own)
    scores = q @ k.T / np.sqrt(q.shape[1])
    if real is not None:
        scores = np.concatenate([scores, np.full((len(q), 1), real)], axis=1)
    exact = reference.softmax(scores)[:, :len(k)] @ v
    error = np.linalg.norm(y * config.output_scale - exact) / np.linalg.norm(exact)
    assert error < 0.03


@BOTH
def test_far_above_every_logit(datapath):
    """All weight is the sink's; a sink without a key gives no output either."""
    config = small(datapath, scales="run-time")
    q, k, v = np.random.default_rng(3).integers(-128, 128, (3, 3, 2))
    low = Scaling(1, 63, -400)
    for logit, mask in (low, None), (config.set_parameters.logit, np.ones(3, bool)):
        own = SetParameters(logit, config.set_parameters.output, sink=Sink(511))
        assert not model.run(config, q, k, v, mask, parameters=own).any()


def test_words():
    config = small("online", scales="run-time")
    own = SetParameters.of(config, sink_logit=-3)
    assert own.words[4:] == (0, 0, 0xFFFD, 1) and SetParameters.from_words(config, own.words) == own
    none = SetParameters.of(config, with_sink=False)
    assert none.words[4:] == (0, 0, 0, 0) and not SetParameters.from_words(config, none.words
                                                                           ).sink.valid


def test_wrong_configuration():
    with refused("Parameter sink must be false for reuse, not true"):
        Attention(reuse=True, sink=True)
    with refused("Parameter sink_logit must be in -512..511 for logit_bits 10, not 512"):
        Attention(sink=True, sink_logit=512)

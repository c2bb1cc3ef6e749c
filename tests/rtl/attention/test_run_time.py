"""Scales that come with every set: one design for all heads of a model, changes under load."""

import dataclasses
import itertools
import os
import subprocess

import numpy as np
import pytest

import rtl
from rtl.attention.parameters import SetParameters
from rtl.emit import verilog
from rtl.fixed import Scaling
from sim import model, runner
from sim.accuracy import capture
from sim.accuracy.texts import read_sentences
from sim.bench.attention import KeySet
from sim.compiled.attention import AttentionComparison
from sim.compiled.simulation import CompiledSimulation
from sim.data import captured, sample, synthetic
from sim.data.real import data_file
from sim.errors import RequestError
from sim.jobs import make_job
from sim.stimuli.attention import random_set, random_sets, with_parameters
from sim.testing.attention import Set, run_sets
from sim.testing.compiled import check, design_of
from sim.testing.refusal import refused

Attention = rtl.unit("attention")
SMALL = Attention(dim=6, io_lanes=2, max_keys=13, lanes=3, bits=5, query_scale=0.3,
                  scales="run-time")
ONLINE = dataclasses.replace(SMALL, datapath="online", lanes=2, sink=True, dsp_packing=True)
# One logit step for all heads; what else differs between them comes with the sets.
MODEL = Attention(dim=32, max_keys=181, logit_scale=1 / 16, scales="run-time")


# Hardware against the model

@pytest.mark.parametrize("config, ports", [
    (SMALL, "core"), (ONLINE, "core"),
    pytest.param(Attention(dim=4, io_lanes=4, max_keys=9, causal=True, scales="run-time"), "axis",
                 marks=pytest.mark.slow),
    *(pytest.param(config, "core", marks=pytest.mark.slow) for config in (
        Attention.preset("predict", dim=4, io_lanes=2, max_keys=21, predict_lanes=4, rule="top-k",
                         predictor="prefix", prefix_dims=3, scales="run-time", sink=True),
        Attention.preset("predict", dim=4, io_lanes=2, max_keys=21, predict_lanes=4,
                         scales="run-time"),
        Attention.preset("predict", dim=4, io_lanes=2, max_keys=21, predict_lanes=2,
                         rule="threshold", scales="run-time"),
        Attention.preset("predict", dim=4, io_lanes=1, max_keys=9, predict_lanes=2, causal=True,
                         predictor="sign", scales="run-time"),
        Attention.preset("aggressive", dim=4, io_lanes=2, max_keys=17, scan_lanes=4, sort="host",
                         scales="run-time"),
        # Wide sums, and weights that take two DSP blocks a lane.
        Attention(dim=3, io_lanes=1, max_keys=20, weight_bits=16, out_bits=16, logit_bits=16,
                  logit_scale=2.0 ** -10, softmax="softmax-split", scales="run-time")))],
    ids=lambda value: getattr(value, "name", value))
def test_equals_the_model(verilator, config, ports):
    check(config, random_sets(config, np.random.default_rng(4), 9), ports)


@pytest.mark.parametrize("config, keys, queries", [
    (SMALL, 1, 1), (SMALL, 3, 1), (SMALL, 4, 2), (ONLINE, 1, 1), (ONLINE, 4, 2)],
    ids=lambda value: getattr(value, "datapath", value))
def test_scales_change_between_queries_back_to_back(verilator, config, keys, queries):
    """No cycle lies between the last beat of a row and the first of another set's."""
    random = np.random.default_rng(keys)
    sets = with_parameters(config, random, [
        random_set(config, random, keys, queries) for _ in range(40)])
    check(config, sets, tests=["sets_back_to_back", "sets_with_stalls",
                              "sets_with_gaps_and_stalls"])


def test_extremes_alternate():
    """Sets whose outputs are all saturated are next to others whose outputs are all 0."""
    random = np.random.default_rng(5)
    config = Attention(dim=4, io_lanes=4, max_keys=3, scales="run-time")
    ends = [SetParameters(Scaling(65535, 0, 511), Scaling(65535, 0)),
            SetParameters(Scaling(1, 63, -512), Scaling(1, 63))]
    sets = [Set(*random.integers(-127, 128, (3, 2, 4)), parameters=ends[number % 2])
            for number in range(12)]
    outputs, _ = run_sets(config.create(), sets)
    assert outputs == [one.expected(config) for one in sets]
    assert set(np.unique(outputs[::2])) <= {-128, 0, 127} and not np.any(outputs[1::2])


@pytest.mark.slow
def test_set_waits_for_its_parameters(verilator):
    """Queries, keys and values that come long before the scales wait, and use these."""
    random = np.random.default_rng(6)
    sets = with_parameters(SMALL, random, [random_set(SMALL, random, 5, 1) for _ in range(2)])
    job = make_job(design_of(SMALL), sets)
    with CompiledSimulation(design_of(SMALL), seed=0) as simulation:
        comparison = AttentionComparison(simulation, job, "sets_back_to_back")
        early = {name: comparison.beats(name, job.sets[:1]) for name in "qkv"}
        assert not any(comparison.transfer(early, 0).unsent.values())
        nothing = {name: beats[:0] for name, beats in early.items()}
        comparison.exchange(job.sets[:1], beats=nothing)
        comparison.exchange(job.sets[1:])


@pytest.mark.slow
def test_limits_of_a_long_set_while_parameters_are_taken_ahead():
    """A set whose first outputs are out goes on by its own limits, however many others wait."""
    random = np.random.default_rng(7)
    config = Attention.preset("predict", dim=2, io_lanes=2, max_keys=8, predict_lanes=2,
                              rule="top-k", scales="run-time")
    usual = config.set_parameters
    sets = [Set(random.integers(-127, 128, (queries, 2)),
                *random.integers(-127, 128, (2, 8, 2)),
                parameters=dataclasses.replace(usual, limits=(kept,)))
            for queries, kept in ((40, 1), *[(1, 8)] * 10)]
    outputs, _ = run_sets(config.create(), sets)
    assert outputs == [one.expected(config) for one in sets]


@pytest.mark.slow
@pytest.mark.parametrize("config", [
    *(Attention.preset("predict", dim=4, io_lanes=2, max_keys=9, predict_lanes=2, rule=rule,
                       scales="run-time") for rule in ("mean", "top-k")),
    Attention(datapath="online", dim=2, io_lanes=2, max_keys=9, scales="run-time", sink=True)],
    ids=lambda config: config.name)
def test_lint(verilator, config, tmp_path):
    """Shifts and numbers that are no constants have the widths that they need."""
    source = tmp_path / "design.v"
    source.write_text(verilog.of_unit(config))
    done = subprocess.run(
        [runner.verilator_home() / "bin" / "verilator", "--quiet", "--lint-only", "-Wall",
         "--top-module", f"{config.name}_axis", source],
        env={**os.environ, "VERILATOR_ROOT": str(runner.verilator_home())}, text=True,
        capture_output=True)
    assert (done.returncode, done.stderr) == (0, "")


# Heads of a model

def own_parameters(head, **parameters):
    """Parameters of a head, from the scales that fit it."""
    config = synthetic.fitted(*head.real(), logit_scale=MODEL.logit_scale, **parameters)
    scales = {f"{name}_scale": getattr(config, f"{name}_scale")
              for name in ("query", "key", "value", "output")}
    return config, SetParameters.of(dataclasses.replace(MODEL, **parameters), **scales)


@pytest.mark.parametrize("datapath", ["two-pass", "online"])
def test_captured_heads_through_one_configuration(datapath):
    """What each head gives with its own, fixed scales it gives with parameters, at once."""
    heads = captured.load_heads(sample("heads"))
    configs, parameters = zip(*(own_parameters(head, datapath=datapath) for head in heads),
                              strict=True)
    assert len(set(parameters)) > 3
    integers = [synthetic.quantised(config, *head.real())
                for config, head in zip(configs, heads, strict=True)]
    shared = dataclasses.replace(MODEL, datapath=datapath)
    outputs = model.run(shared, *(np.stack(each) for each in zip(*integers, strict=True)),
                        parameters=parameters)
    for config, vectors, y in zip(configs, integers, outputs, strict=True):
        assert (model.run(config, *vectors) == y).all()


@pytest.mark.slow
def test_all_heads_of_a_model_through_one_configuration():
    try:
        reader = capture.open_reader()
        sentences = read_sentences(data_file("stsb/sts-dev.tsv"))
    except (RequestError, OSError) as error:
        pytest.skip(str(error))
    heads = capture.capture_heads(reader, sentences, rows=4, lengths=(128,),
                                  heads=[*itertools.product(range(6), range(12))])
    assert len(heads) == 72
    for head in heads:
        config, parameters = own_parameters(head)
        vectors = synthetic.quantised(config, *head.real())
        assert (model.run(config, *vectors)
                == model.run(MODEL, *vectors, parameters=parameters)).all()


@pytest.mark.slow
def test_captured_heads_in_one_design(verilator):
    sets = []
    for head in captured.load_heads(sample("heads")):
        config, parameters = own_parameters(head)
        q, k, v = synthetic.quantised(config, *head.real())
        sets.append(KeySet(q[:3], k, v, np.arange(len(k)) > 170, p=np.array([parameters.words])))
    check(MODEL, sets, tests=["sets_back_to_back", "sets_with_gaps_and_stalls"])


# Host

def test_words_are_read_back():
    random = np.random.default_rng(7)
    for _ in range(20):
        one = SetParameters(
            Scaling(int(random.integers(1, 1 << 16)), int(random.integers(64)),
                    int(random.integers(-512, 512))),
            Scaling(int(random.integers(1, 1 << 16)), int(random.integers(64))))
        assert SetParameters.from_words(SMALL, one.words) == one
    assert SetParameters(Scaling(3, 5, -1), Scaling(7, 9)).words == (3, 0xFFFF, 7, 5 | 9 << 8)


def test_limits_of_selections():
    """What a selection goes by is in the words behind the scales."""
    config = Attention.preset("aggressive", dim=4, io_lanes=4, max_keys=20, scales="run-time")
    assert config.limits == ("iterations", "distance") and config.controls == ("clear",)
    own = SetParameters.of(config, iterations=9, distance=70)
    assert own.words[4:] == (9, 70, 0, 0) and SetParameters.from_words(config, own.words) == own
    assert SetParameters.of(config).limits == (config.iterations, config.distance)
    for rule, name in ("mean", "mean_shift"), ("threshold", "threshold"), ("top-k", "top_k"):
        config = Attention.preset("predict", rule=rule, scales="run-time")
        assert SetParameters.of(config, **{name: 3}).limits == (3,)
    assert len(SetParameters.of(SMALL).words) == 4


def test_parameters_of_real_scales():
    """Those of other scales are those that a configuration of these scales has fixed."""
    scales = {"query_scale": 0.03, "key_scale": 0.7, "value_scale": 0.011, "output_scale": 0.2}
    fixed = Attention(dim=48, io_lanes=8, **scales)
    found = SetParameters.of(Attention(dim=48, io_lanes=8, scales="run-time"), offset=5, **scales)
    assert found == SetParameters(Scaling(fixed.logit.multiplier, fixed.logit.shift, 5),
                                  Scaling(fixed.output.multiplier, fixed.output.shift))


def test_offset_shifts_the_logits():
    """By the same steps, up to where they saturate: the weights of the softmax stay, or grow."""
    random = np.random.default_rng(8)
    q, k, v = random.integers(-16, 16, (3, 9, 6))
    usual = SMALL.set_parameters
    config = dataclasses.replace(SMALL, softmax="softmax-split")

    def shifted(offset):
        logit = dataclasses.replace(usual.logit, offset=offset)
        return model.run(config, q, k, v, parameters=dataclasses.replace(usual, logit=logit))

    scores = usual.logit(q @ k.T, SMALL.logit_bits)
    room = 511 - scores.max()
    assert (shifted(0) == shifted(room)).all() and (shifted(0) != shifted(511)).any()


@pytest.mark.parametrize("wrong, message", [
    ({"offset": 512}, "Offset of the logits must be in -512..511, not 512"),
    ({"top_n": 3}, "Parameter 'top_n' of attention does not exist; did you mean 'top_k'?"),
    ({"query_scale": -1}, "Parameter query_scale must be a positive number between .*, not -1")])
def test_wrong_parameters(wrong, message):
    with pytest.raises(ValueError, match=message):
        SetParameters.of(SMALL, **wrong)


def test_wrong_limits():
    config = Attention.preset("aggressive", dim=4, io_lanes=4, max_keys=20, scales="run-time")
    with pytest.raises(ValueError, match="Parameter iterations must be in 0..127 for scales"):
        SetParameters.of(config, iterations=128)


def test_wrong_configuration():
    with refused("Parameter scales must be fixed for reuse, not 'run-time'"):
        Attention(reuse=True, scales="run-time")


def test_wrong_number_of_parameters():
    one = np.zeros((3, 2, 6), int)
    with pytest.raises(ValueError, match="Parameters must be of 3 sets, not of 2"):
        model.run(SMALL, one, one, one, parameters=[SMALL.set_parameters] * 2)
    with pytest.raises(ValueError, match='Parameters of sets need scales "run-time"'):
        model.run(dataclasses.replace(SMALL, scales="fixed"), one, one, one,
                  parameters=SMALL.set_parameters)

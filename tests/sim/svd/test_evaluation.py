"""Figures of SVD-softmax in real numbers."""

import numpy as np
import pytest

from sim.data.power_law import power_law
from sim.reference import softmax
from sim.svd.agreement import Exact, Tally
from sim.svd.basis import factorise
from sim.svd.errors import SvdError
from sim.svd.evaluation import evaluate
from sim.svd.head import Head, States
from sim.svd.selection import leaders
from sim.svd.work import count_within, guideline, share


@pytest.fixture(scope="module")
def layer():
    matrix, hidden, label = power_law(np.random.default_rng(0), 500, 24, 0.5, 90, 20.0)
    head = Head.of(matrix, np.random.default_rng(1).normal(size=500))
    return head, States.of(head, hidden, label)


def naive(head, factors, state, window, count):
    """Mixed logits of a state, word by word."""
    rotated = factors.rotate(state[None])[0]
    preview = factors.columns[:, :window] @ rotated[:window] + factors.bias
    chosen = sorted(range(len(preview)), key=lambda word: (-preview[word], word))[:count]
    mixed = preview.copy()
    mixed[chosen] = (factors.columns @ rotated + factors.bias)[chosen]
    return mixed


@pytest.mark.parametrize("basis, window, count", [("whitened", 3, 20), ("published", 5, 1)])
def test_figures_are_those_of_the_definition(layer, basis, window, count, monkeypatch):
    monkeypatch.setattr("sim.svd.evaluation.CHUNK", 7 * 500)
    head, states = layer
    factors = factorise(head, basis, states.hidden)
    found, = evaluate(head, factors, states, [(window, count)])
    exact = head.logits(states.hidden).astype(float)
    mixed = np.array([naive(head, factors, state, window, count) for state in states.hidden])
    p, q = softmax(exact), softmax(mixed)
    assert found.top1 == (p.argmax(axis=1) == q.argmax(axis=1)).mean()
    best = [set(np.argsort(-row, kind="stable")[:5]) for row in p]
    assert found.top5 == pytest.approx(np.mean([
        len(words & set(np.argsort(-row, kind="stable")[:5])) / 5
        for words, row in zip(best, q, strict=True)]))
    ratio = np.log(np.exp(mixed).sum(axis=1) / np.exp(exact).sum(axis=1))
    assert found.log_partition == pytest.approx(ratio.mean(), abs=1e-5)
    assert found.log_partition_error == pytest.approx(np.abs(ratio).mean(), abs=1e-5)
    of_label = np.arange(len(states)), states.label
    assert found.likelihood == pytest.approx(np.log(q[of_label]).mean(), abs=1e-4)
    assert found.exact_likelihood == pytest.approx(np.log(p[of_label]).mean(), abs=1e-4)
    assert found.accuracy == (q.argmax(axis=1) == states.label).mean()
    assert found.exact_accuracy == (p.argmax(axis=1) == states.label).mean()
    assert found.perplexity == pytest.approx(np.exp(-found.likelihood))
    assert found.states == 90 and found.top1 < 1


@pytest.mark.parametrize("basis", ["whitened", "published"])
@pytest.mark.parametrize("corner", ["window", "count"])
def test_corners_are_the_exact_layer(layer, basis, corner):
    head, states = layer
    point = (head.dim, 1) if corner == "window" else (1, head.vocabulary)
    found, = evaluate(head, factorise(head, basis, states.hidden), states, [point])
    assert found.top1 == found.top5 == 1 and found.accuracy == found.exact_accuracy
    assert abs(found.log_partition) < 1e-5
    assert found.likelihood == pytest.approx(found.exact_likelihood, abs=1e-5)


def test_points_share_a_pass_and_keep_their_order(layer):
    head, states = layer
    factors = factorise(head, "published")
    points = [(4, 9), (2, 30), (4, 100), (4, 9)]
    together = evaluate(head, factors, states, points)
    assert [(each.window, each.count) for each in together] == points
    assert together == [evaluate(head, factors, states, [point])[0] for point in points]
    assert together[0].top5 <= together[2].top5


def test_words_left_out_may_win():
    """A preview logit above all logits of the full view is the top word, as in the engine."""
    exact = np.array([[3.0, 2.0, 1.0, 0.0, 0.0, 0.0]])
    mixed = np.array([[2.0, 2.5, 1.0, 0.0, 0.0, 0.0]])
    tally = Tally()
    tally.add(Exact(exact, np.array([0])), mixed)
    found = tally.result(1, 1, 0.5)
    assert (found.top1, found.top5, found.accuracy, found.exact_accuracy) == (0, 1, 0, 1)


def test_states_without_labels(layer):
    head, states = layer
    found, = evaluate(head, factorise(head, "published"), States(states.hidden), [(3, 20)])
    assert found.accuracy is found.likelihood is found.perplexity is found.exact_perplexity is None


def test_leaders_take_the_lowest_index_of_equals():
    logits = np.array([[1, 5, 5, -32768, 5, 0], [0, 0, 0, 0, 0, 0]], np.int16)
    assert leaders(logits, 2).tolist() == [[1, 2], [0, 1]]
    assert leaders(logits, 6).tolist() == [[1, 2, 4, 0, 5, 3], [0, 1, 2, 3, 4, 5]]


def test_share_of_the_arithmetic():
    # 1/16, 1 % of the rest, and 384 / 30522.
    assert share(30522, 384, 24, 305) == pytest.approx(0.0844, abs=5e-5)
    assert share(800_000, 512, *guideline(800_000, 512)) == pytest.approx(0.1804, abs=5e-4)
    assert share(100, 10, 10, 7) == pytest.approx(1 + 10 / 100)
    assert share(100, 10, 4, 7, residual=True) == pytest.approx(0.4 + 7 / 100 + 10 / 100)
    for window, residual in ((1, False), (24, True), (300, False)):
        count = count_within(0.9, 30522, 384, window, residual)
        assert share(30522, 384, window, count, residual) <= 0.9
        assert share(30522, 384, window, count + 1, residual) > 0.9
    assert count_within(0.05, 30522, 384, 24) < 1
    assert count_within(2, 30522, 384, 384) == 30522 and count_within(0.9, 30522, 384, 384) == 0


@pytest.mark.parametrize("point, message", [
    ((0, 1), "Parameter window must be an integer in 1..24, not 0"),
    ((25, 1), "Parameter window must be an integer in 1..24, not 25"),
    ((1, 0), "Parameter count must be an integer in 1..500, not 0"),
    ((1, 501), "Parameter count must be an integer in 1..500, not 501"),
])
def test_refused(layer, point, message):
    head, states = layer
    with pytest.raises(SvdError) as error:
        evaluate(head, factorise(head, "published"), states, [point])
    assert str(error.value) == message

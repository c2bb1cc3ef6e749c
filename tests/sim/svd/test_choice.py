"""Choice of window and count."""

import numpy as np
import pytest

from sim.data.power_law import power_law
from sim.svd.basis import factorise
from sim.svd.choice import choose
from sim.svd.errors import SvdError
from sim.svd.evaluation import evaluate
from sim.svd.head import Head, States
from sim.svd.selection import leaders
from sim.svd.work import share

TRIED = (2, 4, 8)


@pytest.fixture(scope="module")
def layer():
    matrix, hidden, label = power_law(np.random.default_rng(2), 400, 16, 0.5, 150, 30.0)
    head = Head.of(matrix)
    return head, States.of(head, hidden, label)


def found(head, states, window, count):
    """Shares of states, of those that choose, with the top word and the top five in the preview."""
    factors = factorise(head, "whitened", states.hidden[:100])
    last = states.hidden[100:]
    chosen = leaders(factors.preview(factors.rotate(last), window), count)
    best = leaders(head.logits(last), 5)
    inside = (best[:, :, None] == chosen[:, None, :]).any(axis=2)
    return inside[:, 0].mean(), inside.all(axis=1).mean()


@pytest.mark.parametrize("top", [1, 5])
def test_target_of_agreement(layer, top):
    """The count is the least one of its window, and no other window does with less."""
    head, states = layer
    choice = choose(head, "whitened", states, agreement=0.9, top=top, tried=TRIED)
    assert (choice.top1, choice.top5) == found(head, states, choice.window, choice.count)
    assert choice.share == share(400, 16, choice.window, choice.count)
    place = 0 if top == 1 else 1
    for window in TRIED:
        least = next(count for count in range(1, 401)
                     if found(head, states, window, count)[place] >= 0.9)
        assert choice.share <= share(400, 16, window, least)
        assert window != choice.window or choice.count == least


def test_target_of_arithmetic(layer):
    head, states = layer
    choice = choose(head, "whitened", states, arithmetic=0.6, tried=TRIED)
    assert choice.share <= 0.6 < share(400, 16, choice.window, choice.count + 1)
    for window in TRIED:
        other = choose(head, "whitened", states, arithmetic=0.6, tried=[window])
        assert (other.top1, other.top5) <= (choice.top1, choice.top5)
        assert (other.top1, other.top5) == found(head, states, window, other.count)


def test_holds_on_other_states(layer):
    head, states = layer
    choice = choose(head, "whitened", states, agreement=0.95)
    matrix, hidden, label = power_law(np.random.default_rng(2), 400, 16, 0.5, 450, 30.0)
    assert (matrix == head.matrix).all()
    factors = factorise(head, "whitened", states.hidden)
    figures, = evaluate(head, factors, States.of(head, hidden[150:]),
                        [(choice.window, choice.count)])
    assert figures.top1 > 0.88


@pytest.mark.parametrize("options, message", [
    ({}, "Target must be either of agreement or of arithmetic"),
    ({"agreement": 0.9, "arithmetic": 0.1}, "Target must be either of agreement or of arithmetic"),
    ({"agreement": 1.1}, "Target of agreement must be above 0, and at most 1, not 1.1"),
    ({"arithmetic": 0.0}, "Target of arithmetic must be above 0, and at most 1, not 0.0"),
    ({"agreement": 0.9, "top": 3}, "Target of agreement must be of the top 1 or 5 words, not 3"),
    ({"arithmetic": 0.01}, "Target of arithmetic must be at least 0.1"),
])
def test_refused(layer, options, message):
    with pytest.raises(SvdError) as error:
        choose(*(layer[0], "whitened", layer[1]), **options)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_too_few_states(layer):
    with pytest.raises(SvdError, match="on three states at least, not 2"):
        choose(layer[0], "published", layer[1][:2], agreement=0.9)

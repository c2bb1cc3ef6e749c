"""Bases of an output layer."""

import numpy as np
import pytest

from sim.svd.basis import BASES, factorise, moments
from sim.svd.errors import SvdError
from sim.svd.head import Head


def layer(seed=0, words=300, dim=12, states=500):
    """A layer, and states with a mean and a covariance of their own."""
    random = np.random.default_rng(seed)
    head = Head.of(random.normal(size=(words, dim)) * np.arange(1, dim + 1),
                   random.normal(size=words))
    hidden = random.normal(size=(states, dim)) @ random.normal(size=(dim, dim))
    return head, (hidden + random.normal(size=dim)).astype(np.float32)


def error(logits, exact):
    """Squared error, summed over the words."""
    return np.square(logits.astype(float) - exact).sum(axis=1).mean()


@pytest.mark.parametrize("basis", BASES)
def test_all_columns_are_the_layer(basis):
    head, hidden = layer()
    factors = factorise(head, basis, hidden)
    assert np.allclose(factors.preview(factors.rotate(hidden), head.dim), head.logits(hidden),
                       atol=2e-4)
    assert np.allclose(np.linalg.norm(factors.columns, axis=0), factors.values, rtol=1e-5)
    assert (np.diff(factors.values) <= 0).all()
    assert factors.energy(head.dim) == pytest.approx(1)


def test_published_is_the_singular_value_decomposition():
    head, _ = layer(1)
    factors = factorise(head, "published")
    left, values, right = np.linalg.svd(head.matrix.astype(float), full_matrices=False)
    assert np.allclose(factors.values, values)
    signs = np.sign((factors.transform * right).sum(axis=1))
    assert np.allclose(factors.transform, right * signs[:, None], atol=1e-6)
    assert np.allclose(factors.columns, left * values * signs, atol=1e-4)
    assert (factors.bias == head.bias).all() and not factors.offset.any()


def test_whitened_states_are_white():
    head, hidden = layer(2, states=40_000)
    rotated = factorise(head, "whitened", hidden).rotate(hidden)
    assert np.allclose(rotated.mean(axis=0), 0, atol=1e-3)
    assert np.allclose(rotated.T @ rotated / len(rotated), np.eye(head.dim), atol=0.05)


@pytest.mark.parametrize("window", [1, 4, 9])
def test_no_basis_has_a_smaller_error(window):
    """On states like those of the calibration; the published one has a larger one."""
    head, hidden = layer(3)
    exact = head.logits(hidden)
    factors = factorise(head, "whitened", hidden)
    rotated = factors.rotate(hidden)
    best = error(factors.preview(rotated, window), exact)
    published = factorise(head, "published")
    assert best < error(published.preview(published.rotate(hidden), window), exact)
    # Any other projection of the whitened columns.
    random = np.random.default_rng(4)
    for turn in (0.05, 1, 10):
        q = np.linalg.qr(np.eye(head.dim) + turn * random.normal(size=(head.dim, head.dim)))[0]
        part = (rotated @ q)[:, :window] @ (factors.columns.astype(float) @ q)[:, :window].T
        assert error(part + factors.bias, exact) > best


def test_few_states_are_shrunk():
    """A covariance of fewer states than elements has no inverse; shrunk it has."""
    head, hidden = layer(5, states=6)
    factors = factorise(head, "whitened", hidden)
    others = layer(5)[1]
    assert np.allclose(factors.preview(factors.rotate(others), head.dim), head.logits(others),
                       atol=1e-3)
    assert np.abs(factors.rotate(others)).max() < 100
    # Of many states hardly anything is taken.
    _, covariance = moments(others)
    assert np.allclose(covariance, np.cov(others.T, bias=True), rtol=0.3, atol=0.3)


def test_equal_data_gives_equal_columns():
    head, hidden = layer(6)
    first, second = (factorise(head, "whitened", hidden) for _ in range(2))
    assert (first.columns == second.columns).all()
    # The sign of a column is settled.
    turned = factorise(Head.of(-head.matrix, head.bias), "published")
    assert np.allclose(turned.columns, -factorise(head, "published").columns)


@pytest.mark.parametrize("basis, hidden, message", [
    ("white", None, "Basis must be one of whitened, published, not 'white'"),
    ("whitened", None, "Basis 'whitened' must be calibrated on two hidden states at least"),
    ("whitened", np.ones((1, 12)), "must be calibrated on two hidden states at least"),
    ("whitened", np.ones((9, 12)), "Hidden states of the calibration must not be all the same"),
])
def test_refused(basis, hidden, message):
    with pytest.raises(SvdError) as error:
        factorise(layer()[0], basis, hidden)
    assert message in str(error.value) and "\n" not in str(error.value)

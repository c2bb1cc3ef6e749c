"""Basis of queries and keys for the prefix predictor."""

import io
import os
from pathlib import Path

import numpy as np
import pytest

from sim.accuracy import AccuracyError, capture, prefix_basis
from sim.data import captured, sample, synthetic
from sim.data.real import DATA


def vectors(seed=0, tokens=400, dim=12):
    """Queries and keys with moments of their own, keys away from 0."""
    random = np.random.default_rng(seed)
    q, k = (random.normal(size=(tokens, dim)) @ random.normal(size=(dim, dim)) for _ in range(2))
    return q, k + random.normal(size=dim)


def left_out(q, k, dims):
    """Variance of the scores that the first dimensions leave out, keys about their mean."""
    k = k - k.mean(axis=0)
    return np.mean((q[:, dims:] @ k[:, dims:].T) ** 2) / np.mean((q @ k.T) ** 2)


def test_dot_products_stay():
    q, k = vectors()
    basis = prefix_basis.calibrate(q, k)
    assert np.allclose(basis.p.T @ basis.r, np.eye(12), atol=1e-9)
    assert np.allclose(basis.queries(q) @ basis.keys(k).T, q @ k.T)
    assert (np.diff(basis.values) <= 0).all()


def test_shares_are_those_of_the_scores():
    q, k = vectors(1)
    basis = prefix_basis.calibrate(q, k)
    for dims in (1, 3, 8, 12):
        found = left_out(basis.queries(q), basis.keys(k), dims)
        assert abs(1 - basis.share(dims) - found) < 0.01


@pytest.mark.parametrize("dims", [1, 4, 9])
def test_no_basis_is_better(dims):
    q, k = vectors(2)
    basis = prefix_basis.calibrate(q, k)
    best = left_out(basis.queries(q), basis.keys(k), dims)
    random = np.random.default_rng(3)
    for turn in (1e-2, 1, 10):
        p = (np.eye(12) + turn * random.normal(size=(12, 12))) @ basis.p
        other = prefix_basis.Basis(p, basis.values)
        assert left_out(other.queries(q), other.keys(k), dims) > best
    assert left_out(q, k, dims) > best


def test_scores_of_low_rank_are_found():
    q, k = vectors(4)
    q[:, :9] = q[:, 9:] @ np.random.default_rng(5).normal(size=(3, 9))
    basis = prefix_basis.calibrate(q, k)
    assert basis.share(3) > 0.999
    assert left_out(basis.queries(q), basis.keys(k), 3) < 1e-3


@pytest.mark.parametrize("q, k, message", [
    (np.ones((5, 3)), np.eye(3), None),
    (np.eye(3), np.ones((5, 3)), "Keys must not be all the same"),
    (np.zeros((5, 3)), np.eye(3), "Queries must not be all the same"),
    (np.full((5, 3), np.inf), np.eye(3), "Queries must not be all the same, and finite"),
    (np.eye(4), np.eye(3), r"with one dim, not \(4, 4\) and \(3, 3\)"),
    (np.ones(3), np.eye(3), r"not \(3,\)"), (np.ones((0, 3)), np.eye(3), r"not \(0, 3\)"),
])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_wrong_data(q, k, message):
    if message is None:
        assert np.isfinite(prefix_basis.calibrate(q, k).r).all()
        return
    with pytest.raises(ValueError, match=message):
        prefix_basis.calibrate(q, k)


def test_save_load(tmp_path):
    bases = [prefix_basis.calibrate(*vectors(seed)) for seed in (6, 7)]
    for name in ("a.npz", "b.npz"):
        with open(tmp_path / name, "wb") as file:
            prefix_basis.save(file, bases)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    for one, other in zip(bases, prefix_basis.load(tmp_path / "a.npz"), strict=True):
        assert (other.p == one.p.astype(np.float16)).all()
        # The pair is exact, however the one is rounded.
        assert np.allclose(other.p.T @ other.r, np.eye(12), atol=1e-9)
    with pytest.raises(ValueError, match="range of float16"):
        prefix_basis.save(io.BytesIO(), [prefix_basis.Basis(bases[0].p * 1e9, bases[0].values)])


def test_load_of_something_else(tmp_path):
    for content in (b"", b"text", (sample("heads")).read_bytes()):
        (tmp_path / "x.npz").write_bytes(content)
        with pytest.raises(ValueError, match="not a file of bases"):
            prefix_basis.load(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", p=np.zeros((1, 2, 3), np.float16), values=np.zeros((1, 2), "f4"))
    with pytest.raises(ValueError, match="wrong type or shape"):
        prefix_basis.load(tmp_path / "x.npz")


# The sample

@pytest.fixture(scope="module")
def heads():
    return [head.real() for head in captured.load_heads(sample("heads"))]


@pytest.fixture(scope="module")
def bases():
    return prefix_basis.load(sample("basis"))


def test_sample_helps_text_that_it_has_not_seen(heads, bases):
    for (q, k, _), basis in zip(heads, bases, strict=True):
        assert np.allclose(basis.queries(q) @ basis.keys(k).T, q @ k.T)
        assert left_out(basis.queries(q), basis.keys(k), 8) < 0.6 * left_out(q, k, 8)


def test_eight_dimensions_find_the_best_keys(heads, bases):
    """As they come, eight of 32 dimensions find half of the best keys; in the basis, 0.8."""
    found = []
    for (q, k, v), basis in zip(heads, bases, strict=True):
        exact = np.argsort(-(q @ k.T), axis=1)[:, :22]
        for vectors in ((q, k, v), (basis.queries(q), basis.keys(k), v)):
            config = synthetic.fitted(*vectors)
            a, b, _ = synthetic.quantised(config, *vectors)
            chosen = np.argsort(-(a[:, :8] @ b[:, :8].T), axis=1)[:, :22]
            found.append(np.mean([len({*x} & {*y}) / 22
                                  for x, y in zip(exact, chosen, strict=True)]))
    plain, turned = np.mean(found[::2]), np.mean(found[1::2])
    assert plain < 0.6 < 0.78 < turned


@pytest.mark.slow
def test_sample_is_reproduced(tmp_path, bases):
    folder = os.environ.get(DATA)
    if not folder:
        pytest.skip(f"{DATA} names no folder with stsb/sts-train.tsv")
    try:
        capture.open_reader()
    except AccuracyError as error:
        pytest.skip(str(error))
    sentences = str(Path(folder) / "stsb" / "sts-train.tsv")
    assert prefix_basis.main(["--sentences", sentences, "--out", str(tmp_path / "x.npz")]) == 0
    for one, other in zip(bases, prefix_basis.load(tmp_path / "x.npz"), strict=True):
        assert np.allclose(one.p, other.p, rtol=0, atol=1e-2 * np.abs(one.p).max())


# Command

def test_command(tmp_path, capsys):
    q, k = zip(*(vectors(seed) for seed in (8, 9)), strict=True)
    np.savez(tmp_path / "data.npz", q=q, k=k)
    output = tmp_path / "new" / "basis.npz"
    assert prefix_basis.main([str(tmp_path / "data.npz"), "--out", str(output)]) == 0
    assert "2 heads of 12, 400 queries and 400 keys each" in capsys.readouterr().out
    for number, basis in enumerate(prefix_basis.load(output)):
        wanted = prefix_basis.calibrate(q[number], k[number]).p.astype(np.float16)
        assert (basis.p == wanted).all()


def test_command_of_the_model(tmp_path, capsys, monkeypatch):
    try:
        capture.open_reader()
    except AccuracyError as error:
        pytest.skip(str(error))
    monkeypatch.delenv(DATA, raising=False)
    assert prefix_basis.main(["--texts", "2", "--length", "40",
                              "--out", str(tmp_path / "x.npz")]) == 0
    assert "8 heads of 32" in capsys.readouterr().out


@pytest.mark.parametrize("content, message", [
    (None, "Cannot read"), (b"text", "must be an .npz of the arrays q and k"),
    ({"q": np.zeros((2, 3))}, "must be an .npz of the arrays q and k"),
    ({"q": np.ones((2, 3)), "k": np.ones((2, 3))}, "must be of the shapes (heads, tokens, dim)"),
    ({"q": np.ones((1, 4, 3)), "k": np.ones((1, 4, 3))}, "Keys must not be all the same"),
    ({"q": np.ones((1, 4, 3)), "k": np.ones((1, 4, 2))}, "with one dim, not (4, 3) and (4, 2)"),
])
def test_command_wrong_data(tmp_path, capsys, content, message):
    path = tmp_path / "data.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.savez(path, **content)
    output = tmp_path / "x.npz"
    assert prefix_basis.main([str(path), "--out", str(output)]) == 1
    text, error = capsys.readouterr()
    assert text == "" and error.count("\n") == 1
    assert error.startswith("sim.accuracy.prefix_basis: error: ")
    assert message in error and not output.exists()

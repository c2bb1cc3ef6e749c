"""Arrays of a layer and of hidden states, and the files that hold them."""

import numpy as np
import pytest

from sim.svd.errors import SvdError
from sim.svd.head import Head, States, read

MATRIX = np.arange(12.0).reshape(4, 3)


def test_logits():
    head = Head.of(MATRIX.astype(np.float16), np.arange(4))
    assert (head.vocabulary, head.dim) == (4, 3) and head.matrix.dtype == np.float32
    assert head.logits(np.ones((2, 3))).tolist() == [[3, 13, 23, 33]] * 2


def test_files(tmp_path):
    np.savez(tmp_path / "a.npz", matrix=MATRIX, other=np.ones(2))
    np.savez_compressed(tmp_path / "b.npz", hidden=np.ones((5, 3), np.float16),
                        label=np.arange(5) % 4)
    arrays = read([tmp_path / "a.npz", tmp_path / "b.npz"])
    assert sorted(arrays) == ["hidden", "label", "matrix"]
    states = States.of(Head.of(arrays["matrix"]), arrays["hidden"], arrays["label"])
    assert len(states) == 5 and states[1:3].label.tolist() == [1, 2]


@pytest.mark.parametrize("content, message", [
    (None, "can not be read: No such file"),
    (b"", "must be an .npz of named arrays"),
    (b"text", "must be an .npz of named arrays"),
    (b"PK\3\4 cut", "must be an .npz of named arrays"),
    (np.ones(3), "must be an .npz of named arrays"),
    ({"weights": MATRIX}, "must hold one of the arrays matrix, bias, hidden, label, not weights"),
    ({"matrix": np.array([{}])}, "must be an .npz of named arrays"),
])
def test_wrong_files(tmp_path, content, message):
    path = tmp_path / "x.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, np.ndarray):
        with open(path, "wb") as file:
            np.save(file, content)
    elif content is not None:
        np.savez(path, **content)
    with pytest.raises(SvdError) as error:
        read([path])
    assert message in str(error.value) and "\n" not in str(error.value)


def test_an_array_twice(tmp_path):
    np.savez(tmp_path / "a.npz", matrix=MATRIX)
    with pytest.raises(SvdError, match="Array matrix must be in one file only, not again in"):
        read([tmp_path / "a.npz"] * 2)


@pytest.mark.parametrize("arrays, message", [
    ({"matrix": np.ones(3)}, "Array matrix must be of shape (vocabulary, dim), both at least 2"),
    ({"matrix": np.ones((3, 1))}, "Array matrix must be of shape (vocabulary, dim)"),
    ({"matrix": np.zeros((3, 2))}, "Array matrix must not be 0 everywhere"),
    ({"matrix": np.full((3, 2), np.nan)}, "Array matrix must hold finite numbers of float32 only"),
    ({"matrix": np.full((3, 2), 1e39)}, "Array matrix must hold finite numbers of float32 only"),
    ({"matrix": np.full((3, 2), 1j)}, "Array matrix must hold real numbers, not complex128"),
    ({"bias": np.ones(3)}, "Array bias must be of shape (4,), not (3,)"),
    ({"hidden": np.ones((5, 4))}, "Array hidden must be of shape (states, 3), not (5, 4)"),
    ({"hidden": np.ones((0, 3))}, "Array hidden must be of shape (states, 3), not (0, 3)"),
    ({"hidden": np.array([[1, 2, np.inf]])}, "Array hidden must hold finite numbers"),
    ({"label": np.ones(2)}, "Array label must be integers of shape (2,), not float64"),
    ({"label": np.ones(3, int)}, "Array label must be integers of shape (2,), not int64 of shape"),
    ({"label": np.array([0, 4])}, "Array label must be in 0..3, not 0..4"),
    ({"label": np.array([-1, 0])}, "Array label must be in 0..3, not -1..0"),
])
def test_wrong_arrays(arrays, message):
    arrays = {"matrix": MATRIX, "bias": None, "hidden": np.ones((2, 3)), "label": None, **arrays}
    with pytest.raises(SvdError) as error:
        head = Head.of(arrays["matrix"], arrays["bias"])
        States.of(head, arrays["hidden"], arrays["label"])
    assert message in str(error.value) and "\n" not in str(error.value)

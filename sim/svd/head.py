"""Output layer of a language model, and hidden states to calibrate it with or to measure it on.

    logits = matrix @ hidden + bias

Both are read from ``.npz`` files by the names of their arrays:

========== ================= ============================================================
name       shape             content
========== ================= ============================================================
``matrix`` vocabulary, dim   weights of the layer, a word a row
``bias``   vocabulary        its bias; without one, 0
``hidden`` states, dim       inputs of the layer
``label``  states            index of the word that is right; optional
========== ================= ============================================================
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .errors import SvdError

__all__ = ["Head", "States", "read"]

NAMES = ("matrix", "bias", "hidden", "label")


@dataclass(frozen=True, eq=False)
class Head:
    """Output layer.

    Attributes
    ----------
    matrix : float32 array, shape (vocabulary, dim)
        Weights.
    bias : float64 array, shape (vocabulary,)
        Bias.
    """

    matrix: np.ndarray
    bias: np.ndarray

    @staticmethod
    def of(matrix: np.ndarray, bias: np.ndarray | None = None) -> Head:
        """Check the arrays of a layer.

        Raises
        ------
        SvdError
            If a shape or a type is wrong, a number is not finite, or all weights are 0.
        """
        matrix = _numbers("matrix", matrix, np.float32)
        if matrix.ndim != 2 or min(matrix.shape) < 2:
            raise SvdError("Array matrix must be of shape (vocabulary, dim), both at least 2, not "
                           f"{matrix.shape}")
        if not matrix.any():
            raise SvdError("Array matrix must not be 0 everywhere")
        bias = np.zeros(len(matrix)) if bias is None else _numbers("bias", bias, np.float64)
        if bias.shape != matrix.shape[:1]:
            raise SvdError(f"Array bias must be of shape {matrix.shape[:1]}, not {bias.shape}")
        return Head(matrix, bias)

    @property
    def vocabulary(self) -> int:
        """Words."""
        return self.matrix.shape[0]

    @property
    def dim(self) -> int:
        """Elements of a hidden state."""
        return self.matrix.shape[1]

    def logits(self, hidden: np.ndarray) -> np.ndarray:
        """Return the logits (states, vocabulary), float32, of hidden states (states, dim)."""
        return hidden.astype(np.float32) @ self.matrix.T + self.bias.astype(np.float32)


@dataclass(frozen=True, eq=False)
class States:
    """Hidden states.

    Attributes
    ----------
    hidden : float32 array, shape (states, dim)
        Inputs of the layer.
    label : integer array, shape (states,), or None
        Word that is right.
    """

    hidden: np.ndarray
    label: np.ndarray | None = None

    @staticmethod
    def of(head: Head, hidden: np.ndarray, label: np.ndarray | None = None) -> States:
        """Check the arrays of states of a layer.

        Raises
        ------
        SvdError
            If a shape or a type is wrong, a number is not finite, or a label is no word.
        """
        hidden = _numbers("hidden", hidden, np.float32)
        if hidden.ndim != 2 or hidden.shape[1] != head.dim or not len(hidden):
            raise SvdError(f"Array hidden must be of shape (states, {head.dim}), not "
                           f"{hidden.shape}")
        if label is not None:
            label = np.asarray(label)
            if label.dtype.kind not in "iu" or label.shape != hidden.shape[:1]:
                raise SvdError(f"Array label must be integers of shape {hidden.shape[:1]}, not "
                               f"{label.dtype} of shape {label.shape}")
            if label.min() < 0 or label.max() >= head.vocabulary:
                raise SvdError(f"Array label must be in 0..{head.vocabulary - 1}, not "
                               f"{label.min()}..{label.max()}")
            label = label.astype(np.int64)
        return States(hidden, label)

    def __len__(self) -> int:
        return len(self.hidden)

    def __getitem__(self, part: slice) -> States:
        return States(self.hidden[part], None if self.label is None else self.label[part])


def _numbers(name: str, array: np.ndarray, kind: type) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.kind not in "fiu":
        raise SvdError(f"Array {name} must hold real numbers, not {array.dtype}")
    # What is too large for float32 becomes infinite, and is refused as such.
    with np.errstate(over="ignore"):
        array = array.astype(kind)
    if not np.isfinite(array).all():
        raise SvdError(f"Array {name} must hold finite numbers of float32 only")
    return array


def read(paths: Iterable[str | os.PathLike[str]]) -> dict[str, np.ndarray]:
    """Return the arrays of :data:`NAMES` that ``.npz`` files hold.

    Raises
    ------
    SvdError
        If a file can not be read, holds none of them, or two files hold the same.
    """
    found: dict[str, np.ndarray] = {}
    for path in map(os.fspath, paths):
        try:
            # Opened here, since numpy.load leaves a damaged file open.
            with open(path, "rb") as file:
                content = np.load(file, allow_pickle=False)
                if not isinstance(content, np.lib.npyio.NpzFile):
                    raise SvdError(f"File {path!r} must be an .npz of named arrays")
                arrays = {name: content[name] for name in NAMES if name in content.files}
        except OSError as error:
            raise SvdError(f"File {path!r} can not be read: {error.strerror or error}") from None
        except (EOFError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            if isinstance(error, SvdError):
                raise
            raise SvdError(f"File {path!r} must be an .npz of named arrays") from None
        if not arrays:
            raise SvdError(f"File {path!r} must hold one of the arrays {', '.join(NAMES)}, not "
                           f"{', '.join(content.files) or 'none'}")
        for name in arrays.keys() & found.keys():
            raise SvdError(f"Array {name} must be in one file only, not again in {path!r}")
        found |= arrays
    return found

"""Data captured from a real Transformer: the file formats and their loaders.

A capture of attention logits is a compressed ``.npz`` with these arrays, every row's logits behind
the row's before:

============ ======= ========== ================================================================
name         type    size       content
============ ======= ========== ================================================================
``logits``   int8    elements   codes of QK^T / sqrt(d), before softmax
``mask``     bool    elements   true where the key is padding and takes no part
``length``   int32   rows       elements of the row
``exponent`` int8    rows       the logit's real value is ``code * 2**exponent``
``layer``    uint8   rows       encoder layer the row was taken from
``head``     uint8   rows       attention head within the layer
============ ======= ========== ================================================================

A capture of LayerNorms holds inputs and parameters of each, as many rows of one as of another:

=========== ======== ======================== ===================================================
name        type     shape                    content
=========== ======== ======================== ===================================================
``norms``   str      norms                    name of each LayerNorm in the model
``inputs``  float16  norms, rows, channels    its inputs
``gamma``   float16  norms, channels          its gammas
``beta``    float16  norms, channels          its betas
``epsilon`` float64  norms                    what it adds to the variance
=========== ======== ======================== ===================================================

A capture of attention heads holds queries, keys and values of heads, all from one text:

============ ======= ====================== ==================================================
name         type    shape                  content
============ ======= ====================== ==================================================
``q``        int8    heads, queries, dim    codes of queries, some of the text's tokens
``k``, ``v`` int8    heads, keys, dim       codes of the keys and values of all its tokens
``exponent`` int8    heads, 3               of q, k and v: an element is ``code * 2**exponent``
``layer``    uint8   heads                  encoder layer
``head``     uint8   heads                  attention head within the layer
============ ======= ====================== ==================================================

``python -m sim.accuracy.capture`` writes such files. Only NumPy is needed here.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

__all__ = ["Head", "Norm", "Row", "load", "load_arrays", "load_heads", "load_norms", "save",
           "save_heads", "save_norms"]

_TYPES = {
    "logits": np.int8, "mask": np.bool_, "length": np.int32,
    "exponent": np.int8, "layer": np.uint8, "head": np.uint8,
}


def load_arrays(path: str | os.PathLike[str], names: Iterable[str],
                what: str) -> dict[str, np.ndarray]:
    """Read the arrays of an ``.npz`` by their names.

    Raises
    ------
    ValueError
        If the file is not ``what`` it should be: it is damaged, or lacks an array.
    """
    try:
        # Opened here, since numpy.load leaves a damaged file open.
        with open(path, "rb") as file:
            content = np.load(file, allow_pickle=False)
            return {name: content[name] for name in names}
    except (EOFError, IndexError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{os.fspath(path)} is not {what}") from error


@dataclass(frozen=True, eq=False)
class Row:
    """One query's logits over all keys of its padded batch.

    Attributes
    ----------
    logits : int8 array
        Codes; those of padded keys are what the model computed there, saturated.
    mask : bool array
        True where the key is padding. At least one key is real.
    scale : float
        Real value of one code step, a power of two; ``input_scale`` of a unit's config.
    layer, head : int
        Where in the model the row was taken.
    """

    logits: np.ndarray
    mask: np.ndarray
    scale: float
    layer: int
    head: int


def save(file: BinaryIO, rows: Iterable[Row]) -> None:
    """Write ``rows`` to the open binary ``file``; equal rows give equal bytes."""
    rows = list(rows)
    mantissas, exponents = np.frexp([row.scale for row in rows])
    if not rows or not np.all(mantissas == 0.5):
        raise ValueError("Rows must be at least one, each with a power of two as its scale")
    arrays = {
        "logits": np.concatenate([row.logits for row in rows]),
        "mask": np.concatenate([row.mask for row in rows]),
        "length": [len(row.logits) for row in rows],
        "exponent": exponents - 1,
        "layer": [row.layer for row in rows],
        "head": [row.head for row in rows],
    }
    np.savez_compressed(file, **{name: np.asarray(value, dtype=_TYPES[name])
                                 for name, value in arrays.items()})


def load(path: str | os.PathLike[str]) -> list[Row]:
    """Read every row of a capture, in the file's order; the arrays are read-only.

    Raises
    ------
    ValueError
        If the file is not a capture.
    """
    arrays = load_arrays(path, _TYPES, "a capture of attention logits")
    for name, dtype in _TYPES.items():
        if arrays[name].dtype != dtype or arrays[name].ndim != 1:
            raise ValueError(f"{os.fspath(path)}: {name} must be one-dimensional "
                             f"{np.dtype(dtype)}, not {arrays[name].ndim}-dimensional "
                             f"{arrays[name].dtype}")
        arrays[name].setflags(write=False)
    length = arrays["length"]
    ends = np.cumsum(length, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    if not (np.all(length > 0) and len(arrays["logits"]) == len(arrays["mask"]) == total
            and all(len(arrays[name]) == len(length) for name in ("exponent", "layer", "head"))):
        raise ValueError(f"{os.fspath(path)}: sizes of the arrays do not agree")
    return [
        Row(logits=arrays["logits"][end - size:end], mask=arrays["mask"][end - size:end],
            scale=2.0 ** int(exponent), layer=int(layer), head=int(head))
        for size, end, exponent, layer, head in zip(
            length, ends, arrays["exponent"], arrays["layer"], arrays["head"], strict=True)
    ]


# LayerNorms

_NORM_TYPES = {"norms": np.str_, "inputs": np.float16, "gamma": np.float16, "beta": np.float16,
               "epsilon": np.float64}


@dataclass(frozen=True, eq=False)
class Norm:
    """A LayerNorm of the model, and some of its inputs.

    Attributes
    ----------
    name : str
        Name in the model.
    inputs : float array, shape (rows, channels)
        Inputs, one row per token.
    gamma, beta : float arrays, shape (channels,)
        Parameters of the channels.
    epsilon : float
        Added to the variance.
    """

    name: str
    inputs: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray
    epsilon: float

    def outputs(self) -> np.ndarray:
        """Return what the LayerNorm makes of its inputs, in float64."""
        centred = self.inputs - self.inputs.mean(axis=-1, keepdims=True)
        deviation = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + self.epsilon)
        return centred / deviation * self.gamma + self.beta


def save_norms(file: BinaryIO, norms: Iterable[Norm]) -> None:
    """Write ``norms``, all of one shape, to the open binary ``file``; equal ones, equal bytes."""
    norms = list(norms)
    if not norms or len({norm.inputs.shape for norm in norms}) > 1:
        raise ValueError("LayerNorms must be at least one, and all of one shape")
    arrays = {"norms": [norm.name for norm in norms]}
    for name in ("inputs", "gamma", "beta", "epsilon"):
        arrays[name] = [getattr(norm, name) for norm in norms]
    np.savez_compressed(file, **{name: np.asarray(value, dtype=_NORM_TYPES[name])
                                 for name, value in arrays.items()})


def load_norms(path: str | os.PathLike[str]) -> list[Norm]:
    """Read a capture of LayerNorms; its arrays are float64 and read-only.

    Raises
    ------
    ValueError
        If the file is not such a capture.
    """
    arrays = load_arrays(path, _NORM_TYPES, "a capture of LayerNorms")
    inputs = arrays["inputs"]
    shapes = {"norms": inputs.shape[:1], "inputs": inputs.shape, "epsilon": inputs.shape[:1],
              "gamma": inputs.shape[::2], "beta": inputs.shape[::2]}
    for name, dtype in _NORM_TYPES.items():
        if (not np.issubdtype(arrays[name].dtype, dtype) or inputs.ndim != 3
                or arrays[name].shape != shapes[name]):
            raise ValueError(f"{os.fspath(path)}: {name} has the wrong type or shape")
    for name in ("inputs", "gamma", "beta"):
        arrays[name] = arrays[name].astype(np.float64)
        arrays[name].setflags(write=False)
    return [Norm(str(name), *values, float(epsilon)) for name, *values, epsilon in
            zip(*(arrays[name] for name in ("norms", "inputs", "gamma", "beta", "epsilon")),
                strict=True)]


# Attention heads

_HEAD_TYPES = {"q": np.int8, "k": np.int8, "v": np.int8, "exponent": np.int8, "layer": np.uint8,
               "head": np.uint8}


@dataclass(frozen=True, eq=False)
class Head:
    """Queries, keys and values of one attention head.

    Attributes
    ----------
    q : int8 array, shape (queries, dim)
        Codes of the queries of some tokens, in their order.
    k, v : int8 arrays, shape (keys, dim)
        Codes of the keys and values of all tokens.
    query_scale, key_scale, value_scale : float
        Real values of one code step, powers of two.
    layer, head : int
        Where in the model it is.
    """

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    query_scale: float
    key_scale: float
    value_scale: float
    layer: int
    head: int

    def real(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return queries, keys and values as real numbers."""
        return (self.q * self.query_scale, self.k * self.key_scale, self.v * self.value_scale)


def save_heads(file: BinaryIO, heads: Iterable[Head]) -> None:
    """Write ``heads``, all of one shape, to the open binary ``file``; equal ones, equal bytes."""
    heads = list(heads)
    if not heads or len({(head.q.shape, head.k.shape, head.v.shape) for head in heads}) > 1:
        raise ValueError("Heads must be at least one, and all of one shape")
    mantissas, exponents = np.frexp([[head.query_scale, head.key_scale, head.value_scale]
                                     for head in heads])
    if not np.all(mantissas == 0.5):
        raise ValueError("Scales of heads must be powers of two")
    arrays = {name: [getattr(head, name) for head in heads] for name in _HEAD_TYPES
              if name != "exponent"}
    np.savez_compressed(file, **{name: np.asarray(value, dtype=_HEAD_TYPES[name]) for name, value
                                 in {**arrays, "exponent": exponents - 1}.items()})


def load_heads(path: str | os.PathLike[str]) -> list[Head]:
    """Read a capture of attention heads; its arrays are read-only.

    Raises
    ------
    ValueError
        If the file is not such a capture.
    """
    arrays = load_arrays(path, _HEAD_TYPES, "a capture of attention heads")
    count, keys = arrays["layer"].shape[:1], arrays["k"].shape
    shapes = {"q": (*count, *arrays["q"].shape[1:2], *keys[2:]), "k": (*count, *keys[1:]),
              "v": keys, "exponent": (*count, 3), "layer": count, "head": count}
    for name, dtype in _HEAD_TYPES.items():
        if (arrays[name].dtype != dtype or len(keys) != 3 or len(count) != 1
                or arrays[name].shape != shapes[name]):
            raise ValueError(f"{os.fspath(path)}: {name} has the wrong type or shape")
        arrays[name].setflags(write=False)
    return [Head(q, k, v, *(2.0 ** int(e) for e in exponent), int(layer), int(head))
            for q, k, v, exponent, layer, head in
            zip(*(arrays[name] for name in _HEAD_TYPES), strict=True)]

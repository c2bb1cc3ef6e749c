"""What the room refuses."""

import contextlib
from collections.abc import Iterator

from ..errors import RequestError

__all__ = ["AccuracyError", "needing_extras"]

_TORCH = "pip install torch==2.13.0, then pip install -e '.[torch]'"
_INSTALLED_BY = {"torch": _TORCH, "transformers": _TORCH, "onnx": "pip install -e '.[onnx]'"}


class AccuracyError(RequestError):
    """What the accuracy of a model cannot be told for."""


@contextlib.contextmanager
def needing_extras() -> Iterator[None]:
    """Say how an extra is installed, if what is imported inside a ``with`` block lacks it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in _INSTALLED_BY:
            raise
        raise AccuracyError(f"Package {error.name} is missing: {_INSTALLED_BY[error.name]}"
                            ) from None

"""What the room refuses."""

import contextlib
from collections.abc import Iterator

__all__ = ["AccuracyError", "needing_torch"]


class AccuracyError(ValueError):
    """A request that cannot be met, for a reason that the user can mend; one line."""


@contextlib.contextmanager
def needing_torch() -> Iterator[None]:
    """Say how PyTorch is installed, if what is imported inside a ``with`` block lacks it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "transformers"):
            raise
        raise AccuracyError(f"Package {error.name} is missing: pip install torch==2.13.0, then "
                            "pip install -e '.[torch]'") from None

"""From a real model to integers: the hardware inside PyTorch, calibration, capture, bases.

Three lines put units into a model, say what they cost it, and generate what was evaluated::

    from sim import accuracy
    hw = accuracy.approximate(model, softmax="softmax-e2:plus", calibrate=batches)
    print(hw.compare(test_batches)); hw.emit("build/"); hw.restore()

:func:`evaluate` scores a model on a task, one of a user's own too (:class:`OwnScore`). What needs
PyTorch is in the extra ``torch``; the rest of the room is NumPy.
"""

import importlib

from .errors import AccuracyError, needing_torch

__all__ = ["AccuracyError", "OwnScore", "approximate", "evaluate"]

_MODULES = {"approximate": ".approximation", "evaluate": ".evaluation", "OwnScore": ".tasks"}


def __getattr__(name: str) -> object:
    # PyTorch takes seconds to import and is optional: it is loaded where it is asked for.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needing_torch():
        return getattr(importlib.import_module(_MODULES[name], __name__), name)

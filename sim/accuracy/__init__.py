"""From a real model to integers: the hardware inside PyTorch, calibration, capture, bases.

Three lines put units into a model, say what they cost it, and generate what was evaluated::

    from sim import accuracy
    hw = accuracy.approximate(model, softmax="softmax-e2:plus", calibrate=batches)
    print(hw.compare(test_batches)); hw.emit("build/"); hw.restore()

:func:`evaluate` scores a model on a task, one of a user's own too (:class:`OwnScore`).
:func:`onnx_reference` puts units into an ONNX model, in ONNX's reference evaluator. What needs
PyTorch is in the extra ``torch``, ``onnx_reference`` needs the extra ``onnx``; the rest of the room
is NumPy.
"""

import importlib

from .errors import AccuracyError, needing_extras

__all__ = ["AccuracyError", "OwnScore", "approximate", "evaluate", "onnx_reference"]

_MODULES = {"approximate": ".approximation", "evaluate": ".evaluation", "OwnScore": ".tasks",
            "onnx_reference": ".onnx_model"}


def __getattr__(name: str) -> object:
    # PyTorch and ONNX take seconds to import and are optional: they are loaded when asked for.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with needing_extras():
        return getattr(importlib.import_module(_MODULES[name], __name__), name)

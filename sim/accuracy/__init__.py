"""From a real model to integers: the hardware inside PyTorch, calibration, capture, bases.

Three lines put units into a model, say what they cost it, and generate what was evaluated::

    from sim import accuracy
    hw = accuracy.approximate(model, softmax="softmax-e2:plus", calibrate=batches)
    print(hw.compare(test_batches)); hw.emit("build/"); hw.restore()

:func:`onnx_reference` does the same for an ONNX model, in ONNX's reference evaluator.
:func:`approximate` and what it returns need the extra ``torch``, :func:`onnx_reference` the extra
``onnx``; the rest of the room is NumPy.
"""

import importlib

from .errors import AccuracyError

__all__ = ["AccuracyError", "approximate", "onnx_reference"]

# Module of each function, and how to install what it needs.
_FUNCTIONS = {
    "approximate": (".approximation", "pip install torch==2.13.0, then pip install -e '.[torch]'"),
    "onnx_reference": (".onnx_model", "pip install -e '.[onnx]'"),
}
_PACKAGES = ("torch", "transformers", "onnx")


def __getattr__(name: str) -> object:
    # These packages take seconds to import and are optional: they are loaded when asked for.
    if name not in _FUNCTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, install = _FUNCTIONS[name]
    try:
        return getattr(importlib.import_module(module, __name__), name)
    except ModuleNotFoundError as error:
        if error.name not in _PACKAGES:
            raise
        raise AccuracyError(f"Package {error.name} is missing: {install}") from None

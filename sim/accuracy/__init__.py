"""From a real model to integers: the hardware inside PyTorch, calibration, capture, bases.

Three lines put units into a model, say what they cost it, and generate what was evaluated::

    from sim import accuracy
    hw = accuracy.approximate(model, softmax="softmax-e2:plus", calibrate=batches)
    print(hw.compare(test_batches)); hw.emit("build/"); hw.restore()

:func:`approximate` and what it returns need the extra ``torch``; the rest of the room is NumPy.
"""

import importlib

from .errors import AccuracyError

__all__ = ["AccuracyError", "approximate"]


def __getattr__(name: str) -> object:
    # PyTorch takes seconds to import and is optional: it is loaded where it is asked for.
    if name != "approximate":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return importlib.import_module(".approximation", __name__).approximate
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "transformers"):
            raise
        raise AccuracyError(f"Package {error.name} is missing: pip install torch==2.13.0, then "
                            "pip install -e '.[torch]'") from None

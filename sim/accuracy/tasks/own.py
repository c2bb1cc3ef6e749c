"""A user's own score of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from torch import nn

from ..batches import Batch, checked
from ..errors import AccuracyError
from ..score import values_of
from .task import Progress

__all__ = ["OwnScore"]


class OwnScore:
    """What ``score(model)`` returns.

    Parameters
    ----------
    model : nn.Module
        Model.
    score : callable
        Is given the model, in evaluation mode and without gradients; returns a number, or an array
        of one number an example, whose mean is the score: only that tells a standard error.
    calibrate : iterable of batches
        Inputs of the model to calibrate with; never those of ``score``.
    name, title : str
        Names of the model and of the score.
    """

    unit, relative, kinds, row = "score", False, ("softmax", "layernorm"), 0

    def __init__(self, model: nn.Module, score: Callable[[nn.Module], object],
                 calibrate: Iterable[Batch], *, name: str | None = None,
                 title: str | None = None) -> None:
        if not callable(score):
            raise AccuracyError(f"Argument score must be a function of the model, not {score!r}")
        self.model, self._function = model, score
        self.name = type(model).__name__ if name is None else name
        self.title = getattr(score, "__name__", "own score") if title is None else title
        self._batches = checked(calibrate, "calibrate")
        self.labels = np.ones(1)

    def batches(self) -> list[Batch]:
        """Return the batches to calibrate with."""
        return self._batches

    def predict(self, progress: Progress = iter) -> np.ndarray:
        """Return what the function says of the model as it is now."""
        values, = (values_of(self._function, self.model) for _ in progress([0]))
        self.labels = np.ones(len(values))
        return values

    @staticmethod
    def score(predictions: np.ndarray, labels: np.ndarray) -> float:
        """Return the mean."""
        return float(predictions.mean())

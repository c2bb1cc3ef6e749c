"""What every task has."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
from torch import nn

from ..batches import Batch

__all__ = ["Progress", "Task"]

#: Is iterated in place of ``iter``, and shows how far the work is.
Progress = Callable[[Sequence[object]], Iterator]


class Task(Protocol):
    """Model, data and score.

    Attributes
    ----------
    name : str
        Model, as it was named.
    title, unit : str
        What is measured, and the score's name.
    relative : bool
        Differences are in percent of the score in float, and not in its points.
    kinds : tuple of str
        Kinds of units that the model has a place for: softmax, layernorm.
    row : int
        Elements of the longest row of a softmax, or 0 if the units' own limit holds.
    model : nn.Module
        Model.
    labels : array, shape (examples,)
        Labels of the examples that are measured.
    """

    name: str
    title: str
    unit: str
    relative: bool
    kinds: tuple[str, ...]
    row: int
    model: nn.Module
    labels: np.ndarray

    def batches(self) -> list[Batch]:
        """Return the batches that units are calibrated with: none of what is measured."""

    def predict(self, progress: Progress = iter) -> np.ndarray:
        """Return the predictions (examples,) of the model as it is now; first in float."""

    @staticmethod
    def score(predictions: np.ndarray, labels: np.ndarray) -> float:
        """Return the score."""

"""What a user's own function says of a model, in float and with units in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from .bootstrap import difference_error
from .errors import AccuracyError

__all__ = ["Score", "values_of"]


@dataclasses.dataclass(frozen=True)
class Score:
    """A score in float and with units.

    Attributes
    ----------
    exact, units : float
        Score of the model in float, and with units.
    difference : float
        ``units - exact``.
    error : float or None
        Standard error of the difference, by paired resamples of the examples; None for one number.
    """

    exact: float
    units: float
    difference: float
    error: float | None

    @staticmethod
    def of(exact: np.ndarray, units: np.ndarray) -> Score:
        """Compare the numbers (examples,) of the model in float and with units."""
        if exact.shape != units.shape:
            raise AccuracyError(f"Function score must return as many numbers with units as in "
                                f"float, {len(exact)}, not {len(units)}")
        error = None
        if len(exact) > 1:
            error = difference_error(lambda values, _: float(values.mean()), exact, units, exact)
        return Score(float(exact.mean()), float(units.mean()),
                     float(units.mean() - exact.mean()), error)

    def __str__(self) -> str:
        error = "" if self.error is None else f", standard error {self.error:.4g}"
        return (f"{self.exact:.6g} in float, {self.units:.6g} with units: "
                f"{self.difference:+.4g}{error}")


def values_of(function: Callable[[nn.Module], object], model: nn.Module) -> np.ndarray:
    """Return the numbers (examples,) that a user's function gives a model, float64.

    Raises
    ------
    AccuracyError
        If it returns anything but finite numbers.
    """
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            found = function(model)
    finally:
        for module, was in training.items():
            module.training = was
    name = getattr(function, "__name__", "score")
    if isinstance(found, torch.Tensor):
        found = found.detach().numpy()
    try:
        values = np.atleast_1d(np.asarray(found, np.float64)).reshape(-1)
    except (TypeError, ValueError):
        raise AccuracyError(f"Function {name} must return a number, or an array of numbers, not "
                            f"{type(found).__name__}") from None
    if not len(values) or not np.isfinite(values).all():
        raise AccuracyError(f"Function {name} must return finite numbers, one at least, not "
                            f"{found!r:.60}")
    return values

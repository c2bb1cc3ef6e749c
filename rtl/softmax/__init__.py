"""Softmax units: one method a file, all with the same stream, parameters and model call."""

from .e2 import E2SoftmaxConfig


__all__ = ["E2SoftmaxConfig"]

"""Softmax units: one method a file, all with the same stream, parameters and model call."""

from .e2 import E2SoftmaxConfig
from .lut2d import Lut2dSoftmaxConfig
from .rexp import RexpSoftmaxConfig
from .softermax import SoftermaxConfig
from .split import SplitSoftmaxConfig

__all__ = ["E2SoftmaxConfig", "Lut2dSoftmaxConfig", "RexpSoftmaxConfig", "SoftermaxConfig",
           "SplitSoftmaxConfig"]

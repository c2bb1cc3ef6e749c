"""Generator of synthesizable RTL for softmax, LayerNorm and attention in integers."""

from . import (
    attention,  # noqa: F401
    layernorm,  # noqa: F401
    softmax,  # noqa: F401  (registers its units)
    svd,  # noqa: F401
)
from .config import ConfigError, UnitConfig, register, unit, units

__all__ = ["ConfigError", "UnitConfig", "__version__", "register", "unit", "units"]

__version__ = "0.1.0"

"""Generator of synthesizable RTL for softmax, LayerNorm and attention in integers."""

from .config import ConfigError, UnitConfig, register, unit, units
from . import softmax  # noqa: F401  (registers its units)
from . import layernorm  # noqa: F401
from . import attention  # noqa: F401


__all__ = ["ConfigError", "UnitConfig", "__version__", "register", "unit", "units"]

__version__ = "0.1.0"

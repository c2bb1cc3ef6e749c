"""LayerNorm units: one method a file, all with the same streams, parameters and model call."""

from .ai import AILayerNormConfig
from .exact import ExactLayerNormConfig

__all__ = ["AILayerNormConfig", "ExactLayerNormConfig"]

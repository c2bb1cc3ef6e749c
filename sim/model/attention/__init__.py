"""Model of the attention engine, with its selections and its stored maps."""

from .engine import SCALES, run, run_heads

__all__ = ["SCALES", "run", "run_heads"]

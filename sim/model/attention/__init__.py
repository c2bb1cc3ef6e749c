"""Model of the attention engine, with its selections and its stored maps."""

from .engine import run

__all__ = ["run"]

"""Attention engine: dot products, any softmax unit, weighted sum of the values."""

from .config import AttentionConfig

__all__ = ["AttentionConfig"]

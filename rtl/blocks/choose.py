"""One of several values, by its number."""

from amaranth import Array

__all__ = ["choose"]


def choose(values, number):
    """``values[number]``; without a choice, the only value."""
    values = list(values)
    return values[0] if len(values) == 1 else Array(values)[number]

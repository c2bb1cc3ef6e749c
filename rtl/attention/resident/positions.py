"""Positions of keys: counters of ``position_bits`` and a sticky bit above them.

The sticky bit is set once the counter has wrapped; from then on only differences of positions
count.
"""

from amaranth import Cat, Mux, unsigned

__all__ = ["advanced", "before", "position_shape", "reached"]


def position_shape(regions):
    """Shape of a position or of a number of keys."""
    return unsigned(regions.position_bits + 1)


def advanced(position, number):
    """``position + number``. Combinational."""
    total = position[:-1] + number
    return Cat(total[:len(position) - 1], position[-1] | total[len(position) - 1:].any())


def reached(keys, end):
    """Whether ``keys`` keys from position 0 on hold all positions before ``end > 0``.

    The keys that are missing, or that follow, are less than ``2**(position_bits - 1)``.
    Combinational.
    """
    # One carry chain: the sign of the difference modulo, and its borrow.
    *_, sign, borrow = keys[:-1] - end[:-1]
    return Mux(end[-1], keys.any() & ~sign, keys[-1] | ~borrow)


def before(position, end):
    """Whether a position is before the ``end`` of some; as :func:`reached`."""
    # One carry chain: the sign of the difference less 1, and that it is not negative.
    *_, positive, carry = end[:-1] + ~position[:-1]
    return Mux(position[-1], end.any() & ~positive, end[-1] | carry)

"""One of several values, by its number."""

from amaranth import Array, Mux

__all__ = ["choose", "choose_by_bits"]


def choose(values, number):
    """``values[number]``; without a choice, the only value."""
    values = list(values)
    return values[0] if len(values) == 1 else Array(values)[number]


def choose_by_bits(values, number):
    """As :func:`choose`, in two-way choices by the bits of ``number``, for many wide values.

    Synthesis makes 4-way multiplexers of a LUT6 of these, where the one-hot selects of
    :func:`choose` take more. Undefined beyond the last value.
    """
    values = list(values)
    for bit in number:
        if len(values) == 1:
            break
        values = [Mux(bit, values[k + 1], values[k]) if k + 1 < len(values) else values[k]
                  for k in range(0, len(values), 2)]
    return values[0]

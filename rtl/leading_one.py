"""Place of the leading one, and the bits below it."""

from amaranth import Cat, Const, Mux, Signal


__all__ = ["leading_one"]


def leading_one(m, value, tail, below):
    """Find the leading one of ``value``. Combinational.

    Parameters
    ----------
    value : Value
        At least one bit of it must be set, or the result is of no use.
    tail : Value
        Further bits below ``value``, at least ``below`` of them, which the fraction may reach.
    below : int
        Width of the fraction.

    Returns
    -------
    place : Signal
        Number of the highest bit of ``value`` that is set.
    fraction : Signal(below)
        The ``below`` bits under it.

    The value is normalised to the left in halving steps, each of which says one bit of the place:
    logarithmic depth, and no priority chain.
    """
    steps = max((len(value) - 1).bit_length(), 1)
    size = 1 << steps
    kept = tail[len(tail) - below:]
    current = Cat(kept, value, Const(0, size - len(value)))
    place = Signal(steps, name="place")
    for step in reversed(range(steps)):
        half = 1 << step
        high = current[len(current) - half:]
        following = Signal(len(current) - half, name=f"normal_{step}")
        m.d.comb += place[step].eq(high.any())
        m.d.comb += following.eq(Mux(place[step], current[half:], current[:len(current) - half]))
        current = following
    fraction = Signal(below, name="fraction")
    m.d.comb += fraction.eq(current[:below])
    return place, fraction

"""Place of the leading one, and the bits below it."""

from amaranth import Cat, Const, Mux, Signal


__all__ = ["leading_one"]


def leading_one(m, value, below):
    """Find the leading one of ``value``. Combinational.

    Returns
    -------
    place : Signal
        Number of the highest bit that is set, 0 if none is.
    fraction : Signal(below)
        The ``below`` bits under it, from the top down; zeros are moved in from the right.

    The value is normalised to the left by halving steps, each of which says one bit of the place:
    logarithmic depth, and no priority chain.
    """
    width = len(value)
    steps = max(width - 1, 1).bit_length()
    size = 1 << steps
    current = Signal(size, name="normal")
    m.d.comb += current.eq(Cat(Const(0, size - width), value) if size > width else value)
    place = []
    for step in reversed(range(steps)):
        half = 1 << step
        empty = ~current[size - half:].any()
        following = Signal(size, name=f"normal_{half}")
        m.d.comb += following.eq(Mux(empty, current << half, current))
        # The bit says that the upper part was not empty: the leading one is high.
        place.insert(0, ~empty)
        current = following
    shortfall = size - width
    place_signal = Signal(steps, name="place")
    # With `size - 1 - place` counted from the left, an unpadded place is short of the padding.
    m.d.comb += place_signal.eq(Mux(value.any(), Cat(place) - shortfall, 0))
    fraction = Signal(below, name="fraction")
    top = Cat(Const(0, below), current[:size - 1])
    m.d.comb += fraction.eq(top[size - 1:])
    return place_signal, fraction

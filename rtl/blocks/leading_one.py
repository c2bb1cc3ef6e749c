"""Position of the leading one, and the bits below it."""

from amaranth import Cat, Const, Mux, Signal

from .pipeline import delays

__all__ = ["leading_one", "normalised"]


def leading_one(m, value, tail, below, *, rests=()):
    """Find the leading one of ``value``: ``place = floor(log2(value))``, and the bits below it.

    Normalises to the left in halving steps, each of which yields one bit of ``place``: logarithmic
    depth, no priority chain. Combinational without ``rests``; latency ``len(rests)`` cycles.

    Parameters
    ----------
    value : Value
        Unsigned. The results are undefined for 0.
    tail : Value
        Bits below ``value`` that the fraction may reach, at least ``below`` of them.
    below : int
        Width of the fraction.
    rests : collection of int
        Step numbers after which to place a pipeline register; numbers beyond the last step mean
        after the last one.

    Returns
    -------
    place : Signal(max((len(value) - 1).bit_length(), 1))
        Position of the leading one in ``value``.
    fraction : Signal(below)
        The ``below`` bits under it.
    """
    steps = max((len(value) - 1).bit_length(), 1)
    size = 1 << steps
    kept = tail[len(tail) - below:]
    current = Cat(kept, value, Const(0, size - len(value)))
    place = Const(0, 0)
    for number in range(steps + 1):
        # A narrow value has fewer steps than ``rests`` names.
        cycles = sum(min(rest, steps) == number for rest in rests)
        current, place = (delays(m, word, cycles, f"{name}_{number}")[-1]
                          for name, word in (("resting", current), ("place", place)))
        if number == steps:
            break
        step = steps - 1 - number
        half = 1 << step
        high = current[len(current) - half:]
        following = Signal(len(current) - half, name=f"normal_{step}")
        some = Signal(name=f"some_{step}")
        m.d.comb += some.eq(high.any())
        m.d.comb += following.eq(Mux(some, current[half:], current[:len(current) - half]))
        current, place = following, Cat(some, place)
    found = Signal(steps, name="place")
    fraction = Signal(below, name="fraction")
    m.d.comb += [found.eq(place), fraction.eq(current[:below])]
    return found, fraction


def normalised(m, value, least, below, **options):
    """As :func:`leading_one`, for a ``value`` of at least ``2**least``.

    The returned place counts from ``least``: ``floor(log2(value)) - least``. ``options`` are those
    of :func:`leading_one`. Undefined for a smaller ``value``.
    """
    tail = Cat(Const(0, max(below - least, 0)), value[max(least - below, 0):least])
    return leading_one(m, value[least:], tail, below, **options)

"""Place of the leading one, and the bits below it."""

from amaranth import Cat, Const, Mux, Signal

from .pipeline import delays

__all__ = ["leading_one", "normalised"]


def leading_one(m, value, tail, below, *, rests=()):
    """Find the leading one of ``value``. Combinational, but for rests.

    Parameters
    ----------
    value : Value
        At least one bit of it must be set, or the result is of no use.
    tail : Value
        Further bits below ``value``, at least ``below`` of them, which the fraction may reach.
    below : int
        Width of the fraction.
    rests : collection of int
        Numbers of steps after which there is a register (in the end, if there are fewer steps);
        each is a cycle of latency.

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
    place = Const(0, 0)
    for number in range(steps + 1):
        # A number of few bits rests in the end.
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
    """Place of the leading one of ``value``, from ``least`` on, and the ``below`` bits under it.

    As :func:`leading_one`, for numbers of which it is known that the place is ``least`` or more.
    """
    tail = Cat(Const(0, max(below - least, 0)), value[max(least - below, 0):least])
    return leading_one(m, value[least:], tail, below, **options)

"""Shifts by a variable amount."""

from amaranth import Mux, Signal

__all__ = ["shift_left", "shift_right"]


def shift_right(m, value, amount):
    """``value >> amount`` for unsigned values. Combinational.

    Each stage handles two bits of ``amount``: a four-way multiplexer, one LUT6 a bit.

    Parameters
    ----------
    value : Value
        Unsigned.
    amount : Value
        Unsigned; an amount of ``len(value)`` or more gives 0.

    Returns
    -------
    Value
        As wide as ``value``.
    """
    current = value
    for low in range(0, len(amount), 2):
        step = amount[low:low + 2]
        options = [current >> (i << low) for i in range(1 << len(step))]
        if (1 << low) >= len(value):
            # Any of the remaining bits shifts everything out.
            current = Mux(amount[low:].any(), 0, current)
            break
        chosen = Signal(len(value), name=f"shifted_{low}")
        with m.Switch(step):
            for i, option in enumerate(options):
                with m.Case(i):
                    m.d.comb += chosen.eq(option)
        current = chosen
    return current[:len(value)]


def shift_left(m, value, amount, shape, name):
    """``value << amount`` in ``shape``, one two-bit step of the amount at a time. Combinational."""
    for low in range(0, len(amount), 2):
        step = amount[low:low + 2]
        chosen = Signal(shape, name=f"{name}_shifted_{low}")
        with m.Switch(step):
            for i in range(1 << len(step)):
                with m.Case(i):
                    m.d.comb += chosen.eq(value << (i << low))
        value = chosen
    return value

"""Tables in logic: a function of a few bits, by value."""

from amaranth import Cat, Const, Signal, signed

__all__ = ["constant_multiple", "lookup"]


def lookup(m, index, words, *, name="lookup"):
    """Word number ``index`` of ``words``; 0 beyond their end. Combinational.

    One truth table a bit, so that synthesis finds a LUT6 for every six bits of index. The tables
    are held inverted: Yosys would otherwise take a zero word for the reset of a flip-flop behind
    the table, bit by bit, and spend a LUT on each.
    """
    width = max(max(words).bit_length(), 1)
    size = 1 << len(index)
    result = Signal(width, name=name)
    for bit in range(width):
        column = sum(((word >> bit) & 1) << i for i, word in enumerate(words[:size]))
        inverted = Const(~column & ((1 << size) - 1), size)
        m.d.comb += result[bit].eq(~inverted.bit_select(index, 1))
    return result


def constant_multiple(value, factor):
    """``value * factor`` for a constant ``factor >= 0``, as a sum of shifted values.

    Shifts and signs come from the canonical signed-digit form of the factor, which never has two
    neighbouring digits, so the sum is as short as one without shared parts can be.
    """
    total = None
    position = 0
    while factor:
        if factor & 1:
            digit = 2 - (factor & 3)
            shifted = Cat(Const(0, position), value)
            shifted = shifted.as_signed() if value.shape().signed else shifted
            if total is None:
                total = shifted if digit > 0 else -shifted
            else:
                total = total + shifted if digit > 0 else total - shifted
            factor -= digit
        factor >>= 1
        position += 1
    return Const(0, signed(1)) if total is None else total

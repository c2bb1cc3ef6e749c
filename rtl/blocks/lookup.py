"""Tables in LUTs, and products with constants."""

from amaranth import Cat, Const, Signal, signed

__all__ = ["constant_multiple", "lookup", "tabled_multiple"]


# Bits of the index of a table of multiples: a truth table of two LUT6s.
MULTIPLE_BITS = 7


def lookup(m, index, words, *, name="lookup"):
    """``words[index]``, or 0 beyond their end. Combinational.

    One truth table per bit, which synthesis maps to LUT6s. The tables are stored inverted: Yosys
    would otherwise infer a synchronous reset from zero words, and spend a LUT per bit on it.

    Parameters
    ----------
    index : Value
        Unsigned.
    words : sequence of int
        Unsigned.

    Returns
    -------
    Signal(max(max(words).bit_length(), 1))
        The word.
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
    """``value * factor`` for a constant ``factor >= 0``, as shifts and additions. Combinational.

    Terms follow the canonical signed-digit form of ``factor``: no two adjacent digits are nonzero,
    so no form without shared terms has fewer additions. Takes signed and unsigned values; exact.
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


def tabled_multiple(m, value, factor, addend, name):
    """``value * factor + addend`` as tables of multiples, which are added a cycle later.

    Seven bits of ``value`` index each table, and its word is registered. The sum is two levels of
    logic for 14 bits, where :func:`constant_multiple` has one for each nonzero digit.

    Parameters
    ----------
    value : Value
        Unsigned.
    factor, addend : int
        Constants, non-negative.

    Returns
    -------
    Value
        The sum, a cycle after ``value``; combinational behind the registers.
    """
    total = 0
    for low in range(0, len(value), MULTIPLE_BITS):
        part = value[low:low + MULTIPLE_BITS]
        words = [i * factor + (0 if low else addend) for i in range(1 << len(part))]
        word = Signal(max(max(words).bit_length(), 1), name=f"{name}_{low}")
        m.d.sync += word.eq(lookup(m, part, words, name=f"{name}_word_{low}"))
        total = Cat(Const(0, low), word) + total
    return total

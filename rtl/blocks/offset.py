"""Removal of a constant offset in front of a multiplier."""

from amaranth import Cat, Signal

__all__ = ["without_offset"]


def without_offset(m, value, offset, bits):
    """``value - offset`` of ``bits`` bits, signed. Combinational.

    Half the range is added on top, and the top bit inverted. Of a plain subtraction Yosys 0.68
    makes the pre-adder of the DSP block that multiplies the difference, and loses the truncation
    to ``bits``: the netlist then multiplies another number.
    """
    if not offset:
        return value
    lifted = Signal(bits)
    m.d.comb += lifted.eq(value + ((1 << (bits - 1)) - offset))
    return Cat(lifted[:-1], ~lifted[-1]).as_signed()

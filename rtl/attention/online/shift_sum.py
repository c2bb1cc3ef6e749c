"""Sums that are shifted as the reference of their row rises, one addition a cycle."""

from amaranth import Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.choose import choose_by_bits

__all__ = ["ShiftCodes", "ShiftSum", "codes_layout"]

# What a bit of a sum is taken from before the addition.
STAY, NEAR, CLEAR, SIGN = range(4)


def codes_layout(width, block):
    """What moves a sum of ``width`` bits.

    ``source`` (2 bits for each bit of the sum): the bit itself, one that is blocks above it,
    nothing, or the sign. ``blocks``: how many blocks above, for the bits of each reach of two or
    more, as :func:`_number` says.
    """
    reaches = sorted({_reach(width, block, bit) for bit in range(width)} - {0, 1})
    return data.StructLayout({
        "source": data.ArrayLayout(2, width),
        "blocks": data.StructLayout({f"reach_{reach}": range(reach) for reach in reaches})})


def _reach(width, block, bit):
    """Blocks above a bit that hold anything but the sign."""
    return max(-(-(width - 1 - bit) // block) - 1, 0)


def _number(reach, blocks):
    """Code of the blocks that are skipped, 1 to ``reach``.

    Bits of different reach would share choices between the same words, and put a third LUT before
    the addition: so their codes differ.
    """
    if reach == 2:
        return blocks >> 1
    return reach - blocks if reach & 1 else blocks - 1


class ShiftCodes(wiring.Component):
    """Decoder of the rises of a reference, for all sums of one width.

    Latency 1 cycle, throughput one beat per cycle; never stalls.

    Parameters
    ----------
    width : int
        Width of a sum.
    block : int
        Octaves of a block.
    rise_bits : int
        Width of ``rise``.
    octaves : int
        Octaves of a block that a reference can have, at most ``block``.

    Members
    -------
    first : In(1)
        The beat starts a row: the sums start at 0.
    rise : In(rise_bits)
        Blocks by which the reference rises with the beat; ignored with ``first``.
    octave : In(range(octaves))
        Octave of the new reference within its block.
    o : Out(codes_layout(width, block))
        What moves the bits of the sums.
    """

    def __init__(self, width, block, rise_bits, octaves):
        self.width, self.block, self.octaves = width, block, octaves
        super().__init__({"first": In(1), "rise": In(rise_bits), "octave": In(range(octaves)),
                          "o": Out(codes_layout(width, block))})

    def elaborate(self, platform):
        m = Module()
        kinds = {}
        for bit in range(self.width):
            # Bits below the octave of the reference are those that a shift cuts off.
            reach, low = _reach(self.width, self.block, bit), min(bit, self.block - 1)
            if (reach, low) not in kinds:
                source = kinds[reach, low] = Signal(2, name=f"source_{reach}_{low}")
                # No comparison that the widths decide already.
                beyond = self.rise > reach if reach < (1 << len(self.rise)) - 1 else 0
                cut = self.octave > low if low < self.octaves - 1 else 0
                moved = Mux(self.rise == 0, STAY, Mux(beyond, SIGN, NEAR))
                m.d.sync += source.eq(Mux(self.first | cut, CLEAR, moved))
            m.d.comb += self.o.source[bit].eq(kinds[reach, low])
        for name in self.o.blocks.shape().members:
            m.d.sync += self.o.blocks[name].eq(_number(int(name.removeprefix("reach_")), self.rise))
        return m


class ShiftSum(wiring.Component):
    """Signed running sum, relative to a reference that rises by powers of two.

    ::

        o[t] = (o[t - 1] >> blocks, with the bits below the octave cleared) + i[t]

    Both the shift by whole blocks and the bits to clear come from :class:`ShiftCodes`. Latency 1
    cycle, throughput one beat per cycle; never stalls. The caller guarantees that the sum does not
    overflow.

    Parameters
    ----------
    width : int
        Width of the sum.
    i_width : int
        Width of a term.
    block : int
        Octaves of a block.

    Members
    -------
    valid : In(1)
        There is a beat.
    codes : In(codes_layout(width, block))
        What moves the sum, of that beat.
    i : In(signed(i_width))
        Term of the beat.
    o : Out(signed(width))
        Sum so far.
    """

    def __init__(self, width, i_width, block):
        self.width, self.block = width, block
        super().__init__({"valid": In(1), "codes": In(codes_layout(width, block)),
                          "i": In(signed(i_width)), "o": Out(signed(width))})

    def elaborate(self, platform):
        m = Module()
        sign, moved = self.o[-1], Signal(signed(self.width))
        for bit in range(self.width):
            reach = _reach(self.width, self.block, bit)
            above = {_number(reach, k): self.o[bit + k * self.block] for k in range(1, reach + 1)}
            # Two-way choices by single bits: Yosys finds the LUT6 in these, and not in a switch.
            near = choose_by_bits([above[k] for k in range(reach)], self._blocks(reach)) \
                if reach else sign
            last, middle = self.codes.source[bit]
            m.d.comb += moved[bit].eq(Mux(middle, Mux(last, sign, 0),
                                          Mux(last, near, self.o[bit])))
        with m.If(self.valid):
            m.d.sync += self.o.eq(self.i + moved)
        return m

    def _blocks(self, reach):
        """Code of the blocks that the bits of a reach skip."""
        return self.codes.blocks[f"reach_{reach}"] if reach > 1 else Const(0, 1)

"""Sums that are moved as the reference of their row rises, one addition a cycle."""

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Move", "ShiftSum", "move_of"]


class Move(enum.Enum, shape=unsigned(3)):
    """What becomes of a sum before a beat is added."""

    #: It stays. The top bit of the others selects the port of a DSP block that is added to.
    STAY = 0
    #: It starts at 0.
    CLEAR = 4
    #: It goes down by a block of octaves.
    ONE = 5
    #: By two.
    TWO = 6
    #: By three.
    THREE = 7


def move_of(first, rise, reach):
    """:class:`Move` of a beat that starts a row, or raises the reference by ``rise`` blocks.

    Above ``reach`` blocks nothing of a sum is left.
    """
    # No comparison that the widths decide already.
    beyond = rise > reach if reach < (1 << len(rise)) - 1 else Const(0, 1)
    return Cat(Mux(first | beyond, 0, Cat(rise, Const(0, 1))[:2]), first | rise.any())


class ShiftSum(wiring.Component):
    """Signed running sum, relative to a reference that rises by powers of two.

    ::

        o[t] = moved(o[t - 1]) + i[t]

    A move by ``n`` blocks is ``(o >> (block * n + cut)) << cut``, towards minus infinity. The
    addition is written as a DSP block has it, which adds to what it holds or to its port C: behind
    a product the sum takes no adder, and each bit a LUT before that port. Latency 1 cycle,
    throughput one beat per cycle; never stalls. The caller guarantees that the sum does not
    overflow.

    Parameters
    ----------
    width : int
        Width of the sum.
    i_width : int
        Width of a term.
    block : int
        Octaves of a block.
    cut : int
        Low bits that a move clears.

    Members
    -------
    valid : In(1)
        There is a beat.
    move : In(Move)
        What becomes of the sum before that beat.
    i : In(signed(i_width))
        Term of the beat.
    o : Out(signed(width))
        Sum so far.
    """

    def __init__(self, width, i_width, block, cut=0):
        self.width, self.block, self.cut = width, block, cut
        super().__init__({"valid": In(1), "move": In(Move), "i": In(signed(i_width)),
                          "o": Out(signed(width))})

    def elaborate(self, platform):
        m = Module()
        total = Signal(signed(self.width), reset_less=True)
        one, two, three = (total >> (n * self.block) for n in (1, 2, 3))
        low, high, moves = self.move.as_value()
        moved = Signal(signed(max(self.width - self.block, 1)))
        m.d.comb += [moved.eq(Mux(high, Mux(low, three, two), Mux(low, one, 0))),
                     self.o.eq(total)]
        moved = Cat(Const(0, self.cut), moved[self.cut:]).as_signed()
        # The sum has to be the choice of 0: Yosys packs the other order as if it were this one.
        with m.If(self.valid):
            m.d.sync += total.eq(self.i + Mux(moves, moved, total))
        return m

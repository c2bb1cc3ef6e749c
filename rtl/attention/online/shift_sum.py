"""Sums that are moved as the reference of their row rises, one addition a cycle."""

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

from .numbers import BLOCK, REACH

__all__ = ["Move", "ShiftSum", "move_of"]


class Move(enum.Enum, shape=unsigned(2)):
    """What becomes of a sum before a beat is added."""

    #: It stays.
    STAY = 0
    #: It goes down by a block of octaves.
    ONE = 1
    #: By two.
    TWO = 2
    #: It starts at 0.
    CLEAR = 3


def move_of(first, rise):
    """:class:`Move` of a beat that starts a row, or raises the reference by ``rise`` blocks."""
    # No comparison that the widths decide already.
    beyond = rise > REACH if REACH < (1 << len(rise)) - 1 else Const(0, 1)
    return Mux(first | beyond, Move.CLEAR.value, Cat(rise, Const(0, 2))[:2])


class ShiftSum(wiring.Component):
    """Signed running sum, relative to a reference that rises by powers of two.

    ::

        o[t] = moved(o[t - 1]) + i[t]

    A move by ``n`` blocks is ``(o >> (BLOCK * n + cut)) << cut``, towards minus infinity. The
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

    def __init__(self, width, i_width, cut=0):
        self.width, self.cut = width, cut
        super().__init__({"valid": In(1), "move": In(Move), "i": In(signed(i_width)),
                          "o": Out(signed(width))})

    def elaborate(self, platform):
        m = Module()
        total = Signal(signed(self.width), reset_less=True)
        one, two = (total >> (n * BLOCK) for n in (1, 2))
        low, high = self.move.as_value()
        moved = Signal(signed(max(self.width - BLOCK, 1)))
        m.d.comb += [moved.eq(Mux(high, Mux(low, 0, two), one)), self.o.eq(total)]
        moved = Cat(Const(0, self.cut), moved[self.cut:]).as_signed()
        with m.If(self.valid):
            m.d.sync += total.eq(self.i + Mux(low | high, moved, total))
        return m

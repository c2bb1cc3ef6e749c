"""Ring of beats that holds each row until its last beat."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..blocks.memory import ram
from ..blocks.pipeline import delays

__all__ = ["RowStore"]


class RowStore(wiring.Component):
    """Ring of beats: a row leaves once its last beat is written, while later rows enter.

    No back-pressure: a beat leaves in every cycle in which a whole row is stored, so a ring of the
    longest row's beats never overflows. The slot of a beat is written again, at the earliest, in
    the cycle in which it is read.

    Latency 2 cycles from a row's last beat on ``i`` to its first beat on ``o``, throughput one beat
    per cycle, rows back to back; never stalls. Reset empties the ring.

    Parameters
    ----------
    layout : ShapeLike
        Shape of a beat.
    max_beats : int
        Beats of the longest row.
    memory : "auto", "block" or "distributed"
        Kind of memory: block RAM, LUT RAM, or block RAM above 4096 bits.
    ages : int
        Largest ``age`` to tell; 0 for none.

    Members
    -------
    i : In(layout)
        Beat to write.
    write : In(1)
        ``i`` holds a beat.
    last : In(1)
        The beat on ``i`` is the last of its row.
    o : Out(layout)
        Beat read.
    valid : Out(1)
        ``o`` holds a beat.
    row_i : Out(range(depth))
        Slot of the first beat of the row that is written.
    row_o : Out(range(depth))
        Slot that is read: that of ``o`` in the next cycle.
    age : Out(range(ages + 1))
        Cycles since the row whose first beat is read has ended, 0 for more than ``ages``;
        undefined with another beat. Only if ``ages`` is not 0.
    """

    def __init__(self, layout, max_beats, *, memory="auto", ages=0):
        self.layout = layout
        self.max_beats = max_beats
        self.memory = memory
        self.ages = ages
        super().__init__({
            "i": In(layout),
            "write": In(1),
            "last": In(1),
            "o": Out(layout),
            "valid": Out(1),
            "row_i": Out(range(self.depth)),
            "row_o": Out(range(self.depth)),
            **({"age": Out(range(ages + 1))} if ages else {}),
        })

    @staticmethod
    def depth_of(max_beats):
        """Slots of the ring for rows of up to ``max_beats`` beats, a power of two."""
        return 1 << max(max_beats - 1, 1).bit_length()

    @property
    def depth(self):
        """Beats that the ring holds, a power of two."""
        return self.depth_of(self.max_beats)

    def elaborate(self, platform):
        m = Module()
        m.submodules.beats = beats = ram(self.layout, self.depth, self.memory)
        write = beats.write_port()
        read = beats.read_port()
        # One bit more than an address: a full ring differs from an empty one.
        tail = Signal((self.depth - 1).bit_length() + 1)
        end = Signal.like(tail)
        head = Signal.like(tail)
        ahead = Signal.like(tail, init=1)
        following = Signal.like(tail)
        waiting = Signal()
        m.d.comb += [
            following.eq(tail + self.write),
            write.addr.eq(tail), write.data.eq(self.i), write.en.eq(self.write),
            read.addr.eq(head), read.en.eq(1), self.o.eq(read.data),
            self.row_i.eq(end), self.row_o.eq(head),
        ]
        m.d.sync += [tail.eq(following), self.valid.eq(waiting)]
        # `waiting` and the next address are registers, which keeps comparators out of the path to
        # the memory's address.
        with m.If(waiting):
            m.d.sync += [head.eq(ahead), ahead.eq(ahead + 1), waiting.eq(ahead != end)]
        with m.If(self.write & self.last):
            m.d.sync += [end.eq(following), waiting.eq(1)]
        if self.ages:
            # `end` is the slot of a row's first beat until the row has ended.
            ended = delays(m, self.write & self.last, self.ages - 1, "ended")
            starts = delays(m, end, self.ages - 1, "start")
            m.d.sync += self.age.eq(0)
            for cycles in range(self.ages):
                next_read = ahead == starts[cycles]
                with m.If(ended[cycles] & (next_read if cycles else next_read | ~waiting)):
                    m.d.sync += self.age.eq(cycles + 1)
        return m

"""Store of the beats of rows that wait for the end of their row."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..blocks.memory import ram

__all__ = ["RowStore"]

class RowStore(wiring.Component):
    """Ring of beats: whole rows go out, in order, while later ones come in.

    Beats of a row are read once its last beat is written, one per cycle, rows back to back. As a
    beat leaves in every cycle in which a whole row is there, a ring of the longest row's beats can
    not run full, and nobody has to ask: the slot of the first beat is written again, at the
    earliest, in the cycle in which it is read.

    Latency from a row's last beat written to its first beat on ``o``: 2 cycles.

    Parameters
    ----------
    layout : ShapeLike
        Shape of a beat.
    max_beats : int
        Beats of the longest row.
    memory : "auto", "block" or "distributed"
        Kind of memory: block RAM, LUT RAM, or by size.

    Members
    -------
    i : In(layout)
        Beat to write.
    write : In(1)
        ``i`` holds a beat.
    last : In(1)
        It is the last one of its row.
    o : Out(layout)
        Beat that was read.
    valid : Out(1)
        ``o`` holds a beat.
    """

    def __init__(self, layout, max_beats, *, memory="auto"):
        self.layout = layout
        self.max_beats = max_beats
        self.memory = memory
        super().__init__({
            "i": In(layout),
            "write": In(1),
            "last": In(1),
            "o": Out(layout),
            "valid": Out(1),
        })

    @property
    def depth(self):
        """Beats that the ring holds: a power of two."""
        return 1 << max(self.max_beats - 1, 1).bit_length()

    def elaborate(self, platform):
        m = Module()
        m.submodules.beats = beats = ram(self.layout, self.depth, self.memory)
        write = beats.write_port()
        read = beats.read_port()
        # One bit more than an address: a full ring differs from an empty one.
        tail = Signal((self.depth - 1).bit_length() + 1)
        end = Signal.like(tail)
        head, ahead = Signal.like(tail), Signal.like(tail, init=1)
        following = Signal.like(tail)
        waiting = Signal()
        m.d.comb += [
            following.eq(tail + self.write),
            write.addr.eq(tail), write.data.eq(self.i), write.en.eq(self.write),
            read.addr.eq(head), read.en.eq(1), self.o.eq(read.data),
        ]
        m.d.sync += [tail.eq(following), self.valid.eq(waiting)]
        # Whether a beat waits is known from a register, and the next address too, so that neither
        # is a comparison away from the memory.
        with m.If(waiting):
            m.d.sync += [head.eq(ahead), ahead.eq(ahead + 1), waiting.eq(ahead != end)]
        with m.If(self.write & self.last):
            m.d.sync += [end.eq(following), waiting.eq(1)]
        return m

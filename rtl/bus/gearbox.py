"""Conversion between beats of different widths."""

import math

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .dma_beat import ByteBeat

__all__ = ["Gearbox"]


class Gearbox(wiring.Component):
    """Packs the bytes of rows into beats of another size, from one byte to any number of them.

    Each row leaves in as few beats as it fills: all but the last one are full, the last one has the
    low bytes of ``keep``. Bytes that are not kept are undefined.

    Both sizes are counted in chunks of their greatest common divisor; a register holds up to
    ``i_chunks + o_chunks - 1`` of them. Latency 1 cycle from the beat that fills an output beat.
    Throughput one beat per cycle at the side that has more beats, without bubbles between rows.
    ``i.ready`` follows ``o.ready`` in the same cycle; ``o`` comes from registers. Empty after
    reset.

    Parameters
    ----------
    i_size, o_size : int
        Bytes of a beat in and out.

    Members
    -------
    i : In(stream.Signature(ByteBeat(i_size)))
        Rows; all bytes kept except in a row's last beat, where the low bytes are, one at least.
    o : Out(stream.Signature(ByteBeat(o_size)))
        The same rows.
    """

    def __init__(self, i_size, o_size):
        if i_size < 1 or o_size < 1:
            raise ValueError(f"Sizes of beats must be at least 1 byte, not {i_size} and {o_size}")
        self.chunk = math.gcd(i_size, o_size)
        self.chunks = i_size // self.chunk, o_size // self.chunk
        super().__init__({"i": In(stream.Signature(ByteBeat(i_size))),
                          "o": Out(stream.Signature(ByteBeat(o_size)))})

    def elaborate(self, platform):
        m = Module()
        taken, given = self.chunks
        size = self.chunk
        room = taken + given - 1
        data, keep = Signal(8 * size * room, reset_less=True), Signal(size * room)
        # Chunks held; the last one of them ends its row.
        level, ended = Signal(range(room + 1)), Signal()

        pop, final, push = Signal(), Signal(), Signal()
        after = Signal.like(level)
        m.d.comb += [
            # No more than one output beat is left, whatever the level, if chunks come singly.
            final.eq(ended if taken == 1 else ended & (level <= given)),
            self.o.valid.eq(ended | (level >= given)),
            self.o.p.data.eq(data), self.o.p.keep.eq(keep), self.o.p.last.eq(final),
            pop.eq(self.o.valid & self.o.ready),
            # What is left of this cycle's chunks once the output has been taken.
            after.eq(Mux(pop, Mux(final, 0, level - given), level)),
            self.i.ready.eq((after < given) & (~ended | (pop & final))),
            push.eq(self.i.valid & self.i.ready),
        ]
        entering = sum(self.i.p.keep[k * size] for k in range(taken))
        m.d.sync += level.eq(after + Mux(push, entering, 0))
        with m.If(push):
            m.d.sync += ended.eq(self.i.p.last)
        with m.Elif(pop & final):
            m.d.sync += ended.eq(0)

        kept = Mux(push, self.i.p.keep, 0)
        moved = Mux(pop, _shifted(keep, given * size), keep)
        m.d.sync += keep.eq(moved | _placed(m, kept, after, size, given, len(keep), "keep"))
        # A byte that is not kept is free for the next beat.
        old = Mux(pop, _shifted(data, 8 * given * size), data)
        new = _placed(m, self.i.p.data, after, 8 * size, given, len(data), "data")
        m.d.sync += data.eq(Cat(
            Mux(moved[k], old.word_select(k, 8), new.word_select(k, 8))
            for k in range(size * room)))
        return m


def _shifted(value, bits):
    """``value`` without its lowest bits, as wide as before."""
    return Cat(value[bits:], Const(0, min(bits, len(value))))


def _placed(m, value, chunk, bits, places, width, name):
    """``value`` from chunk ``chunk`` on, one of the first ``places``, among zeros."""
    result = Signal(width, name=f"placed_{name}")
    with m.Switch(chunk):
        for place in range(places):
            with m.Case(place):
                m.d.comb += result.eq(value << (place * bits))
    return result

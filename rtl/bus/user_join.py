"""A sideband word from memory beside each beat of a row."""

from amaranth import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .dma_beat import ByteBeat

__all__ = ["UserJoin"]


class UserJoin(wiring.Component):
    """Puts a row of words beside a row of beats, a word a beat.

    A row of words that ends before the row of beats is filled up with zeros, one that ends behind
    it is cut; either pulses, and the next rows are together again.

    Latency 0, throughput one beat per cycle. Ready and valid pass through.

    Parameters
    ----------
    size : int
        Bytes of a beat.
    user_size : int
        Bytes of a word.

    Members
    -------
    i : In(stream.Signature(ByteBeat(size)))
        Rows.
    words : In(stream.Signature(ByteBeat(user_size)))
        Rows of words.
    o : Out(stream.Signature(ByteBeat(size)))
        Rows.
    user : Out(8 * user_size)
        Word of the beat that is offered.
    short : Out(1)
        Pulses when a row of words ends too early.
    long : Out(1)
        Pulses when one goes on for too long.
    """

    def __init__(self, size, user_size):
        super().__init__({
            "i": In(stream.Signature(ByteBeat(size))),
            "words": In(stream.Signature(ByteBeat(user_size))),
            "o": Out(stream.Signature(ByteBeat(size))), "user": Out(8 * user_size),
            "short": Out(1), "long": Out(1)})

    def elaborate(self, platform):
        m = Module()
        filling, dropping, moved = Signal(), Signal(), Signal()
        m.d.comb += [
            self.o.payload.eq(self.i.payload),
            self.o.valid.eq(self.i.valid & ~dropping & (filling | self.words.valid)),
            moved.eq(self.o.valid & self.o.ready), self.i.ready.eq(moved),
            self.words.ready.eq(dropping | (moved & ~filling)),
        ]
        with m.If(~filling):
            m.d.comb += self.user.eq(self.words.p.data)
        with m.If(moved & self.i.p.last):
            m.d.comb += self.long.eq(~filling & ~self.words.p.last)
            m.d.sync += [filling.eq(0), dropping.eq(self.long)]
        with m.Elif(moved & ~filling & self.words.p.last):
            m.d.comb += self.short.eq(1)
            m.d.sync += filling.eq(1)
        with m.If(dropping & self.words.valid & self.words.p.last):
            m.d.sync += dropping.eq(0)
        return m

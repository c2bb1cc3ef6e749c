"""Read requests of a unit as descriptors of a read DMA."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .dma_bursts import Descriptor
from .registers import WORD

__all__ = ["DmaRequests"]


class DmaRequests(wiring.Component):
    """Makes a descriptor of each read request of a unit: one row, which is the answer's packet.

    Takes the place of :class:`~rtl.bus.dma_queue.DmaQueue` in a channel that the unit drives
    itself. A request whose address is not a multiple of 8, or that asks for no beats, is refused by
    the DMA, and has no answer. Of the bytes of an answer the low 24 bits count.

    Latency 0; throughput that of the DMA.

    Parameters
    ----------
    size : int
        Bytes of a beat of the answer.

    Members
    -------
    i : In(stream.Signature(64))
        Requests: byte address in the low half, number of beats above it.
    abort : In(1)
        Take no request.
    o : Out(stream.Signature(Descriptor()))
        Descriptors.
    done : In(range(3))
        Descriptors that are done in this cycle.
    clear : In(1)
        Set the count to 0.
    count : Out(32)
        Requests done, modulo 2**32.
    """

    def __init__(self, size):
        self.size = size
        super().__init__({
            "i": In(stream.Signature(2 * WORD)), "abort": In(1),
            "o": Out(stream.Signature(Descriptor())),
            "done": In(range(3)), "clear": In(1), "count": Out(WORD)})

    def elaborate(self, platform):
        m = Module()
        address, beats = (self.i.payload.word_select(k, WORD) for k in range(2))
        m.d.comb += [
            self.o.p.address.eq(address), self.o.p.bytes.eq(beats * self.size),
            self.o.p.rows.eq(1), self.o.p.stride.eq(0),
            self.o.valid.eq(self.i.valid & ~self.abort),
            self.i.ready.eq(self.o.ready & ~self.abort),
        ]
        m.d.sync += self.count.eq(self.count + self.done)
        with m.If(self.clear):
            m.d.sync += self.count.eq(0)
        return m

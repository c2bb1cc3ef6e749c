"""Reads sequences of words from a memory behind a port: bursts, credit, broken responses."""

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.fifo import Fifo
from .words import WordLayout, job_layout

__all__ = ["MemoryReader"]


class MemoryReader(wiring.Component):
    """Words of a memory, job by job, in order.

    A job is split into requests of at most ``burst`` words, none of which crosses a multiple of
    ``burst`` words, and so none 4 KiB. As many requests are in flight as ``queue`` words have room
    for; what comes is taken at once. The memory answers the requests in their order, one beat per
    word, with ``last`` on the last word of each.

    A response that ends early is filled up with zeros, one that does not end is cut at its length
    and dropped up to its ``last``; both raise :attr:`error`. Throughput one word per cycle.

    Parameters
    ----------
    port_bytes : int
        Bytes of a word, a power of two.
    words_bits : int
        Width of a job's number of words.
    burst : int
        Words of a request at most, a power of two of no more than 4 KiB.
    queue : int
        Words requested and not yet taken from ``o``, at most.
    memory : "auto", "block" or "distributed"
        Kind of memory of the queue.

    Members
    -------
    job : In(stream.Signature(job_layout(32, words_bits)))
        Byte address and number of words, which is not 0.
    request : Out(stream.Signature(WordLayout(32, 2)))
        Byte address and number of words of a burst.
    response : In(stream.Signature(WordLayout(8, port_bytes)))
        Words of the bursts.
    o : Out(stream.Signature(8 * port_bytes))
        Words of the jobs.
    error : Out(1)
        Pulses when a response has another length than its request.
    """

    def __init__(self, port_bytes, words_bits, burst, queue, *, memory="auto"):
        self.port_bytes, self.words_bits = port_bytes, words_bits
        self.burst, self.queue, self.memory = burst, queue, memory
        super().__init__({
            "job": In(stream.Signature(job_layout(32, words_bits))),
            "request": Out(stream.Signature(WordLayout.request())),
            "response": In(stream.Signature(WordLayout.response(port_bytes))),
            "o": Out(stream.Signature(unsigned(8 * port_bytes))),
            "error": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = Fifo(unsigned(8 * self.port_bytes), self.queue,
                                          memory="distributed" if self.queue <= 64 else "auto")
        # Of each request the number of its last word.
        m.submodules.lasts = lasts = Fifo(range(self.burst), self.queue)
        wiring.connect(m, words.o, wiring.flipped(self.o))
        self._requests(m, lasts)
        self._responses(m, words, lasts.o)
        return m

    def _requests(self, m, lasts):
        """Split the jobs, as far as there is room for their words."""
        shift, bits = (self.port_bytes - 1).bit_length(), (self.burst - 1).bit_length()
        # What is left of the job, and the words that the next burst may have.
        place = Signal(32 - shift)
        left = Signal(self.words_bits)
        until = Signal(range(self.burst + 1))
        more = Signal()
        # A burst that is cut off, until there is room for it.
        cut = Signal()
        waiting = Signal()
        issue = Signal()
        burst_place = Signal.like(place)
        burst_size = Signal.like(until)
        room = Signal(range(self.queue + 1), init=self.queue)
        taken = Signal()
        request = self.request
        m.d.comb += [
            more.eq(left > until),
            issue.eq(waiting & (burst_size <= room) & (~request.valid | request.ready)),
            cut.eq((left != 0) & (~waiting | issue)),
            self.job.ready.eq(left == 0),
            taken.eq(self.o.valid & self.o.ready),
            lasts.i.eq(burst_size - 1), lasts.push.eq(issue),
        ]
        m.d.sync += room.eq(room + taken - Mux(issue, burst_size, 0))
        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(issue):
            m.d.sync += [
                waiting.eq(0), request.valid.eq(1), request.p.last.eq(1),
                request.p.data[0].eq(Cat(Const(0, shift), burst_place)),
                request.p.data[1].eq(burst_size),
            ]
        with m.If(cut):
            m.d.sync += [
                waiting.eq(1), burst_place.eq(place), burst_size.eq(Mux(more, until, left)),
                place.eq(Cat(Const(0, bits), place[bits:] + 1)), until.eq(self.burst),
                left.eq(Mux(more, left - until, 0)),
            ]
        with m.If(self.job.valid & self.job.ready):
            first = self.job.p.address[shift:]
            m.d.sync += [place.eq(first), left.eq(self.job.p.words),
                         until.eq(self.burst - first[:bits])]

    def _responses(self, m, words, last):
        """Take what comes, and make each response as long as its request."""
        beat = self.response
        count = Signal(range(self.burst))
        filling = Signal()
        dropping = Signal()
        final = Signal()
        push = Signal()
        m.d.comb += [
            beat.ready.eq(dropping | (last.valid & ~filling)),
            final.eq(count == last.payload),
            push.eq(last.valid & ~dropping & (filling | beat.valid)),
            words.push.eq(push), last.ready.eq(push & final),
            words.i.eq(Mux(filling, 0, beat.p.data.as_value())),
        ]
        with m.If(push):
            m.d.sync += count.eq(Mux(final, 0, count + 1))
            with m.If(final):
                m.d.sync += filling.eq(0)
            with m.If(~filling):
                m.d.comb += self.error.eq(beat.p.last != final)
                with m.If(beat.p.last & ~final):
                    m.d.sync += filling.eq(1)
                with m.If(final & ~beat.p.last):
                    m.d.sync += dropping.eq(1)
        with m.If(dropping & beat.valid & beat.p.last):
            m.d.sync += dropping.eq(0)

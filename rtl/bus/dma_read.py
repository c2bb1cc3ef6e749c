"""Read DMA: rows from memory to a stream."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.credit import Credit
from ..stream.fifo import Fifo
from .dma_beat import ByteBeat, tail_mask
from .dma_bursts import BURST, BYTES, BurstPlan, Descriptor

__all__ = ["ReadDma"]


class ReadDma(wiring.Component):
    """Reads the rows of descriptors through a 64-bit AXI3 master, a packet of the stream each.

    Bursts are incrementing, of up to 16 beats of 8 bytes, and never cross a multiple of 4 KiB
    (:class:`~rtl.bus.dma_bursts.BurstPlan`). A burst is asked for once there is room for all of it,
    so that ``rready`` is always high: a stalled stream does not block the bus. Up to
    ``outstanding`` bursts are in flight. Everything has one ID, so data comes in order.

    An error response is kept, and the row goes on with what the bus gave: packets are whole
    whatever happens. A refused descriptor gives no packet, and is done at once.

    Reset is allowed while ``busy`` is low only: the bus still answers what it was asked for.
    ``abort``, held until ``busy`` is low, ends everything early: no further burst is asked for, and
    what arrives is dropped.

    Throughput 8 bytes per cycle, with bursts of 16 beats as long as memory answers within
    ``16 * outstanding`` cycles.

    Parameters
    ----------
    depth : int
        Beats of the FIFO in front of the stream, a power of two; at least 32.
    outstanding : int
        Bursts in flight at most.

    Members
    -------
    i : In(stream.Signature(Descriptor()))
        Descriptors.
    araddr : Out(32)
        Byte address of a burst.
    arlen : Out(4)
        Its beats, less one. Their size is 8 bytes, the burst is incrementing.
    arvalid : Out(1)
        A burst is asked for.
    arready : In(1)
        It is taken, if asked for.
    rdata : In(64)
        Data.
    rresp : In(2)
        Response, 0 if all is well.
    rlast : In(1)
        The beat ends its burst.
    rvalid : In(1)
        A beat is offered.
    rready : Out(1)
        It is taken, if offered; always high.
    o : Out(stream.Signature(ByteBeat()))
        Rows.
    done : Out(range(3))
        Descriptors that are done in this cycle: the last beat of one enters the FIFO, one was
        refused, or both.
    busy : Out(1)
        A descriptor is not done, or its beats have not left.
    response : Out(2)
        First response that was not OKAY, kept until cleared: 2 SLVERR, 3 DECERR.
    refused : Out(1)
        A descriptor was refused, kept until cleared.
    clear : In(1)
        Clear what is kept.
    abort : In(1)
        Drop all descriptors and rows; to be held until ``busy`` is low.
    """

    def __init__(self, *, depth=256, outstanding=16):
        if depth < 2 * BURST or depth & (depth - 1):
            raise ValueError(f"Depth must be a power of two of at least {2 * BURST}, not {depth}")
        self.depth, self.outstanding = depth, outstanding
        super().__init__({
            "i": In(stream.Signature(Descriptor())),
            "araddr": Out(32), "arlen": Out(4), "arvalid": Out(1), "arready": In(1),
            "rdata": In(8 * BYTES), "rresp": In(2), "rlast": In(1), "rvalid": In(1),
            "rready": Out(1),
            "o": Out(stream.Signature(ByteBeat())),
            "done": Out(range(3)), "busy": Out(1), "response": Out(2), "refused": Out(1),
            "clear": In(1), "abort": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.plan = plan = BurstPlan()
        m.submodules.credit = credit = Credit(self.outstanding)
        m.submodules.beats = beats = Fifo(ByteBeat(), self.depth, memory="block")
        marks = data.StructLayout({"row_end": 1, "end": 1, "tail": 3})
        m.submodules.marks = marks = Fifo(marks, self.outstanding)
        wiring.connect(m, wiring.flipped(self.i), plan.i)
        m.d.comb += [
            plan.abort.eq(self.abort), self.o.payload.eq(beats.o.payload),
            self.o.valid.eq(beats.o.valid & ~self.abort),
            beats.o.ready.eq(self.o.ready | self.abort),
        ]

        # Beats of the FIFO that no burst has reserved.
        free = Signal(range(self.depth + 1), init=self.depth)
        issue, taken, left = Signal(), Signal(), Signal()
        burst = plan.o.payload
        m.d.comb += [
            issue.eq(plan.o.valid & ~self.abort & credit.available & (free >= BURST) &
                     (self.arready | ~self.arvalid)),
            plan.o.ready.eq(issue), credit.issue.eq(issue),
            marks.push.eq(issue), marks.i.row_end.eq(burst.row_end), marks.i.end.eq(burst.end),
            marks.i.tail.eq(burst.tail),
            left.eq(beats.o.valid & beats.o.ready),
        ]
        m.d.sync += free.eq(free + left - Mux(issue, Cat(burst.length, Const(0, 1)) + 1, 0))
        with m.If(self.arready):
            m.d.sync += self.arvalid.eq(0)
        with m.If(issue):
            m.d.sync += [self.arvalid.eq(1), self.araddr.eq(burst.address),
                         self.arlen.eq(burst.length)]

        mark = marks.o.payload
        row_end = Signal()
        m.d.comb += [
            self.rready.eq(1), taken.eq(self.rvalid & self.rlast),
            credit.done.eq(taken), marks.o.ready.eq(taken),
            row_end.eq(self.rlast & mark.row_end),
            beats.push.eq(self.rvalid), beats.i.data.eq(self.rdata), beats.i.last.eq(row_end),
            beats.i.keep.eq(Mux(row_end, tail_mask(mark.tail), (1 << BYTES) - 1)),
            self.done.eq((taken & mark.end) + plan.refused),
            self.busy.eq(plan.busy | (credit.left != self.outstanding) | (free != self.depth)),
        ]
        with m.If(self.clear):
            m.d.sync += [self.response.eq(0), self.refused.eq(0)]
        with m.If(plan.refused):
            m.d.sync += self.refused.eq(1)
        with m.If(self.rvalid & self.rresp.any() & (self.clear | ~self.response.any())):
            m.d.sync += self.response.eq(self.rresp)
        return m

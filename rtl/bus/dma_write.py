"""Write DMA: rows from a stream to memory."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.credit import Credit
from ..stream.fifo import Fifo
from .dma_beat import ByteBeat, tail_mask
from .dma_bursts import BYTES, BurstPlan, Descriptor

__all__ = ["WriteDma"]


class WriteDma(wiring.Component):
    """Writes packets of a stream to the rows of descriptors through a 64-bit AXI3 master.

    Bursts are incrementing, of up to 16 beats of 8 bytes, and never cross a multiple of 4 KiB
    (:class:`~rtl.bus.dma_bursts.BurstPlan`). Up to ``outstanding`` of them wait for their response.
    Bytes beyond the end of a row are not written: their strobe is low. Everything has one ID, so
    responses come in order.

    A packet that is shorter than its row leaves the rest of the row as it was, and a longer one is
    cut; both are kept as errors, and the next packet goes to the next row. An error response is
    kept, and the transfer goes on.

    Reset is allowed while ``busy`` is low only: the bus waits for the data of what was announced.
    ``abort``, held until ``busy`` is low, ends everything early: no further burst is announced,
    those that were get beats without strobes. It may change a beat that is offered, so a register
    slice belongs between the data channel and a bus on which it is used.

    Throughput 8 bytes per cycle, with bursts of 16 beats as long as memory answers within
    ``16 * outstanding`` cycles. ``i.ready`` follows ``wready``, and ``wvalid`` ``i.valid``, in the
    same cycle.

    Parameters
    ----------
    outstanding : int
        Bursts in flight at most.

    Members
    -------
    i : In(stream.Signature(Descriptor()))
        Descriptors.
    rows : In(stream.Signature(ByteBeat()))
        Packets.
    awaddr : Out(32)
        Byte address of a burst.
    awlen : Out(4)
        Its beats, less one. Their size is 8 bytes, the burst is incrementing.
    awvalid : Out(1)
        A burst is announced.
    awready : In(1)
        It is taken, if announced.
    wdata : Out(64)
        Data.
    wstrb : Out(8)
        Bit k set: write byte k.
    wlast : Out(1)
        The beat ends its burst.
    wvalid : Out(1)
        A beat is offered.
    wready : In(1)
        It is taken, if offered.
    bresp : In(2)
        Response to a burst, 0 if all is well.
    bvalid : In(1)
        It is offered.
    bready : Out(1)
        It is taken, if offered; always high.
    done : Out(range(3))
        Descriptors that are done in this cycle: memory answers the last burst of one, one was
        refused, or both.
    busy : Out(1)
        A descriptor is not done.
    response : Out(2)
        First response that was not OKAY, kept until cleared: 2 SLVERR, 3 DECERR.
    refused : Out(1)
        A descriptor was refused, kept until cleared.
    short : Out(1)
        A packet was shorter than its row, kept until cleared.
    long : Out(1)
        A packet was longer than its row, kept until cleared.
    clear : In(1)
        Clear what is kept.
    abort : In(1)
        Drop all descriptors; to be held, without packets, until ``busy`` is low.
    """

    def __init__(self, *, outstanding=16):
        self.outstanding = outstanding
        super().__init__({
            "i": In(stream.Signature(Descriptor())), "rows": In(stream.Signature(ByteBeat())),
            "awaddr": Out(32), "awlen": Out(4), "awvalid": Out(1), "awready": In(1),
            "wdata": Out(8 * BYTES), "wstrb": Out(BYTES), "wlast": Out(1), "wvalid": Out(1),
            "wready": In(1), "bresp": In(2), "bvalid": In(1), "bready": Out(1),
            "done": Out(range(3)), "busy": Out(1), "response": Out(2), "refused": Out(1),
            "short": Out(1), "long": Out(1), "clear": In(1), "abort": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.plan = plan = BurstPlan()
        m.submodules.credit = credit = Credit(self.outstanding)
        marks = data.StructLayout({"length": 4, "row_end": 1, "tail": 3})
        m.submodules.marks = marks = Fifo(marks, self.outstanding)
        m.submodules.ends = ends = Fifo(1, self.outstanding)
        wiring.connect(m, wiring.flipped(self.i), plan.i)
        m.d.comb += plan.abort.eq(self.abort)

        issue = Signal()
        burst = plan.o.payload
        m.d.comb += [
            issue.eq(plan.o.valid & ~self.abort & credit.available &
                     (self.awready | ~self.awvalid)),
            plan.o.ready.eq(issue), credit.issue.eq(issue),
            marks.push.eq(issue), marks.i.length.eq(burst.length),
            marks.i.row_end.eq(burst.row_end), marks.i.tail.eq(burst.tail),
            ends.push.eq(issue), ends.i.eq(burst.end),
        ]
        with m.If(self.awready):
            m.d.sync += self.awvalid.eq(0)
        with m.If(issue):
            m.d.sync += [self.awvalid.eq(1), self.awaddr.eq(burst.address),
                         self.awlen.eq(burst.length)]
        self._data(m, marks.o)

        m.d.comb += [
            self.bready.eq(1), credit.done.eq(self.bvalid), ends.o.ready.eq(self.bvalid),
            self.done.eq((self.bvalid & ends.o.payload) + plan.refused),
            self.busy.eq(plan.busy | (credit.left != self.outstanding)),
        ]
        with m.If(self.clear):
            m.d.sync += [self.response.eq(0), self.refused.eq(0)]
        with m.If(plan.refused):
            m.d.sync += self.refused.eq(1)
        with m.If(self.bvalid & self.bresp.any() & (self.clear | ~self.response.any())):
            m.d.sync += self.response.eq(self.bresp)
        return m

    def _data(self, m, marks):
        """Beats of the bursts that have been announced."""
        mark, beat = marks.payload, self.rows.payload
        count = Signal(4)
        # The packet of this row has ended before the row; or the other way round.
        short_row, dropping = Signal(), Signal()
        padding = short_row | self.abort
        row_end, mask, moved = Signal(), Signal(BYTES), Signal()
        m.d.comb += [
            self.wlast.eq(count == mark.length), row_end.eq(self.wlast & mark.row_end),
            mask.eq(Mux(row_end, tail_mask(mark.tail), (1 << BYTES) - 1)),
            self.wdata.eq(beat.data), self.wstrb.eq(Mux(padding, 0, mask & beat.keep)),
            self.wvalid.eq(marks.valid & (self.abort | ~dropping) & (padding | self.rows.valid)),
            self.rows.ready.eq(dropping | (marks.valid & ~padding & self.wready)),
            moved.eq(self.wvalid & self.wready), marks.ready.eq(moved & self.wlast),
        ]
        # A cycle late, which cuts the path from the mark to the flags.
        short, long = Signal(), Signal()
        m.d.sync += [
            short.eq(moved & ~padding & ((mask & ~beat.keep).any() | (beat.last & ~row_end))),
            long.eq(moved & ~padding & row_end & (~beat.last | (beat.keep & ~mask).any())),
        ]
        with m.If(moved):
            m.d.sync += count.eq(Mux(self.wlast, 0, count + 1))
            with m.If(row_end):
                m.d.sync += [short_row.eq(0), dropping.eq(~padding & ~beat.last)]
            with m.Elif(~padding):
                m.d.sync += short_row.eq(beat.last)
        with m.If(dropping & self.rows.valid & beat.last):
            m.d.sync += dropping.eq(0)
        with m.If(self.abort):
            m.d.sync += [short_row.eq(0), dropping.eq(0)]
        with m.If(self.clear):
            m.d.sync += [self.short.eq(0), self.long.eq(0)]
        with m.If(short):
            m.d.sync += self.short.eq(1)
        with m.If(long):
            m.d.sync += self.long.eq(1)

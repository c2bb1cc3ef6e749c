"""Post-scoring selection: of a row's logits those that are near the largest."""

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.maximum import MaxTree, largest
from ...blocks.memory import ram
from ...blocks.pipeline import delays
from ...stream.credit import Credit
from ...stream.fifo import Fifo, FifoStorage
from ..kept_keys import LastKept
from ..layouts import LogitLayout

__all__ = ["PostScore"]

# Beats on their way from the ring to the output, or waiting there.
QUEUE = 8

# Rows that are complete and in the ring.
ROWS = 16


class PostScore(wiring.Component):
    """Passes on the logits that are at most ``distance`` below the largest of their row.

    As in A3 (Ham et al., HPCA 2020): a weight is at least T percent of the largest where its logit
    is at most ``ln(100 / T)`` below the largest. A masked key never passes. A logit that does not
    pass is masked, and a beat without one that passes is dropped; of a row with masked keys only,
    the last beat passes, masked.

    A row waits in a ring until its last beat is there. Throughput one beat per cycle, in and out;
    latency from a row's only beat to its coming out: :meth:`latency_of` cycles.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.
    layout : LogitLayout
        Layout of the logits, with the addresses of their values.

    Members
    -------
    i : In(stream.Signature(layout))
        Rows of logits. ``row.set_end`` counts in every beat, ``row.distance``, in logit steps, in
        the last one.
    o : Out(stream.Signature(LogitLayout(config, word, row less the distance)))
        The logits that pass, with ``last`` in the last beat of their row.
    """

    def __init__(self, config, layout):
        self.config = config
        word = layout["word"].shape
        #: Layout of what is stored of a beat.
        self.payload = LogitLayout(config, word, layout["row"].shape.but("distance"))
        self.layout = LastKept.layout(self.payload)
        super().__init__({"i": In(stream.Signature(layout)),
                          "o": Out(stream.Signature(self.payload))})

    @staticmethod
    def latency_of(config):
        """From a row's only beat to its coming out."""
        return 6 + MaxTree.stages(config.lanes)

    #: Rows that may be in it: complete, and coming in.
    ROWS = ROWS + 1

    def elaborate(self, platform):
        m = Module()
        config = self.config
        # A row that leaves while another one comes has room.
        depth = 1 << max((config.max_beats - 1).bit_length() + 1, 2)
        m.submodules.ring = ring = ram(self.layout, depth, config.memory)
        write, read = ring.write_port(), ring.read_port()
        # One bit more than an address: a full ring differs from an empty one.
        tail, head, end = (Signal(range(2 * depth), name=name) for name in ("tail", "head", "end"))
        logit, transfer = self.i.payload, Signal()
        beat = Signal(self.layout)
        m.submodules.limits = limits = FifoStorage(config.logit_bits + 3, ROWS)
        m.submodules.row_credit = rows = Credit(ROWS)
        following = Signal.like(tail)
        full = (tail[:-1] == head[:-1]) & (tail[-1] != head[-1])
        m.d.comb += [
            *(getattr(beat.payload, name).eq(getattr(logit, name))
              for name in ("data", "keep", "mask", "word")),
            *(beat.payload.row[name].eq(logit.row[name])
              for name in self.payload["row"].shape.members), beat.last.eq(logit.last),
            self.i.ready.eq(~full & rows.available),
            rows.issue.eq(transfer & beat.last), rows.done.eq(limits.pop),
            transfer.eq(self.i.valid & self.i.ready), following.eq(tail + 1),
            write.addr.eq(tail), write.data.eq(beat), write.en.eq(transfer),
        ]
        with m.If(transfer):
            m.d.sync += tail.eq(following)
        self._limits(m, transfer, following, end, limits)

        issue, issued, dropped = Signal(), Signal(), Signal()
        m.submodules.queue = queue = Fifo(self.layout, QUEUE)
        # A beat that is dropped returns its credit before the queue.
        m.submodules.credit = credit = Credit(QUEUE, returns=2)
        popped = queue.o.valid & queue.o.ready
        m.d.comb += [issue.eq((head != end) & credit.available), credit.issue.eq(issue),
                     credit.done.eq(dropped + popped), read.addr.eq(head), read.en.eq(1)]
        entry, keep, reading = Signal(self.layout), Signal(), Signal()
        m.d.sync += [head.eq(head + issue), reading.eq(issue), issued.eq(reading),
                     entry.eq(read.data)]

        limit, nothing = limits.o[:-1].as_signed(), limits.o[-1]
        near = Signal(config.lanes)
        m.submodules.last_kept = filtered = LastKept(self.payload)
        m.d.comb += [
            near.eq(Cat(number >= limit for number in entry.payload.data)
                    & entry.payload.keep & ~entry.payload.mask),
            keep.eq(Mux(nothing, entry.last, near.any())),
            dropped.eq(issued & ~keep), limits.pop.eq(issued & entry.last),
            filtered.i.eq(entry.payload), filtered.i.mask.eq(~near),
            filtered.valid.eq(issued), filtered.keep.eq(keep),
            filtered.last.eq(entry.last), queue.push.eq(filtered.push), queue.i.eq(filtered.o),
        ]
        m.d.comb += [
            self.o.valid.eq(queue.o.valid), queue.o.ready.eq(self.o.ready),
            self.o.payload.eq(queue.o.payload.payload),
            self.o.payload.last.eq(queue.o.payload.last),
        ]
        return m

    def _limits(self, m, transfer, following, end, limits):
        """Push the least logit that passes, of each row, and whether none does; then it may go."""
        config, logit = self.config, self.i.payload
        bits = config.logit_bits
        m.submodules.tree = tree = MaxTree(bits, config.lanes)
        # Half the range on top makes the order of signed numbers that of unsigned ones.
        m.d.comb += [port.eq(Cat(number[:-1], ~number[-1]))
                     for port, number in zip(tree.data, map(Value.cast, logit.data), strict=True)]
        m.d.comb += tree.live.eq(logit.keep & ~logit.mask)
        valid, last, distance, behind = (
            delays(m, value, tree.latency, name)[-1] for name, value in (
                ("beats", transfer), ("lasts", logit.last), ("distances", logit.row.distance),
                ("behind", following)))
        top, some = Signal(bits), Signal()
        best, any_of_it = largest(m, [*tree.o, top], [*tree.o_live, some], "top")
        over = Signal()
        m.d.comb += over.eq(valid & last)
        with m.If(valid):
            m.d.sync += [top.eq(best), some.eq(any_of_it & ~last)]
        with m.If(over):
            m.d.sync += end.eq(behind)
        held, nothing = Signal.like(logit.row.distance), Signal()
        m.d.sync += [limits.push.eq(over), held.eq(distance), nothing.eq(~any_of_it)]
        # A cycle later. Below the least logit is as good as at it.
        limit = Signal(signed(bits + 2))
        m.d.comb += [limit.eq(Cat(top[:-1], ~top[-1]).as_signed() - held),
                     limits.i.eq(Cat(limit, nothing))]

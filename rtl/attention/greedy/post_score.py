"""Post-scoring selection: of a row's logits those that are near the largest."""

from amaranth import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.memory import ram
from ...stream.credit import Credit
from ...stream.fifo import Fifo, FifoStorage
from ..kept_keys import LastKept
from ..layouts import LogitLayout, RowLayout

__all__ = ["PostScore"]

# Logits on their way from the ring to the output, or waiting there.
QUEUE = 8

# Rows that are complete and in the ring.
ROWS = 16


class PostScore(wiring.Component):
    """Passes on the logits that are at most ``distance`` below the largest of their row.

    As in A3 (Ham et al., HPCA 2020): a weight is at least T percent of the largest where its logit
    is at most ``ln(100 / T)`` below the largest. A masked key never passes; of a row with masked
    keys only, the last key passes, masked.

    A row waits in a ring until its last logit is there. Throughput one logit per cycle, in and out;
    latency from a row's only logit to its coming out: :meth:`latency` cycles.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.
    layout : LogitLayout
        Layout of the logits, with the address of their values.

    Members
    -------
    i : In(stream.Signature(layout))
        Rows of logits. ``row.set_end`` counts in every beat, ``row.distance``, in logit steps, in
        the last one.
    o : Out(stream.Signature(LogitLayout(config, word, row less the distance)))
        The logits that pass, with ``last`` in the last one of their row.
    """

    def __init__(self, config, layout):
        self.config = config
        word = layout["word"].shape
        row = RowLayout(**{name: shape for name, shape in layout["row"].shape.members.items()
                           if name not in ("set_end", "distance")})
        #: Layout of what is stored of a logit.
        self.payload = data.StructLayout({
            "logit": signed(config.logit_bits), "mask": unsigned(1), "word": word,
            "row": row})
        self.layout = LastKept.layout(self.payload)
        super().__init__({"i": In(stream.Signature(layout)),
                          "o": Out(stream.Signature(LogitLayout(config, word, row)))})

    @staticmethod
    def latency():
        """From a row's only logit to its coming out."""
        return 6

    #: Rows that may be in it: complete, and coming in.
    ROWS = ROWS + 1

    def elaborate(self, platform):
        m = Module()
        config = self.config
        # A row that leaves while another one comes has room.
        depth = 1 << max((config.max_keys - 1).bit_length() + 1, 2)
        m.submodules.ring = ring = ram(self.layout, depth, config.memory)
        write, read = ring.write_port(), ring.read_port()
        # One bit more than an address: a full ring differs from an empty one.
        tail, head, end = (Signal(range(2 * depth), name=name) for name in ("tail", "head", "end"))
        largest, some = Signal(signed(config.logit_bits)), Signal()
        logit, transfer = self.i.payload, Signal()
        beat = Signal(self.layout)
        limit = Signal(signed(config.logit_bits + 2))
        m.submodules.limits = limits = FifoStorage(len(limit) + 1, ROWS)
        m.submodules.row_credit = rows = Credit(ROWS)
        now, now_some, over = Signal.like(largest), Signal(), Signal()
        distance, nothing = Signal.like(logit.row.distance), Signal()
        full = (tail[:-1] == head[:-1]) & (tail[-1] != head[-1])
        m.d.sync += [limits.push.eq(over), distance.eq(logit.row.distance), nothing.eq(~now_some)]
        m.d.comb += [
            beat.payload.logit.eq(logit.data[0]), beat.payload.mask.eq(logit.mask[0]),
            beat.payload.word.eq(logit.word), beat.last.eq(logit.last),
            *(beat.payload.row[name].eq(logit.row[name])
              for name in self.payload["row"].shape.members),
            self.i.ready.eq(~full & rows.available),
            rows.issue.eq(over), rows.done.eq(limits.pop),
            transfer.eq(self.i.valid & self.i.ready),
            write.addr.eq(tail), write.data.eq(beat), write.en.eq(transfer),
            now.eq(Mux(beat.payload.mask | (some & (largest > beat.payload.logit)), largest,
                       beat.payload.logit)),
            now_some.eq(some | ~beat.payload.mask),
            over.eq(transfer & beat.last),
            # A cycle later. Below the least logit is as good as at it.
            limit.eq(largest - distance), limits.i.eq(Cat(limit, nothing)),
        ]
        with m.If(transfer):
            m.d.sync += [tail.eq(tail + 1), largest.eq(now), some.eq(now_some & ~beat.last)]
            with m.If(beat.last):
                m.d.sync += end.eq(tail + 1)

        issue, issued, dropped = Signal(), Signal(), Signal()
        m.submodules.queue = queue = Fifo(self.layout, QUEUE)
        # A logit that is dropped returns its credit before the queue.
        m.submodules.credit = credit = Credit(QUEUE, returns=2)
        popped = queue.o.valid & queue.o.ready
        m.d.comb += [issue.eq((head != end) & credit.available), credit.issue.eq(issue),
                     credit.done.eq(dropped + popped), read.addr.eq(head), read.en.eq(1)]
        entry, keep, reading = Signal(self.layout), Signal(), Signal()
        m.d.sync += [head.eq(head + issue), reading.eq(issue), issued.eq(reading),
                     entry.eq(read.data)]

        near = entry.payload.logit >= limits.o[:-1].as_signed()
        m.submodules.last_kept = filtered = LastKept(self.payload)
        m.d.comb += [
            keep.eq(Mux(limits.o[-1], entry.last, near & ~entry.payload.mask)),
            dropped.eq(issued & ~keep), limits.pop.eq(issued & entry.last),
            filtered.i.eq(entry.payload), filtered.valid.eq(issued), filtered.keep.eq(keep),
            filtered.last.eq(entry.last), queue.push.eq(filtered.push), queue.i.eq(filtered.o),
        ]
        passed = queue.o.payload
        m.d.comb += [
            self.o.valid.eq(queue.o.valid), queue.o.ready.eq(self.o.ready),
            self.o.payload.data[0].eq(passed.payload.logit),
            self.o.payload.mask.eq(passed.payload.mask), self.o.payload.keep.eq(1),
            self.o.payload.last.eq(passed.last), self.o.payload.word.eq(passed.payload.word),
            self.o.payload.row.eq(passed.payload.row),
        ]
        return m

"""Indices of the keys that are kept, one after the other."""

from amaranth import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .last_kept import LastKept
from .queue import PipelineQueue


__all__ = ["KeptKeys"]


class KeptKeys(wiring.Component):
    """From words of flags, one for each of a few neighbouring keys, to the keys' indices.

    One index per cycle, in order; a word without a kept key takes no time. Every query must keep a
    key. Words never stall: whoever sends them must not have more than ``depth`` in work.

    Parameters
    ----------
    lanes : int
        Keys of a word, a power of two.
    max_keys : int
        Keys of a set at most.
    depth : int
        Words that it must hold.

    Members
    -------
    valid : In(1)
        There is a word.
    keep : In(lanes)
        Keys of it that are kept.
    word : In
        Its number.
    last : In(1)
        It is its query's last one.
    o : Out(stream.Signature)
        ``key`` and whether it is the query's ``last`` one.
    """

    def __init__(self, lanes, max_keys, depth):
        self.lanes = lanes
        self.words = -(-max_keys // lanes)
        self.depth = depth
        super().__init__({
            "valid": In(1), "keep": In(lanes), "word": In(range(self.words)), "last": In(1),
            "o": Out(stream.Signature(self.layout(max_keys)))})

    @staticmethod
    def layout(max_keys):
        """Layout of an index."""
        return data.StructLayout({"key": range(max_keys), "last": unsigned(1)})

    def elaborate(self, platform):
        m = Module()
        entry = data.StructLayout({"keep": unsigned(self.lanes), "word": range(self.words)})
        m.submodules.last_kept = filtered = LastKept(entry)
        m.submodules.words = queue = PipelineQueue(LastKept.layout(entry), self.depth)
        m.d.comb += [
            filtered.valid.eq(self.valid), filtered.last.eq(self.last),
            filtered.keep.eq(self.keep.any()),
            filtered.i.keep.eq(self.keep), filtered.i.word.eq(self.word),
            queue.i.eq(filtered.o), queue.push.eq(filtered.push),
        ]

        words = queue.o
        current = Signal(LastKept.layout(entry))
        valid, single = Signal(), Signal()
        keep = current.payload.keep
        rest = Signal(self.lanes)
        lane = Signal(range(self.lanes))
        for k in reversed(range(self.lanes)):
            with m.If(keep[k]):
                m.d.comb += lane.eq(k)
        m.d.comb += [
            rest.eq(keep & (keep - 1)), single.eq(rest == 0),
            self.o.valid.eq(valid),
            self.o.payload.key.eq(Cat(lane, current.payload.word)),
            self.o.payload.last.eq(single & current.last),
            words.ready.eq(~valid | (self.o.ready & single)),
        ]
        with m.If(words.ready):
            m.d.sync += [valid.eq(words.valid), current.eq(words.payload)]
        with m.Elif(self.o.ready):
            m.d.sync += keep.eq(rest)
        return m

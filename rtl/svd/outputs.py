"""Softmax and log-partition of the mixed logits, and the beats that go out."""

from amaranth import Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .log_partition import LogPartition
from .words import SELECTED_BIT, WordLayout

__all__ = ["Outputs", "mixed_layout"]


def mixed_layout(bits):
    """Layout of a logit of so many bits, and whether it is one of the full view."""
    return data.StructLayout({"logit": signed(bits), "selected": 1})


class Outputs(wiring.Component):
    """Probabilities of the words, from two scans of all logits.

    In the first one, with ``feed``, the logits enter the softmax and the log-partition. In the
    second one, with ``emit``, each logit meets its probability, and the words of the full view go
    out, with ``config.whole`` all words.

    Throughput one logit per cycle in each scan. Empty after reset.

    Parameters
    ----------
    config : SvdSoftmaxConfig
        Configuration.

    Members
    -------
    vocabulary : In(range(config.max_vocab + 1))
        Logits of a scan; held in both.
    count : In(range(config.max_count + 1))
        Words of the full view; held in both.
    feed : In(1)
        The scan is the first one.
    emit : In(1)
        The scan is the second one.
    word : In(range(config.max_vocab + 1))
        Number of the logit on ``logits``.
    logits : In(stream.Signature(mixed_layout(config.LOGIT_BITS)))
        Mixed logits, in the order of their words.
    o : Out(stream.Signature(WordLayout(32, 4)))
        Index, probability, logit, log-partition; ``last`` ends a vector.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "vocabulary": In(range(config.max_vocab + 1)),
            "count": In(range(config.max_count + 1)), "feed": In(1), "emit": In(1),
            "word": In(range(config.max_vocab + 1)),
            "logits": In(stream.Signature(mixed_layout(config.LOGIT_BITS))),
            "o": Out(stream.Signature(WordLayout.output())),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.softmax = softmax = config.softmax_config.create()
        m.submodules.log = log = LogPartition(config.log_numbers)
        mixed = self.logits.payload
        fed = Signal()
        final = Signal()
        join = Signal()
        m.d.comb += [
            final.eq(self.word == self.vocabulary - 1),
            fed.eq(self.feed & self.logits.valid & softmax.i.ready),
            softmax.i.valid.eq(self.feed & self.logits.valid),
            softmax.i.p.data[0].eq(mixed.logit), softmax.i.p.keep.eq(1),
            softmax.i.p.last.eq(final),
            log.i.eq(mixed.logit), log.valid.eq(fed), log.first.eq(self.word == 0),
            log.last.eq(final),
            softmax.o.ready.eq(join),
            self.logits.ready.eq(fed | join),
        ]
        # A vector's log-partition is there, and so many of its words went out.
        known = Signal()
        emitted = Signal.like(self.count)
        with m.If(fed):
            m.d.sync += [known.eq(0), emitted.eq(0)]
        with m.If(log.done):
            m.d.sync += known.eq(1)
        m.d.comb += join.eq(self.emit & self.logits.valid & softmax.o.valid & known
                            & (~self.o.valid | self.o.ready))
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        index = Signal(32)
        m.d.comb += [index.eq(self.word), index[SELECTED_BIT].eq(mixed.selected)]
        with m.If(join & (mixed.selected | config.whole)):
            m.d.sync += [
                emitted.eq(emitted + 1), self.o.valid.eq(1),
                self.o.p.last.eq(final if config.whole else emitted == self.count - 1),
                self.o.p.data[0].eq(index), self.o.p.data[1].eq(softmax.o.p.data[0]),
                self.o.p.data[2].eq(mixed.logit), self.o.p.data[3].eq(log.o),
            ]
        return m

"""The words of the full view: those above a threshold, and the first of those at it."""

from amaranth import Cat, Const, Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.credit import Credit
from ..stream.fifo import Fifo
from .words import job_layout

__all__ = ["Selection"]


class Selection(wiring.Component):
    """Chooses words from the logits of all words, in their order, and asks for their rows.

    A logit above the threshold is chosen, one at the threshold while there are places left.
    Throughput one logit per cycle, while fewer than :attr:`WAITING` rows are on their way.

    Parameters
    ----------
    config : SvdSoftmaxConfig
        Configuration.

    Members
    -------
    start : In(1)
        Takes ``places``, and starts with word 0.
    threshold : In(16)
        Threshold, in offset binary; held.
    places : In(range(config.max_count + 1))
        Words at the threshold that are chosen.
    tail : In(32)
        Byte address of row 0; held.
    row_words : In(config.job_bits)
        Port words of a row; held. 0: no row is asked for.
    logits : In(stream.Signature(16))
        Logits of all words, in offset binary.
    job : Out(stream.Signature(job_layout(32, config.job_bits)))
        Reads of the rows.
    index : Out(stream.Signature(range(config.max_vocab)))
        Words that were chosen; ready when their row's last part is taken.
    """

    #: Rows on their way.
    WAITING = 32

    def __init__(self, config):
        self.config = config
        super().__init__({
            "start": In(1), "threshold": In(16), "places": In(range(config.max_count + 1)),
            "tail": In(32), "row_words": In(config.job_bits),
            "logits": In(stream.Signature(unsigned(config.LOGIT_BITS))),
            "job": Out(stream.Signature(job_layout(32, config.job_bits))),
            "index": Out(stream.Signature(range(config.max_vocab))),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.chosen = chosen = Fifo(range(config.max_vocab), self.WAITING)
        m.submodules.rows = rows = Fifo(unsigned(32), self.WAITING)
        m.submodules.credit = credit = Credit(self.WAITING)
        wiring.connect(m, chosen.o, wiring.flipped(self.index))
        place = Signal(range(config.max_vocab))
        address = Signal(32)
        left = Signal.like(self.places)
        # A logit is compared, and its word chosen in the cycle behind, when one more has come.
        room = Signal()
        compared = Signal()
        above = Signal()
        equal = Signal()
        choose = Signal()
        went = Signal()
        m.d.comb += [
            room.eq(credit.left > 1), self.logits.ready.eq(room),
            choose.eq(compared & (above | (equal & (left != 0)))),
            chosen.i.eq(place), chosen.push.eq(choose),
            rows.i.eq(address), rows.push.eq(choose & (self.row_words != 0)),
            credit.issue.eq(choose), credit.done.eq(went),
            self.job.valid.eq(rows.o.valid), self.job.p.address.eq(rows.o.payload),
            self.job.p.words.eq(self.row_words), rows.o.ready.eq(self.job.ready),
        ]
        m.d.sync += [
            compared.eq(self.logits.valid & room),
            above.eq(self.logits.payload > self.threshold),
            equal.eq(self.logits.payload == self.threshold),
            went.eq(self.index.valid & self.index.ready),
        ]
        stride = Signal(32)
        size = (config.port_bytes - 1).bit_length()
        m.d.comb += stride.eq(Cat(Const(0, size), self.row_words))
        with m.If(compared):
            m.d.sync += [place.eq(place + 1), address.eq(address + stride),
                         left.eq(left - (choose & equal))]
        with m.If(self.start):
            m.d.sync += [place.eq(0), address.eq(self.tail), left.eq(self.places)]
        return m

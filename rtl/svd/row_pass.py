"""A pass over rows: from memory words to logits, or to elements of the transformed vector."""

from amaranth import Const, Module, Signal, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .hidden_vector import HiddenVector
from .row_results import RowResults
from .row_sums import Pass, RowSums
from .setup import geometry_layout

__all__ = ["RowPass"]


class RowPass(wiring.Component):
    """Rows of one kind that meet the hidden vector, and what comes of them.

    ======= ============================================== =============================
    kind    rows                                           results
    ======= ============================================== =============================
    BASIS   those of the transform                         elements of ``h``, kept inside
    PREVIEW all words, filled up to whole blocks           ``preview``, of each word
    TAIL    the words on ``chosen``                        ``tail``, of each word
    ======= ============================================== =============================

    Throughput one part of a row per cycle, of ``lanes`` weights; stalls only without memory words,
    and in the preview at word ``limit`` while ``limited``.

    Parameters
    ----------
    config : SvdSoftmaxConfig
        Configuration.

    Members
    -------
    vector : In(1)
        A vector begins: the next element is its first.
    element : In(signed(config.hidden_bits))
        Element of the vector, as it is given.
    element_valid : In(1)
        ``element`` holds one.
    geometry : In(geometry_layout(config))
        Sizes of the rows; held.
    start : In(1)
        A pass begins with the next memory word. Not before the last one is ``complete``.
    kind : In(Pass)
        What the rows are; held from ``start`` on.
    rows : In(range(max(config.max_vocab + config.image.block_rows, config.dim) + 1))
        Rows of the pass; held.
    words : In(stream.Signature(config.port_bits))
        Memory words.
    chosen : In(stream.Signature(range(config.max_vocab)))
        Word of each row of a TAIL pass.
    limited : In(1)
        A preview waits at word ``limit``, which only rises.
    limit : In(range(config.max_vocab + 1))
        First word whose logit must not be overwritten yet.
    complete : Out(1)
        All rows of the pass have their results.
    preview, tail : Out(1)
        ``word`` and ``logit`` hold a result of that kind.
    word : Out(range(config.max_vocab))
        Word of the vocabulary.
    logit : Out(signed(config.LOGIT_BITS))
        Its logit.
    """

    def __init__(self, config):
        self.config = config
        most = max(config.max_vocab + config.image.block_rows, config.dim)
        super().__init__({
            "vector": In(1), "element": In(signed(config.hidden_bits)), "element_valid": In(1),
            "geometry": In(geometry_layout(config)), "start": In(1), "kind": In(Pass),
            "rows": In(range(most + 1)), "words": In(stream.Signature(unsigned(config.port_bits))),
            "chosen": In(stream.Signature(range(config.max_vocab))),
            "limited": In(1), "limit": In(range(config.max_vocab + 1)),
            "complete": Out(1), "preview": Out(1), "tail": Out(1),
            "word": Out(range(config.max_vocab)), "logit": Out(signed(config.LOGIT_BITS)),
        })

    def elaborate(self, platform):
        m = Module()
        config, geometry = self.config, self.geometry
        m.submodules.hidden_vector = vector = HiddenVector(config)
        m.submodules.sums = sums = RowSums(config)
        m.submodules.results = results = RowResults(config)
        wiring.connect(m, wiring.flipped(self.words), sums.words)
        tail, preview = self.kind == Pass.TAIL, self.kind == Pass.PREVIEW

        issued = Signal.like(self.rows)
        finished = Signal.like(self.rows)
        m.d.sync += [issued.eq(issued + sums.ends), finished.eq(finished + results.valid)]
        with m.If(self.start):
            m.d.sync += [issued.eq(0), finished.eq(0)]
        # A cycle late, and so a word early.
        free = Signal()
        m.d.sync += free.eq(~self.limited | (issued + 1 < self.limit))
        m.d.comb += [
            self.complete.eq(finished == self.rows),
            vector.start.eq(self.vector), vector.given.eq(self.element),
            vector.given_valid.eq(self.element_valid), vector.columns.eq(geometry.columns),
            vector.kind.eq(self.kind), vector.read.eq(sums.read),
            vector.transformed.eq(results.element),
            vector.transformed_valid.eq(results.valid & (self.kind == Pass.BASIS)),
            sums.start.eq(self.start), sums.kind.eq(self.kind), sums.vector.eq(vector.o),
            sums.enable.eq(1), sums.parts.eq(geometry.preview_parts),
            results.kind.eq(self.kind), results.shift.eq(geometry.shift),
            results.ends.eq(sums.ends), results.record.eq(sums.record),
            results.total.eq(sums.total), results.done.eq(sums.done),
            results.index.eq(issued), results.live.eq(issued < geometry.vocabulary),
        ]
        with m.If(preview):
            m.d.comb += sums.enable.eq(free)
        with m.If(tail):
            m.d.comb += [
                sums.enable.eq(self.chosen.valid), sums.parts.eq(geometry.tail_parts),
                sums.base.eq(Const(0) if config.residual else geometry.preview_parts),
                self.chosen.ready.eq(sums.ends),
                results.index.eq(self.chosen.payload), results.live.eq(1)]
        if config.transform == "engine":
            with m.If(self.kind == Pass.BASIS):
                m.d.comb += sums.parts.eq(-(-config.dim // config.wide_lanes))
        m.d.comb += [
            self.preview.eq(results.valid & results.result_live & preview),
            self.tail.eq(results.valid & tail),
            self.word.eq(results.result_index), self.logit.eq(results.logit),
        ]
        return m

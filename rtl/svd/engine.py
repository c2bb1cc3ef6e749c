"""SVD-softmax engine: one hidden vector behind the other, pass by pass.

::

    setup --> Setup ----------------.          request / response
    h --> (x --> basis rows) --> vector memory      |
                                    |          MemoryReader --> RowSums --> RowResults
    logits <------------------------+-------------------------------------------'
      |  LogitScan                   `--> Threshold (high byte, low byte)
      |--> Selection --> jobs of the full view
      `--> softmax, LogPartition --> o
"""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.memory import BankedMemory
from .log_partition import LogPartition
from .logit_scan import LogitScan
from .memory_reader import MemoryReader
from .row_results import RowResults
from .row_sums import Pass, RowSums
from .selection import Selection
from .setup import Setup
from .threshold import Threshold
from .vector_memory import VectorMemory
from .words import SELECTED_BIT, WordLayout

__all__ = ["SvdSoftmax"]


class SvdSoftmax(wiring.Component):
    """SVD-softmax of hidden vectors; see :class:`~rtl.svd.config.SvdSoftmaxConfig`.

    A setup says where the image is, and V, W and N; it holds for the vectors up to and with the one
    that carries ``last``. For each vector come N beats on ``o``, the words of the full view in the
    order of their index (``whole``: V beats, all words), with ``last`` on the last one.

    Vectors are worked on one behind the other: the transform, the preview of all words, a scan of
    all logits for the low byte of the threshold, one for the selection with the full views behind
    it, one for the softmax, and one with its outputs. Cycles: ``config.token_cycles``. Empty after
    reset; the memory must forget its requests with the engine.

    Parameters
    ----------
    config : SvdSoftmaxConfig
        Configuration.

    Members
    -------
    setup : In(stream.Signature(WordLayout(32, 4)))
        Byte address of the image, V, W, N. ``last`` does not matter.
    h : In(stream.Signature(WordLayout(signed(config.hidden_bits), 1)))
        Hidden vectors, an element a beat; ``last`` ends the last vector of a setup.
    request : Out(stream.Signature(WordLayout(32, 2)))
        Byte address and number of words of a read; ``last`` is 1.
    response : In(stream.Signature(WordLayout(8, config.port_bytes)))
        Words that were read, in the order of the requests; ``last`` ends each of them.
    o : Out(stream.Signature(WordLayout(32, 4)))
        Index (bit 31: of the full view), probability, logit, log-partition.
    error : Out(1)
        One of ``causes``. Sticky until reset.
    causes : Out(4)
        Bit 0: V, W or N was out of its range; bit 1: the image does not fit configuration or
        registers; bit 2: a response was not as long as its request; bit 3: ``last`` within a
        vector. A setup refused, and a vector broken, end with the next ``last``, without outputs.
        Each is sticky until reset.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "setup": In(stream.Signature(WordLayout.setup())),
            "h": In(stream.Signature(WordLayout.hidden(config.hidden_bits))),
            "request": Out(stream.Signature(WordLayout.request())),
            "response": In(stream.Signature(WordLayout.response(config.port_bytes))),
            "o": Out(stream.Signature(WordLayout.output())),
            "error": Out(1), "causes": Out(4),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        bits = config.LOGIT_BITS
        transforms = config.transform == "engine"
        m.submodules.reader = reader = MemoryReader(
            config.port_bytes, config.job_bits, config.burst, config.queue, memory=config.memory)
        m.submodules.registers = registers = Setup(config)
        m.submodules.sums = sums = RowSums(config)
        m.submodules.results = results = RowResults(config)
        m.submodules.threshold = threshold = Threshold(config.max_vocab)
        m.submodules.scan = scan = LogitScan(bits + 1, config.max_vocab)
        m.submodules.selection = selection = Selection(config)
        m.submodules.logits = logits = BankedMemory(bits + 1, config.max_vocab, config.memory)
        m.submodules.vector = vector = VectorMemory(
            config.hidden_bits, config.lanes, config.vector_words, config.memory)
        m.submodules.softmax = softmax = config.softmax_config.create()
        m.submodules.log = log = LogPartition(config.log_numbers)
        for inner, outer in ((self.setup, registers.setup), (self.response, reader.response)):
            wiring.connect(m, wiring.flipped(inner), outer)
        wiring.connect(m, reader.request, wiring.flipped(self.request))
        geometry = registers.geometry

        # What the states switch.
        kind = Signal(Pass)
        rows = Signal(range(max(config.max_vocab + config.image.block_rows, config.dim) + 1))
        issued, finished = Signal.like(rows), Signal.like(rows)
        complete, start, broken = Signal(), Signal(), Signal()
        threshold_high, quota = Signal(8), Signal.like(threshold.target)
        scanned = Signal()
        item = scan.o.payload
        logit, flag, offset_logit = item[:bits], item[bits], Signal(bits)
        m.d.comb += [
            complete.eq(finished == rows), scanned.eq(scan.place == geometry.vocabulary),
            offset_logit.eq(logit ^ (1 << (bits - 1))),
            scan.count.eq(geometry.vocabulary), scan.data.eq(logits.o), logits.read.eq(scan.read),
        ]

        # Rows: from the memory to results.
        element_index = Signal(range(config.dim + 1))
        element, element_valid = Signal(signed(config.hidden_bits)), Signal()
        m.d.comb += [
            sums.start.eq(start), sums.kind.eq(kind), results.kind.eq(kind),
            results.shift.eq(geometry.shift), results.ends.eq(sums.ends),
            results.record.eq(sums.record), results.total.eq(sums.total),
            results.done.eq(sums.done), results.index.eq(issued),
            results.live.eq(issued < geometry.vocabulary),
            sums.enable.eq((kind != Pass.TAIL) | selection.index.valid),
            sums.vector.eq(vector.o), vector.read.eq(sums.read),
            sums.parts.eq(geometry.preview_parts),
            vector.i.eq(element), vector.write.eq(element_valid),
            vector.skip.eq(element_index == geometry.columns - 1),
            vector.top.eq(Mux(element_index < geometry.columns, config.lanes - 1,
                              config.tail_lanes - 1)),
        ]
        with m.If(kind == Pass.TAIL):
            m.d.comb += [results.index.eq(selection.index.payload), results.live.eq(1),
                         selection.index.ready.eq(sums.ends),
                         sums.parts.eq(geometry.tail_parts), sums.base.eq(geometry.preview_parts)]
        with m.If(element_valid):
            m.d.sync += element_index.eq(element_index + 1)
        m.d.sync += [issued.eq(issued + sums.ends), finished.eq(finished + results.valid)]
        with m.If(start):
            m.d.sync += [issued.eq(0), finished.eq(0)]
        if config.residual:
            # A full view meets all elements, as many a word as it has weights a part.
            m.submodules.fine = fine = VectorMemory(
                config.hidden_bits, config.tail_lanes, -(-config.dim // config.tail_lanes),
                config.memory)
            m.d.comb += [fine.i.eq(element), fine.write.eq(element_valid),
                         fine.top.eq(config.tail_lanes - 1), fine.read.eq(sums.read)]
            with m.If(kind == Pass.TAIL):
                m.d.comb += [sums.base.eq(0), sums.vector.as_value().eq(fine.o.as_value())]
        if transforms:
            m.submodules.given = given = VectorMemory(
                config.hidden_bits, config.wide_lanes, -(-config.dim // config.wide_lanes),
                config.memory)
            m.d.comb += [
                given.i.eq(self.h.p.data[0]), given.write.eq(self.h.valid & self.h.ready),
                given.top.eq(config.wide_lanes - 1), given.read.eq(sums.read),
                element.eq(results.element),
                element_valid.eq(results.valid & (kind == Pass.BASIS)),
            ]
            with m.If(kind == Pass.BASIS):
                m.d.comb += [sums.parts.eq(-(-config.dim // config.wide_lanes)),
                             sums.vector.as_value().eq(given.o.as_value())]
        else:
            m.d.comb += [element.eq(self.h.p.data[0]),
                         element_valid.eq(self.h.valid & self.h.ready)]

        # Logits, and the high bytes of the preview's.
        preview = results.valid & results.result_live & (kind == Pass.PREVIEW)
        tail = results.valid & (kind == Pass.TAIL)
        m.d.comb += [
            logits.address.eq(results.result_index), logits.write.eq(preview | tail),
            logits.data.eq(Cat(results.logit, kind == Pass.TAIL)),
        ]
        m.d.sync += [threshold.add.eq(preview),
                     threshold.value.eq(results.logit[8:] ^ 0x80)]

        # Selection, softmax and log-partition take what is scanned.
        m.d.comb += [
            selection.threshold.eq(Cat(threshold.bin, threshold_high)),
            selection.places.eq(quota), selection.tail.eq(geometry.tail),
            selection.row_words.eq(geometry.tail_words),
            selection.logits.payload.eq(offset_logit),
            softmax.i.p.data[0].eq(logit), softmax.i.p.keep.eq(1),
            softmax.i.p.last.eq(scan.place == geometry.vocabulary - 1),
            log.i.eq(logit), log.first.eq(scan.place == 0), log.last.eq(softmax.i.p.last),
            log.valid.eq(softmax.i.valid & softmax.i.ready),
        ]
        # An output takes its logit from the store again, in step with its probability.
        known, join, last = Signal(), Signal(), Signal()
        with m.If(log.done):
            m.d.sync += known.eq(1)
        emitted = Signal.like(geometry.count)
        m.d.comb += [
            join.eq(softmax.o.valid & scan.o.valid & known & (~self.o.valid | self.o.ready)),
            last.eq(scan.place == geometry.vocabulary - 1 if config.whole else
                    emitted == geometry.count - 1),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        words = self.o.p.data
        index = Signal(32)
        m.d.comb += [index.eq(scan.place), index[SELECTED_BIT].eq(flag)]

        counted = Signal.like(element_index, name="counted")
        taken = Signal()
        m.d.comb += taken.eq(self.h.valid & self.h.ready)
        whole_vector = counted == config.dim - 1
        batch_end = Signal()
        with m.If(taken):
            m.d.sync += [counted.eq(counted + 1), batch_end.eq(self.h.p.last)]

        def job(address, words):
            m.d.comb += [reader.job.valid.eq(1), reader.job.p.address.eq(address),
                         reader.job.p.words.eq(words), start.eq(reader.job.ready)]

        m.d.comb += [sums.words.valid.eq(reader.o.valid), sums.words.payload.eq(reader.o.payload),
                     registers.words.payload.eq(reader.o.payload),
                     reader.o.ready.eq(sums.words.ready)]
        with m.FSM():
            with m.State("SETUP"):
                m.d.comb += [
                    registers.open.eq(1), reader.job.valid.eq(registers.job.valid),
                    reader.job.payload.eq(registers.job.payload),
                    registers.job.ready.eq(reader.job.ready), sums.words.valid.eq(0),
                    registers.words.valid.eq(reader.o.valid),
                    reader.o.ready.eq(registers.words.ready),
                ]
                with m.If(registers.done):
                    m.next = "SWALLOW"
                    with m.If(registers.good):
                        m.next = "BEGIN"
            with m.State("SWALLOW"):
                m.d.comb += self.h.ready.eq(1)
                with m.If(self.h.valid & self.h.p.last):
                    m.next = "SETUP"
            with m.State("BEGIN"):
                m.d.comb += [threshold.clear.eq(1), vector.start.eq(1)]
                if transforms:
                    m.d.comb += given.start.eq(1)
                if config.residual:
                    m.d.comb += fine.start.eq(1)
                m.d.sync += [counted.eq(0), element_index.eq(0), known.eq(0),
                             emitted.eq(0)]
                m.next = "LOAD"
            with m.State("LOAD"):
                m.d.comb += self.h.ready.eq(1)
                with m.If(self.h.valid):
                    with m.If(whole_vector):
                        m.next = "TRANSFORM" if transforms else "PREVIEW"
                    with m.Elif(self.h.p.last):
                        m.d.comb += broken.eq(1)
                        m.next = "SETUP"
            if transforms:
                with m.State("TRANSFORM"):
                    m.d.sync += [kind.eq(Pass.BASIS), rows.eq(config.dim)]
                    m.next = "ASK_BASIS"
                with m.State("ASK_BASIS"):
                    job(geometry.basis, config.dim * config.image.basis_row_words)
                    with m.If(start):
                        m.next = "ROWS_BASIS"
                with m.State("ROWS_BASIS"):
                    with m.If(complete):
                        m.next = "PREVIEW"
            with m.State("PREVIEW"):
                m.d.sync += [kind.eq(Pass.PREVIEW), rows.eq(geometry.preview_rows)]
                with m.If(~threshold.busy):
                    m.next = "ASK_PREVIEW"
            with m.State("ASK_PREVIEW"):
                job(geometry.preview, geometry.preview_words)
                with m.If(start):
                    m.next = "ROWS_PREVIEW"
            with m.State("ROWS_PREVIEW"):
                m.d.sync += threshold.target.eq(geometry.count)
                with m.If(complete):
                    m.next = "FIND_HIGH"
            with m.State("FIND_HIGH"):
                m.d.comb += threshold.find.eq(1)
                m.next = "HIGH"
            with m.State("HIGH"):
                with m.If(~threshold.busy):
                    m.d.comb += threshold.clear.eq(1)
                    m.d.sync += [threshold_high.eq(threshold.bin),
                                 threshold.target.eq(threshold.target - threshold.above)]
                    m.next = "CLEAR"
            with m.State("CLEAR"):
                with m.If(~threshold.busy):
                    m.d.comb += scan.start.eq(1)
                    m.next = "COUNT"
            with m.State("COUNT"):
                m.d.comb += scan.o.ready.eq(1)
                m.d.sync += [threshold.add.eq(scan.o.valid & (offset_logit[8:] == threshold_high)),
                             threshold.value.eq(offset_logit[:8])]
                with m.If(scanned):
                    m.next = "FIND_LOW"
            with m.State("FIND_LOW"):
                m.d.comb += threshold.find.eq(1)
                m.next = "LOW"
            with m.State("LOW"):
                m.d.sync += [quota.eq(threshold.target - threshold.above),
                             kind.eq(Pass.TAIL), rows.eq(geometry.count)]
                with m.If(~threshold.busy):
                    m.next = "BEGIN_SELECT"
            with m.State("BEGIN_SELECT"):
                m.d.comb += [scan.start.eq(1), selection.start.eq(1), start.eq(1)]
                m.next = "SELECT"
            with m.State("SELECT"):
                m.d.comb += [
                    selection.logits.valid.eq(scan.o.valid),
                    scan.o.ready.eq(selection.logits.ready),
                    reader.job.valid.eq(selection.job.valid),
                    reader.job.payload.eq(selection.job.payload),
                    selection.job.ready.eq(reader.job.ready),
                ]
                with m.If(complete & scanned):
                    m.d.comb += scan.start.eq(1)
                    m.next = "FEED"
            with m.State("FEED"):
                m.d.comb += [softmax.i.valid.eq(scan.o.valid), scan.o.ready.eq(softmax.i.ready)]
                with m.If(scanned):
                    m.d.comb += scan.start.eq(1)
                    m.next = "OUTPUT"
            with m.State("OUTPUT"):
                m.d.comb += [scan.o.ready.eq(join), softmax.o.ready.eq(join)]
                with m.If(join & (flag | config.whole)):
                    m.d.sync += [
                        self.o.valid.eq(1), self.o.p.last.eq(last), emitted.eq(emitted + 1),
                        words[0].eq(index), words[1].eq(softmax.o.p.data[0]),
                        words[2].eq(logit.as_signed()), words[3].eq(log.o),
                    ]
                with m.If(scanned):
                    m.next = "BEGIN"
                    with m.If(batch_end):
                        m.next = "SETUP"
        for bit, cause in enumerate((registers.refused, registers.mismatch, reader.error, broken)):
            with m.If(cause):
                m.d.sync += self.causes[bit].eq(1)
        m.d.comb += self.error.eq(self.causes.any())
        return m

"""SVD-softmax engine: one hidden vector behind the other, pass by pass.

::

    setup --> Setup --> geometry, of all                request / response
    h --> HiddenInput --> RowPass <--------------------- MemoryReader
                            |  ^
                            |  `- rows of the full view: Selection <---.
                            v                                         |
    ThresholdSearch <--- logits --> LogitScan --> ThresholdSearch --> Selection
                                        `-------> Outputs --> o
    Sequence: which pass, which scan
"""

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.causes import Causes
from ..blocks.memory import BankedMemory
from .hidden_input import HiddenInput
from .logit_scan import LogitScan
from .memory_reader import MemoryReader
from .outputs import Outputs
from .row_pass import RowPass
from .selection import Selection
from .sequence import Scan, Sequence
from .setup import Setup
from .threshold_search import ThresholdSearch
from .words import WordLayout

__all__ = ["SvdSoftmax"]


class SvdSoftmax(wiring.Component):
    """SVD-softmax of hidden vectors; see :class:`~rtl.svd.config.SvdSoftmaxConfig`.

    A setup says where the image is, and V, W and N; it holds for the vectors up to and with the one
    that carries ``last``. For each vector come N beats on ``o``, the words of the full view in the
    order of their index (``whole``: V beats, all words), with ``last`` on the last one.

    Vectors are worked on one behind the other: the transform, the preview of all words, a scan of
    all logits for the low byte of the threshold, one for the selection with the full views behind
    it, one for the softmax, and one with its outputs, during which the next vector of the batch is
    transformed and previewed. Cycles: ``config.token_cycles``. Empty after reset; the memory must
    forget its requests with the engine.

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
    clear : In(1)
        Clear ``causes``.
    causes : Out(len(config.causes))
        What was wrong with setups, vectors and the memory, as ``config.causes`` says. A setup
        refused, and a vector broken, end with the next ``last``, without outputs. Sticky until
        reset or ``clear``.
    error : Out(1)
        One of ``causes``.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "setup": In(stream.Signature(WordLayout.setup())),
            "h": In(stream.Signature(WordLayout.hidden(config.hidden_bits))),
            "request": Out(stream.Signature(WordLayout.request())),
            "response": In(stream.Signature(WordLayout.response(config.port_bytes))),
            "o": Out(stream.Signature(WordLayout.output())),
            "clear": In(1), "causes": Out(len(config.causes)), "error": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.sequence = sequence = Sequence(config)
        m.submodules.registers = registers = Setup(config)
        m.submodules.input = vectors = HiddenInput(config)
        m.submodules.reader = reader = MemoryReader(
            config.port_bytes, config.job_bits, config.burst, config.queue, memory=config.memory)
        m.submodules.row_pass = rows = RowPass(config)
        m.submodules.search = search = ThresholdSearch(config)
        m.submodules.selection = selection = Selection(config)
        m.submodules.outputs = outputs = Outputs(config)
        for inner, outer in ((self.setup, registers.setup), (self.h, vectors.h),
                             (self.response, reader.response)):
            wiring.connect(m, wiring.flipped(inner), outer)
        for inner, outer in ((reader.request, self.request), (outputs.o, self.o)):
            wiring.connect(m, inner, wiring.flipped(outer))
        wiring.connect(m, selection.index, rows.chosen)
        geometry = registers.geometry

        # Vectors, and the memory words of their rows.
        m.d.comb += [
            registers.open.eq(sequence.open), sequence.done.eq(registers.done),
            sequence.good.eq(registers.good), sequence.geometry.eq(geometry),
            vectors.load.eq(sequence.load), vectors.drop.eq(sequence.drop),
            sequence.busy.eq(vectors.busy), sequence.broken.eq(vectors.broken),
            sequence.ends.eq(vectors.ends),
            rows.vector.eq(sequence.load), rows.element.eq(vectors.element),
            rows.element_valid.eq(vectors.valid), rows.geometry.eq(geometry),
            rows.start.eq(sequence.start), rows.kind.eq(sequence.kind),
            rows.rows.eq(sequence.rows), sequence.complete.eq(rows.complete),
        ]
        self._memory_words(m, sequence, registers, selection, reader, rows)

        # Logits: a word that is still to go out is not overwritten.
        bits = config.LOGIT_BITS
        m.submodules.logits = logits = BankedMemory(bits + 1, config.max_vocab, config.memory)
        m.submodules.logit_scan = scan = LogitScan(bits + 1, config.max_vocab)
        m.d.comb += [
            logits.address.eq(rows.word), logits.write.eq(rows.preview | rows.tail),
            logits.data.eq(Cat(rows.logit, rows.tail)),
            scan.start.eq(sequence.scan), scan.count.eq(geometry.vocabulary),
            scan.data.eq(logits.o), logits.read.eq(scan.read),
            sequence.scanned.eq(scan.place == geometry.vocabulary),
            rows.limited.eq(sequence.emitting), rows.limit.eq(scan.place),
        ]

        # Who takes a scan's logits. The top bit inverted: offset binary.
        offset_logit = Signal(bits)
        sign = 1 << bits - 1
        m.d.comb += [
            offset_logit.eq(scan.o.payload[:bits] ^ sign),
            search.clear.eq(sequence.load), search.add.eq(rows.preview),
            search.logit.eq(rows.logit ^ sign), search.count.eq(geometry.count),
            search.find.eq(sequence.find), sequence.searching.eq(search.busy),
            sequence.rescan.eq(search.rescan), sequence.found.eq(search.done),
            search.again_logit.eq(offset_logit), search.rescanned.eq(sequence.scanned),
            selection.start.eq(sequence.select), selection.threshold.eq(search.threshold),
            selection.places.eq(search.places), selection.tail.eq(geometry.tail),
            selection.row_words.eq(geometry.tail_words),
            selection.logits.payload.eq(offset_logit),
            outputs.vocabulary.eq(geometry.vocabulary), outputs.count.eq(geometry.count),
            outputs.word.eq(scan.place), outputs.logits.valid.eq(scan.o.valid),
            outputs.logits.p.as_value().eq(scan.o.payload),
        ]
        with m.Switch(sequence.use):
            with m.Case(Scan.COUNT):
                m.d.comb += [search.again.eq(scan.o.valid), scan.o.ready.eq(1)]
            with m.Case(Scan.SELECT):
                m.d.comb += [selection.logits.valid.eq(scan.o.valid),
                             scan.o.ready.eq(selection.logits.ready)]
            with m.Case(Scan.FEED):
                m.d.comb += [outputs.feed.eq(1), scan.o.ready.eq(outputs.logits.ready)]
            with m.Case(Scan.EMIT):
                m.d.comb += [outputs.emit.eq(1), scan.o.ready.eq(outputs.logits.ready)]

        m.submodules.causes = causes = Causes(config.causes)
        m.d.comb += [
            causes.setup.eq(registers.refused), causes.image.eq(registers.mismatch),
            causes.response.eq(reader.error), causes.vector.eq(vectors.broken),
            causes.clear.eq(self.clear),
            self.causes.eq(causes.causes), self.error.eq(causes.error),
        ]
        return m

    def _memory_words(self, m, sequence, registers, selection, reader, rows):
        """Jobs of one after the other, and words to the setup or to the rows."""
        for source in (selection.job, sequence.job, registers.job):
            with m.If(source.valid):
                m.d.comb += [reader.job.valid.eq(1), reader.job.payload.eq(source.payload)]
            m.d.comb += source.ready.eq(reader.job.ready)
        m.d.comb += [registers.words.payload.eq(reader.o.payload),
                     rows.words.payload.eq(reader.o.payload)]
        with m.If(sequence.open):
            m.d.comb += [registers.words.valid.eq(reader.o.valid),
                         reader.o.ready.eq(registers.words.ready)]
        with m.Else():
            m.d.comb += [rows.words.valid.eq(reader.o.valid),
                         reader.o.ready.eq(rows.words.ready)]

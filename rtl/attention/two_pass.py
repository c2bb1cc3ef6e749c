"""Tail of the engine in two passes over a row: softmax, then the weighted sum of the values."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.pipeline import delays
from ..stream.fifo import FifoStorage
from .output_rows import OutputRows
from .parameters import ScalingLayout
from .value_sums import ValueSums

__all__ = ["TwoPassTail"]


class TwoPassTail(wiring.Component):
    """Outputs of rows of logits: a softmax unit, weighted sums of the values, requantisation.

    The values of a row must be there when its last logit comes. The sums are a pipeline that never
    stalls. Throughput one beat per cycle, rows back to back; latency :meth:`latency_of` cycles.
    Empty after reset.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.
    layout : LogitLayout
        Layout of the logits; the row has a ``mark``.
    word : ShapeLike
        Shape of the values' addresses.

    Members
    -------
    i : In(stream.Signature(layout))
        Rows of logits.
    word : Out(word)
        Word of the values' store to read.
    values : In(ArrayLayout(StructLayout({"data": ArrayLayout(signed(bits), value_dim)}), lanes))
        Word that was read, a cycle later.
    release : Out(1)
        The last values of a set are read.
    o : Out(stream.Signature(config.output_layout))
        One vector per row, ``last`` in the last beat of a set's last one, ``use`` in a marked one.
    scaling : In(stream.Signature(ScalingLayout()))
        Scale of the next set's outputs, as of :class:`~rtl.attention.output_rows.OutputRows`. Only
        with scales at run time.
    error : Out(1)
        The softmax unit finds an error. Pulses with the first one after reset.
    """

    def __init__(self, config, layout, word):
        self.config = config
        self.layout = layout
        vector = data.StructLayout({
            "data": data.ArrayLayout(signed(config.bits), config.value_dim)})
        super().__init__({
            "i": In(stream.Signature(layout)), "word": Out(word),
            "values": In(data.ArrayLayout(vector, config.lanes)), "release": Out(1),
            "o": Out(stream.Signature(config.output_layout)), "error": Out(1),
            **({"scaling": In(stream.Signature(ScalingLayout()))} if config.run_time else {}),
        })

    @staticmethod
    def passes_of(config):
        """How often the latency of a row of one beat grows by a further beat."""
        return config.softmax_config.passes

    @staticmethod
    def _sum_cycles(config):
        """From a row's last weights to the sums of the row."""
        return 1 + ValueSums.latency_of(config)

    @classmethod
    def latency_of(cls, config):
        """Cycles from the only logits of a row to its first beat on ``o``."""
        return (config.softmax_config.latency + cls._sum_cycles(config)
                + OutputRows.latency_of(config))

    def elaborate(self, platform):
        m = Module()
        config, logit = self.config, self.i.payload
        m.submodules.softmax = softmax = config.softmax_config.create()
        cycles = self._sum_cycles(config)
        m.submodules.rows = rows = OutputRows(config, cycles)
        m.submodules.sums = sums = ValueSums(config)
        transfer = Signal()
        beat = softmax.i.payload
        m.d.comb += [
            softmax.i.valid.eq(self.i.valid), self.i.ready.eq(softmax.i.ready),
            transfer.eq(self.i.valid & self.i.ready),
            beat.data.eq(logit.data), beat.keep.eq(logit.keep), beat.mask.eq(logit.mask),
            beat.last.eq(logit.last),
        ]
        known = Signal()
        m.d.sync += known.eq(softmax.error)
        m.d.comb += self.error.eq(softmax.error & ~known)

        # A row may end when its sums find the output free, and its outputs the queue.
        accept, end = Signal(), Signal()
        weights = softmax.o
        m.d.comb += [
            weights.ready.eq(~weights.payload.last | rows.may_end),
            accept.eq(weights.valid & weights.ready), end.eq(accept & weights.payload.last),
        ]
        m.submodules.set_ends = set_ends = self._notes(2, config.softmax_config.most_rows)
        set_end = Signal()
        m.d.comb += [
            set_ends.i.eq(Cat(logit.row.set_end, logit.row.mark)),
            set_ends.push.eq(transfer & logit.last),
            set_ends.pop.eq(end), set_end.eq(end & set_ends.o[0]),
            self.release.eq(set_end),
        ]
        self._address(m, transfer, accept, weights.payload.last)

        # Values are read while the weights wait; a weight of 0 stands for none.
        starts = Signal(init=1)
        held = Signal.like(sums.weights, name="weights")
        m.d.sync += [held.eq(Mux(accept, weights.payload.data.as_value(), 0)),
                     sums.first.eq(accept & starts)]
        with m.If(accept):
            m.d.sync += starts.eq(weights.payload.last)
        m.d.comb += [
            sums.weights.eq(held), sums.values.eq(self.values), rows.sums.eq(sums.o),
            rows.end.eq(end), rows.done.eq(delays(m, end, cycles, "done")[-1]),
            rows.set_end.eq(delays(m, set_end, cycles, "set_done")[-1]),
            rows.mark.eq(delays(m, set_ends.o[1], cycles, "mark")[-1]),
        ]
        wiring.connect(m, rows.o, wiring.flipped(self.o))
        if config.run_time:
            wiring.connect(m, wiring.flipped(self.scaling), rows.scaling)
        return m

    def _notes(self, width, entries):
        """FIFO of what waits for weights: ``entries`` in the softmax's stores, and some outside."""
        entries += 2 * self.config.softmax_config.latency + 8
        return FifoStorage(width, 1 << (entries - 1).bit_length())

    def _address(self, m, transfer, accept, last):
        """Word of values that the weights at hand belong to."""
        if len(self.i.payload.word):
            softmax = self.config.softmax_config
            # Each pass stores as many beats as the longest row has, or a few more.
            store = 1 << max(softmax.max_beats - 1, 1).bit_length()
            m.submodules.words = words = self._notes(
                len(self.word), softmax.passes * (store + softmax.max_beats))
            m.d.comb += [words.i.eq(self.i.payload.word), words.push.eq(transfer),
                         words.pop.eq(accept), self.word.eq(words.o)]
        else:
            word = Signal.like(self.word)
            m.d.comb += self.word.eq(word)
            with m.If(accept):
                m.d.sync += word.eq(Mux(last, 0, word + 1))

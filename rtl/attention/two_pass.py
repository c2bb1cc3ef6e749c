"""Tail of the engine in two passes over a row: softmax, then the weighted sum of the values."""

from amaranth import Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.pipeline import delays
from .output_rows import OutputRows
from .parameters import ScalingLayout
from .row_weights import RowWeights
from .sink import sink_members
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
    sink : In(stream.Signature(SinkLayout(logit_bits)))
        Sink of the next set, valid two cycles before its first row. Only with sinks at run time.
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
            **sink_members(config),
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
        config = self.config
        m.submodules.weights = rated = RowWeights(config, self.layout)
        cycles = self._sum_cycles(config)
        m.submodules.rows = rows = OutputRows(config, cycles)
        m.submodules.sums = sums = ValueSums(config)
        wiring.connect(m, wiring.flipped(self.i), rated.i)
        if config.sink and config.run_time:
            wiring.connect(m, wiring.flipped(self.sink), rated.sink)

        # A row may end when its sums find the output free, and its outputs the queue.
        accept, end, set_end = Signal(), Signal(), Signal()
        weights, beat = rated.o, rated.o.payload
        m.d.comb += [
            weights.ready.eq(~beat.last | rows.may_end),
            accept.eq(weights.valid & weights.ready), end.eq(accept & beat.last),
            set_end.eq(end & beat.row.set_end), self.release.eq(set_end),
            self.error.eq(rated.error),
        ]
        self._address(m, accept, beat)

        # Values are read while the weights wait; a weight of 0 stands for none.
        starts = Signal(init=1)
        held = Signal.like(sums.weights, name="weights")
        m.d.sync += [held.eq(Mux(accept, beat.weights.as_value(), 0)),
                     sums.first.eq(accept & starts)]
        with m.If(accept):
            m.d.sync += starts.eq(beat.last)
        m.d.comb += [
            sums.weights.eq(held), sums.values.eq(self.values), rows.sums.eq(sums.o),
            rows.end.eq(end), rows.done.eq(delays(m, end, cycles, "done")[-1]),
            rows.set_end.eq(delays(m, set_end, cycles, "set_done")[-1]),
            rows.mark.eq(delays(m, beat.row.mark, cycles, "mark")[-1]),
        ]
        wiring.connect(m, rows.o, wiring.flipped(self.o))
        if config.run_time:
            wiring.connect(m, wiring.flipped(self.scaling), rows.scaling)
        return m

    def _address(self, m, accept, beat):
        """Word of values that the weights at hand belong to."""
        address = Value.cast(self.word)
        if len(Value.cast(beat.word)):
            m.d.comb += address.eq(beat.word)
            return
        word = Signal(len(address))
        m.d.comb += address.eq(word)
        with m.If(accept):
            m.d.sync += word.eq(Mux(beat.last, 0, word + 1))

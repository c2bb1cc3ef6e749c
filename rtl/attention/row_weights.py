"""Weights of rows of logits: the softmax unit, with what goes beside it."""

from amaranth import Module, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..stream.fifo import FifoStorage
from .sink import sink_members, sink_of

__all__ = ["RowWeights"]


class RowWeights(wiring.Component):
    """A softmax unit, or exponentials, that hands on what goes with a row and with its beats.

    Throughput and latency are those of the unit (``config.softmax_config``). Empty after reset.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.
    layout : LogitLayout
        Layout of the logits.

    Members
    -------
    i : In(stream.Signature(layout))
        Rows of logits.
    o : Out(stream.Signature(RowWeights.layout(config, layout)))
        Their ``weights``, the ``word`` of the beat, and ``last``; ``row`` is read with ``last``.
    sink : In(stream.Signature(SinkLayout(logit_bits)))
        Sink of the next set, valid two cycles before its first row. Only with sinks at run time.
    error : Out(1)
        The unit finds an error. Pulses with the first one after reset.
    """

    def __init__(self, config, layout):
        self.config = config
        super().__init__({
            "i": In(stream.Signature(layout)),
            "o": Out(stream.Signature(self.layout(config, layout))), "error": Out(1),
            **sink_members(config)})

    @staticmethod
    def layout(config, logits):
        """Layout of a beat of weights, of rows of ``logits``."""
        return data.StructLayout({
            "weights": data.ArrayLayout(unsigned(config.weight_width), config.lanes),
            "last": unsigned(1), "word": logits["word"].shape, "row": logits["row"].shape})

    def elaborate(self, platform):
        m = Module()
        config, logit, beat = self.config.softmax_config, self.i.payload, self.o.payload
        m.submodules.softmax = softmax = config.create()
        transfer, leaves, known = Signal(), Signal(), Signal()
        m.d.sync += known.eq(softmax.error)
        m.d.comb += [
            softmax.i.valid.eq(self.i.valid), self.i.ready.eq(softmax.i.ready),
            transfer.eq(self.i.valid & self.i.ready),
            *(getattr(softmax.i.payload, name).eq(getattr(logit, name))
              for name in ("data", "keep", "mask", "last")),
            self.o.valid.eq(softmax.o.valid), softmax.o.ready.eq(self.o.ready),
            leaves.eq(self.o.valid & self.o.ready),
            beat.weights.eq(softmax.o.payload.data), beat.last.eq(softmax.o.payload.last),
            self.error.eq(softmax.error & ~known),
        ]
        if self.config.sink:
            sink = sink_of(m, self.config, self, transfer & logit.last & logit.row.set_end)
            own = softmax.i.payload.row
            m.d.comb += [own.sink.eq(sink.logit), own.sink_valid.eq(sink.valid)]
        # Each pass stores as many beats as the longest row has, or a few more.
        store = 1 << max(config.max_beats - 1, 1).bit_length()
        for name, value, entries, push, pop in (
                ("row", logit.row, config.most_rows, transfer & logit.last, leaves & beat.last),
                ("word", logit.word, config.passes * (store + config.max_beats), transfer, leaves)):
            bits = Value.cast(value)
            if len(bits):
                m.submodules[f"{name}s"] = notes = self._notes(len(bits), entries)
                m.d.comb += [notes.i.eq(bits), notes.push.eq(push), notes.pop.eq(pop),
                             Value.cast(beat[name]).eq(notes.o)]
        return m

    def _notes(self, width, entries):
        """FIFO of what waits for weights: ``entries`` in the unit's stores, and some outside."""
        entries += 2 * self.config.softmax_config.latency + 8
        return FifoStorage(width, 1 << (entries - 1).bit_length())

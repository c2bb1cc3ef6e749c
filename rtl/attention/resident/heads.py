"""Scales of the query heads: kept for each, handed on with each packet of queries."""

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.memory import ram
from ...fixed import SHIFT_BITS
from ...stream.fifo import Fifo
from ..parameters import ParameterIntake, ScalingLayout
from ..sink import SinkLayout

__all__ = ["HeadParameters"]


class HeadParameters(wiring.Component):
    """Memory of the parameters of each head, and queues of those of the packets on their way.

    A packet has the parameters that its head has when the packet is accepted. Parameters stay, also
    through a reset, until others come; undefined before the first ones. Throughput one packet per
    cycle. No packet is on its way after reset.

    Parameters
    ----------
    config : AttentionConfig
        Configuration: ``heads``, ``logit_bits``.
    packets : int
        Packets on their way at most.

    Members
    -------
    i : In(stream.Signature(ParameterIntake.layout(config)))
        Parameters of a head, as :attr:`~rtl.attention.parameters.SetParameters.words`. ``last``
        does not count.
    head : In(range(heads))
        Head that is loaded, or whose packet is accepted.
    load : In(1)
        Parameters are taken, when they come.
    keep : In(1)
        They are stored.
    loaded : Out(1)
        They are taken in this cycle.
    accept : In(1)
        A packet is accepted.
    logit : Out(stream.Signature(ScalingLayout(logit_bits)))
        Scale of the next packet's logits.
    output : Out(stream.Signature(ScalingLayout()))
        Scale of the next packet's outputs.
    sink : Out(stream.Signature(SinkLayout(logit_bits)))
        Sink of the next packet. Only with a sink.
    """

    def __init__(self, config, packets):
        self.heads, self.packets = config.heads, packets
        self._entry = data.StructLayout({
            "logit": ScalingLayout(config.logit_bits), "output": ScalingLayout(),
            **({"sink": SinkLayout(config.logit_bits)} if config.sink else {})})
        super().__init__({
            "i": In(stream.Signature(ParameterIntake.layout(config))),
            "head": In(range(config.heads)),
            "load": In(1), "keep": In(1), "loaded": Out(1), "accept": In(1),
            **{name: Out(stream.Signature(field.shape)) for name, field in self._entry},
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.entries = entries = ram(self._entry, self.heads, "distributed")
        write, read = entries.write_port(), entries.read_port(domain="comb")
        words, new = self.i.payload.data, Signal(self._entry)
        m.d.comb += [
            self.i.ready.eq(self.load), self.loaded.eq(self.load & self.i.valid),
            new.logit.multiplier.eq(words[0]), new.logit.offset.eq(words[1]),
            new.output.multiplier.eq(words[2]), new.logit.shift.eq(words[3][:SHIFT_BITS]),
            new.output.shift.eq(words[3][8:8 + SHIFT_BITS]),
            write.addr.eq(self.head), write.data.eq(new), write.en.eq(self.loaded & self.keep),
            read.addr.eq(self.head),
        ]
        if "sink" in self._entry.members:
            m.d.comb += ParameterIntake.store_sink(new.sink, words)
        for name in self._entry.members:
            port = getattr(self, name)
            m.submodules[name] = queue = Fifo(port.payload.shape(), self.packets)
            m.d.comb += [queue.push.eq(self.accept), queue.i.eq(read.data[name])]
            wiring.connect(m, queue.o, wiring.flipped(port))
        return m

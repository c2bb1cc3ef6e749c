"""Takes hidden vectors element by element, and finds where one ends too early."""

from amaranth import Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .words import WordLayout

__all__ = ["HiddenInput"]


class HiddenInput(wiring.Component):
    """Elements of one hidden vector at a time, from the stream of a batch of them.

    A vector has ``dim`` elements, and ``last`` ends a batch with the last element of a vector. One
    that comes earlier breaks its vector.

    Throughput one element per cycle. Idle after reset.

    Parameters
    ----------
    config : SvdSoftmaxConfig
        Configuration.

    Members
    -------
    load : In(1)
        Start to take a vector. Not while ``busy``, as ``drop``.
    drop : In(1)
        Start to take what is left of a batch, and drop it.
    h : In(stream.Signature(WordLayout.hidden(config.hidden_bits)))
        Elements.
    element : Out(signed(config.hidden_bits))
        Element of the vector that is loaded.
    valid : Out(1)
        ``element`` holds one.
    busy : Out(1)
        A vector is taken, or a batch dropped.
    broken : Out(1)
        Pulses when ``last`` came within a vector, with the last cycle of ``busy``.
    ends : Out(1)
        The vector that was loaded is the last of its batch.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "load": In(1), "drop": In(1),
            "h": In(stream.Signature(WordLayout.hidden(config.hidden_bits))),
            "element": Out(signed(config.hidden_bits)), "valid": Out(1), "busy": Out(1),
            "broken": Out(1), "ends": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        dim = self.config.dim
        number = Signal(range(dim))
        loading = Signal()
        dropping = Signal()
        taken = Signal()
        m.d.comb += [
            self.busy.eq(loading | dropping), self.h.ready.eq(self.busy),
            taken.eq(self.h.valid & self.busy), self.valid.eq(self.h.valid & loading),
            self.element.eq(self.h.p.data[0]),
            self.broken.eq(self.valid & self.h.p.last & (number != dim - 1)),
        ]
        with m.If(self.valid):
            m.d.sync += [number.eq(number + 1), self.ends.eq(self.h.p.last)]
            with m.If(number == dim - 1):
                m.d.sync += loading.eq(0)
        with m.If(taken & self.h.p.last):
            m.d.sync += [loading.eq(0), dropping.eq(0)]
        with m.If(self.load):
            m.d.sync += [loading.eq(1), number.eq(0)]
        with m.If(self.drop):
            m.d.sync += dropping.eq(1)
        return m

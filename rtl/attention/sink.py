"""Sink logit of a set or a head: takes weight in each of its rows, and has no value."""

from __future__ import annotations

import dataclasses

from amaranth import Const, Module, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SetSink", "Sink", "SinkLayout", "sink_members", "sink_of"]


@dataclasses.dataclass(frozen=True)
class Sink:
    """Sink logit of the rows of a set.

    Attributes
    ----------
    logit : int
        In logit steps; compared with the logits as they are with their offset.
    valid : bool
        Whether the rows have one.
    """

    logit: int = 0
    valid: bool = True


class SinkLayout(data.StructLayout):
    """A :class:`Sink`.

    Parameters
    ----------
    bits : int
        Width of a logit.

    Members
    -------
    logit : signed(bits)
        Logit.
    valid : unsigned(1)
        The rows have a sink.
    """

    def __init__(self, bits):
        super().__init__({"logit": signed(bits), "valid": unsigned(1)})


class SetSink(wiring.Component):
    """Register of the sink of the set whose rows come, which the next set's follows.

    Throughput one set per cycle. Without a set after reset.

    Parameters
    ----------
    bits : int
        Width of a logit.

    Members
    -------
    i : In(stream.Signature(SinkLayout(bits)))
        Sinks of the sets, in their order: each there two cycles before its set's first row.
    end : In(1)
        The last beat of a set.
    o : Out(SinkLayout(bits))
        Sink of the set at hand. From a register.
    """

    def __init__(self, bits):
        super().__init__({"i": In(stream.Signature(SinkLayout(bits))), "end": In(1),
                          "o": Out(SinkLayout(bits))})

    def elaborate(self, platform):
        m = Module()
        there = Signal()
        m.d.comb += self.i.ready.eq(~there | self.end)
        with m.If(self.i.ready):
            m.d.sync += [there.eq(self.i.valid), self.o.eq(self.i.payload)]
        return m


def sink_members(config):
    """Member ``sink`` of a tail, where there are sinks at run time."""
    if not (config.sink and config.run_time):
        return {}
    return {"sink": In(stream.Signature(SinkLayout(config.logit_bits)))}


def sink_of(m, config, tail, end):
    """Sink of the row at hand, of :class:`SinkLayout`: that of the configuration, or a set's.

    Parameters
    ----------
    m : Module
        Module of the tail.
    config : AttentionConfig
        Configuration with a sink.
    tail : Component
        With :func:`sink_members`.
    end : Value
        The last beat of a set is transferred.
    """
    if not config.run_time:
        layout = SinkLayout(config.logit_bits)
        sink = layout.const(dataclasses.asdict(config.fixed_sink))
        return data.View(layout, Const(sink.as_bits(), layout.size))
    m.submodules.sink = held = SetSink(config.logit_bits)
    wiring.connect(m, wiring.flipped(tail.sink), held.i)
    m.d.comb += held.end.eq(end)
    return held.o

"""Intake of the queries: beats are gathered into whole vectors."""

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .layouts import QueryLayout

__all__ = ["QueryIntake"]


class QueryIntake(wiring.Component):
    """Register of the next query.

    Latency 1 cycle from a query's last beat; throughput one beat per cycle: a query leaves in the
    cycle in which the first beat of the next one comes. ``i.ready`` follows ``o.ready``
    combinationally. Empty after reset.

    A ``last`` within a query ends the set with what there is of that query. A set ends with its
    query number ``max_queries`` at the latest, if there is such a limit: without ``last`` that
    query has ``failed``, and the next one is of the next set, so that sets stay in step where an
    end is lost.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.

    Members
    -------
    i : In(stream.Signature(config.vector_layout))
        Beats of queries.
    o : Out(stream.Signature(QueryLayout(config)))
        Queries.
    within : Out(1)
        Pulses when ``last`` is within a query, which leaves as it is.
    endless : Out(1)
        Pulses when the end of a set's queries is missing.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({"i": In(stream.Signature(config.vector_layout)),
                          "o": Out(stream.Signature(QueryLayout(config))), "within": Out(1),
                          "endless": Out(1)})

    def elaborate(self, platform):
        m = Module()
        beats, beat = self.config.vector_beats, self.i.payload
        transfer, whole = Signal(), Signal()
        count = Signal(range(beats))
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            transfer.eq(self.i.valid & self.i.ready),
            whole.eq(count == beats - 1),
            self.within.eq(transfer & beat.last & ~whole),
        ]
        if most := self.config.max_queries:
            number = Signal(range(most))
            m.d.comb += self.endless.eq(transfer & whole & ~beat.last & (number == most - 1))
            with m.If(transfer & (whole | beat.last)):
                m.d.sync += number.eq(number + 1)
                with m.If(beat.last | self.endless):
                    m.d.sync += number.eq(0)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(transfer):
            elements = self.o.payload.elements.as_value()
            m.d.sync += [
                elements.eq(Cat(elements[len(beat.data.as_value()):], beat.data)),
                count.eq(count + 1), self.o.payload.last.eq(beat.last | self.endless),
                self.o.payload.failed.eq(self.within | self.endless),
            ]
            with m.If(whole | beat.last):
                m.d.sync += [count.eq(0), self.o.valid.eq(1)]
        return m

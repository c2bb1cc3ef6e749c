"""Which sets failed: from what their streams showed to the rows of their queries."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SetStatus"]


class SetStatus(wiring.Component):
    """Marks the rows of failed sets: all of a set whose keys, values or columns are not right.

    Of a set whose queries are not right the last row is marked, which is that of the query in
    question. What is known of a set holds until another one takes its place in the stores, which
    its last row precedes.

    Parameters
    ----------
    ahead : bool
        Whether a query leaves before its row, and not with the first word of it.

    Members
    -------
    failed : In(2)
        The set of each of the stores' two places failed.
    place : In(1)
        Place of the set whose row is at hand.
    set_end : In(1)
        That row is the last one of its set.
    query_end : In(1)
        The last query of a set leaves its intake.
    query_failed : In(1)
        The query that leaves next is not right.
    mark : Out(1)
        The row is marked. Combinational.
    """

    def __init__(self, *, ahead=True):
        self.ahead = ahead
        super().__init__({"failed": In(2), "place": In(1), "set_end": In(1), "query_end": In(1),
                          "query_failed": In(1), "mark": Out(1)})

    def elaborate(self, platform):
        m = Module()
        noted, turn = Signal(2), Signal()
        with m.If(self.query_end):
            m.d.sync += [noted.bit_select(turn, 1).eq(self.query_failed), turn.eq(~turn)]
        last = noted.bit_select(self.place, 1)
        if not self.ahead:
            last = Mux(turn == self.place, self.query_failed, last)
        m.d.comb += self.mark.eq(self.failed.bit_select(self.place, 1) | (self.set_end & last))
        return m

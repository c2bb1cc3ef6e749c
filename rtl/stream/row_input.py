"""Framing at a unit's input: row boundaries, cuts of over-long rows, checks of ``keep``."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RowInput"]


class RowInput(wiring.Component):
    """Framing of the rows of an input stream.

    A row of more than ``max_length`` elements is cut: it ends with its ``max_length``-th element,
    and its further beats are dropped. That, a row of fewer than ``least_length`` elements, a
    partial beat before the last one, and kept lanes that are not the low ones raise ``error``.
    No malformed row touches another one.

    Latency 0 cycles (combinational in the beat), except for ``error``, which follows one cycle
    later; throughput one beat per cycle.

    Parameters
    ----------
    lanes : int
        Elements per beat.
    max_length : int
        Elements of the longest row.
    least_length : int
        Elements of the shortest row.

    Members
    -------
    transfer : In(1)
        A beat is accepted in this cycle.
    keep : In(lanes)
        Bit k set: lane k of the beat carries an element.
    last : In(1)
        The beat ends its row.
    valid : Out(1)
        A beat is accepted and not dropped.
    kept : Out(lanes)
        ``keep``, less the lanes beyond ``max_length``.
    first : Out(1)
        The beat is the first of its row.
    end : Out(1)
        The beat is the last of its row, by ``last`` or by a cut.
    error : Out(1)
        A row was malformed. Sticky until reset.
    """

    def __init__(self, lanes, max_length, *, least_length=1):
        self.lanes = lanes
        self.max_length = max_length
        self.least_length = least_length
        super().__init__({
            "transfer": In(1),
            "keep": In(lanes),
            "last": In(1),
            "valid": Out(1),
            "kept": Out(lanes),
            "first": Out(1),
            "end": Out(1),
            "error": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        beats = -(-self.max_length // self.lanes)
        allowed = (1 << (self.max_length - (beats - 1) * self.lanes)) - 1
        count = Signal(range(beats))
        cutting = Signal()
        final = Signal()
        excess = Signal()
        malformed = Signal()
        ending = Cat(self.keep[1:], Const(0, 1))
        m.d.comb += [
            final.eq(count == beats - 1),
            self.valid.eq(self.transfer & ~cutting),
            self.first.eq(count == 0),
            self.end.eq(self.last | final),
            self.kept.eq(self.keep),
            excess.eq(final & (~self.last | (self.keep & ~Const(allowed, self.lanes)).any())),
            malformed.eq(~self.keep[0] | (~self.keep & ending).any() |
                         (~self.last & ~self.keep.all())),
        ]
        if allowed != (1 << self.lanes) - 1:
            with m.If(final):
                m.d.comb += self.kept.eq(self.keep & allowed)
        with m.If(self.transfer):
            with m.If(self.last):
                m.d.sync += cutting.eq(0)
            with m.Elif(final):
                m.d.sync += cutting.eq(1)
            with m.If(~cutting):
                m.d.sync += count.eq(count + 1)
                with m.If(self.end):
                    m.d.sync += count.eq(0)
            with m.If(malformed | ((excess | self._short(count)) & ~cutting)):
                m.d.sync += self.error.eq(1)
        return m

    def _short(self, count):
        """Whether a row ends in this beat with too few elements."""
        if self.least_length == 1:
            return Const(0, 1)
        beat, lane = divmod(self.least_length - 1, self.lanes)
        early = (count < beat) if beat else Const(0, 1)
        return self.last & (early | ((count == beat) & ~self.keep[lane]))

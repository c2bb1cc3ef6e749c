"""Watching an AXI4-Stream: counts of packets and beats, and what is wrong with a packet."""

from amaranth import Cat, Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .registers import WORD

__all__ = ["StreamMonitor"]


class StreamMonitor(wiring.Component):
    """Counters and checks of the packets of a stream; it only looks on.

    Sizes are in elements: those kept, or all lanes of each beat of a stream without ``keep``. The
    events pulse a cycle after the beat that causes them. Of a packet that is too long nothing but
    its length and its ``keep`` is reported.

    Parameters
    ----------
    lanes : int
        Elements per beat.
    least, most : int
        Elements of the shortest and of the longest packet; no limit if ``most`` is None.
    step : int
        A packet is a multiple of so many elements: of one if the stream has ``keep``, of ``lanes``
        or a multiple of it if not.
    keep : bool
        Whether a beat has ``keep``.

    Members
    -------
    transfer : In(1)
        A beat is transferred in this cycle.
    kept : In(lanes)
        Bit k set: lane k carries an element; all ones without ``keep``.
    last : In(1)
        The beat ends its packet.
    clear : In(1)
        Set the counters to 0.
    forget : In(1)
        Drop a packet that is under way.
    packets : Out(32)
        Packets that have ended, modulo 2**32.
    beats : Out(32)
        Beats, modulo 2**32.
    inside : Out(1)
        A packet has begun and not ended.
    ended : Out(1)
        Pulses after the last beat of a packet.
    long : Out(1)
        Pulses if a packet has more than ``most`` elements.
    short : Out(1)
        Pulses if a packet ends with fewer than ``least``, or within a step.
    malformed : Out(1)
        Pulses if the kept lanes are not the low ones, or not all before the last beat.
    """

    def __init__(self, lanes, *, least=1, most=None, step=1, keep=True):
        self.lanes, self.least, self.most, self.step, self.keep = lanes, least, most, step, keep
        super().__init__({
            "transfer": In(1), "kept": In(lanes), "last": In(1), "clear": In(1), "forget": In(1),
            "packets": Out(WORD), "beats": Out(WORD), "inside": Out(1), "ended": Out(1),
            "long": Out(1), "short": Out(1), "malformed": Out(1)})

    @property
    def checks(self):
        """Events that there can be, of ``long``, ``short`` and ``malformed``."""
        return tuple(name for name, there in (
            ("long", self.most is not None),
            ("short", self.least > (1 if self.keep else self.lanes) or self._steps > 1),
            ("malformed", self.keep)) if there)

    @property
    def _steps(self):
        """Beats of a step."""
        return -(-self.step // self.lanes)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += [self.ended.eq(self.transfer & self.last), self.long.eq(0), self.short.eq(0),
                     self.malformed.eq(0)]
        with m.If(self.transfer):
            m.d.sync += [self.inside.eq(~self.last), self.beats.eq(self.beats + 1),
                         self.packets.eq(self.packets + self.last)]
        with m.If(self.clear):
            m.d.sync += [self.beats.eq(0), self.packets.eq(0)]
        with m.If(self.forget):
            m.d.sync += self.inside.eq(0)
        self._check_sizes(m)
        if self.keep:
            above = Cat(self.kept[1:], Const(0, 1))
            wrong = (~self.kept[0] | (~self.kept & above).any() |
                     (~self.last & ~self.kept.all()))
            m.d.sync += self.malformed.eq(self.transfer & wrong)
        return m

    def _check_sizes(self, m):
        """Compare the beats of a packet with the limits."""
        if not {"long", "short"} & {*self.checks}:
            return
        # Beats before this one, saturating where no limit is any more.
        beats = max(-(-(self.most or self.least + self.lanes) // self.lanes), 2)
        count = Signal(range(beats))
        over = Signal()
        with m.If(self.transfer):
            with m.If(count != beats - 1):
                m.d.sync += count.eq(count + 1)
            with m.If(self.last):
                m.d.sync += [count.eq(0), over.eq(0)]
        if self.most is not None:
            final, allowed = divmod(self.most - 1, self.lanes)
            excess = Signal()
            beyond = self.kept[allowed + 1:].any() if allowed + 1 < self.lanes else 0
            m.d.comb += excess.eq((count == final) & ~over & (~self.last | beyond))
            with m.If(self.transfer & excess):
                m.d.sync += [self.long.eq(1), over.eq(~self.last)]
        if "short" in self.checks:
            early = self._early(m, count)
            m.d.sync += self.short.eq(self.transfer & self.last & early & ~over)
        with m.If(self.forget):
            m.d.sync += [count.eq(0), over.eq(0)]

    def _early(self, m, count):
        """Whether a packet that ends with this beat is too short, or ends within a step."""
        final, lane = divmod(self.least - 1, self.lanes)
        early = (count < final) | ((count == final) & ~self.kept[lane])
        if self._steps == 1:
            return early
        phase = Signal(range(self._steps))
        with m.If(self.transfer):
            m.d.sync += phase.eq(phase + 1)
            with m.If(self.last | (phase == self._steps - 1)):
                m.d.sync += phase.eq(0)
        with m.If(self.forget):
            m.d.sync += phase.eq(0)
        return early | (phase != self._steps - 1)

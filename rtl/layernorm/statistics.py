"""Sums over a row, of its elements and of their squares."""

from amaranth import Cat, Module, Mux
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..blocks.pipeline import delays
from .beat_sum import BeatSum, add
from .timeline import Timeline, stage_of

__all__ = ["Statistics"]


class Statistics(wiring.Component):
    """Sums ``E`` of the elements and ``Q`` of the squares of the row so far.

    The squares of a beat are the method's. Latency :meth:`latencies` to ``squares``, from ``value``
    :meth:`total_latency` to ``total``; throughput one beat per cycle. No overflow in rows of up to
    ``config.channels`` elements.

    Parameters
    ----------
    config : LayerNormConfig
        Configuration.

    Members
    -------
    valid : In(1)
        The inputs hold a beat.
    first : In(1)
        It is the first one of its row.
    raw : In(config.input_layout["data"].shape)
        Elements as they come, in the cycle of ``valid``; if the method needs them.
    alpha : In(config.alpha_layout)
        Exponents of their factors, a cycle later; if the method needs them.
    live : In(lanes)
        Lanes that carry an element, in the cycle of ``alpha``; if the method needs them.
    value : In(config.value_layout)
        Elements times their factors, another cycle later; for the method, and for ``total``.
    total : Out(config.total_shape)
        ``E``; absent for RMSNorm.
    squares : Out(config.squares_shape)
        ``Q``.
    """

    #: Stages of the inputs.
    STAGES = {"valid": 0, "first": 0, "raw": 0, "alpha": 1, "live": 1, "value": 2}

    def __init__(self, config):
        self.config = config
        shapes = {"valid": 1, "first": 1, "raw": config.input_layout["data"].shape,
                  "alpha": config.alpha_layout, "live": config.lanes, "value": config.value_layout}
        ports = {name: In(shapes[name]) for name in self.latencies(config)}
        if not config.rms:
            ports["total"] = Out(config.total_shape)
        super().__init__({**ports, "squares": Out(config.squares_shape)})

    @classmethod
    def latencies(cls, config):
        """Cycles from each input to ``squares``."""
        squares = config.method.squares.latencies(config)
        last = stage_of(squares, cls.STAGES) + 1
        values = () if config.rms else ("value",)
        return {name: last - cls.STAGES[name] for name in ("valid", "first", *squares, *values)}

    @staticmethod
    def total_latency(config):
        """Cycles from ``value`` to ``total``."""
        return BeatSum.stages(config.lanes, config.method.chained) + 1

    def elaborate(self, platform):
        m = Module()
        line = Timeline(m)
        for name in self.latencies(self.config):
            line.add(name, getattr(self, name), self.STAGES[name])
        if not self.config.rms:
            self._add_elements(m, line)
        m.submodules.squares = squares = self.config.method.squares(self.config)
        stage = stage_of(squares.latencies(self.config), self.STAGES)
        line.feed(squares, stage)
        before = Mux(line.at("first", stage), 0, self.squares)
        with m.If(line.at("valid", stage)):
            m.d.sync += self.squares.eq(squares.o + before)
        return m

    def _add_elements(self, m, line):
        """Sum of the elements."""
        config, chained = self.config, self.config.method.chained
        low, high = config.value_range
        m.submodules.elements = elements = BeatSum(min(low, 0), max(high, 0), config.lanes,
                                                   chained=chained)
        for k in range(config.lanes):
            late = delays(m, Cat(self.value[k]), elements.delay(k, chained), f"value_{k}")[-1]
            m.d.comb += elements.i[k].eq(late.as_signed())
        stage = self.STAGES["value"] + self.total_latency(config) - 1
        before = Mux(line.at("first", stage), 0, self.total)
        with m.If(line.at("valid", stage)):
            # A plain sum would be duplicated into the DSP block of the multiplier that follows.
            m.d.sync += self.total.eq(add(m, elements.o, before, self.total.shape(), "total_next"))

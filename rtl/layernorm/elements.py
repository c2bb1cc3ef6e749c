"""Elements of a beat in steps that all channels share."""

from amaranth import Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..blocks.barrel_shift import shift_left

__all__ = ["Elements"]


class Elements(wiring.Component):
    """``x = (raw - zero_point) << alpha`` of each lane; 0 for lanes without an element.

    Latency 2 cycles from ``raw``, 1 from ``alpha`` and ``live``; throughput one beat per cycle. No
    overflow.

    Parameters
    ----------
    config : LayerNormConfig
        Configuration.

    Members
    -------
    raw : In(config.input_layout["data"].shape)
        Elements as they come.
    alpha : In(config.alpha_layout)
        Exponents of their channels' factors.
    live : In(lanes)
        Lanes that carry an element.
    o : Out(config.value_layout)
        ``x`` of each lane.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "raw": In(config.input_layout["data"].shape),
            "alpha": In(config.alpha_layout),
            "live": In(config.lanes),
            "o": Out(config.value_layout),
        })

    @staticmethod
    def latencies(config):
        """Cycles from each input to ``o``."""
        return {"raw": 2, "alpha": 1, "live": 1}

    def elaborate(self, platform):
        m = Module()
        config = self.config
        low, high = config.centred_range
        shape = signed(config.value_bits)
        for k in range(config.lanes):
            centred = Signal(range(low, high + 1), name=f"centred_{k}")
            value = Signal(shape, name=f"value_{k}", reset_less=True)
            m.d.sync += centred.eq(self.raw[k] - config.zero_point)
            with m.If(self.live[k]):
                m.d.sync += value.eq(shift_left(m, centred, self.alpha[k], shape, f"value_{k}"))
            with m.Else():
                m.d.sync += value.eq(0)
            m.d.comb += self.o[k].eq(value)
        return m

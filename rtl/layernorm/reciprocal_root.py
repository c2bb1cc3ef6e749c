"""Reciprocal of the standard deviation."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..blocks.barrel_shift import shift_left
from ..blocks.pipeline import delays
from ..fixed import half
from .lengths import LENGTH_BITS, length_layout
from .normaliser import Normaliser

__all__ = ["ReciprocalRoot"]


class ReciprocalRoot(wiring.Component):
    """``R << k`` of ``r = (R << k) * 2**-(config.base_exponent + config.root_bits)``.

    The radicand is normalised; the method makes the mantissa ``R`` of the leading bits, the leading
    zero count gives ``k``. With rows of variable length, ``R`` is multiplied by the root that the
    length enters into, and rounded half up. ``R`` saturates just below 2, and ``k`` at
    ``config.top_exponent``.

    Latency :meth:`latencies`, throughput one radicand per cycle.

    Parameters
    ----------
    config : LayerNormConfig
        Configuration.

    Members
    -------
    radicand : In(config.radicand_shape)
        Radicand.
    root : In(17)
        Root of the length, 16 fraction bits; of rows of variable length only.
    offset : In(range(offsets))
        What ``k`` is more than the leading zero count, less ``config.least_offset``; of rows of
        variable length only.
    o : Out(config.factor_width)
        ``R << k``.
    """

    def __init__(self, config):
        self.config = config
        ports = {"radicand": In(config.radicand_shape)}
        if config.variable:
            layout = length_layout(config)
            ports.update((name, In(layout[name].shape)) for name in ("root", "offset"))
        super().__init__({**ports, "o": Out(config.factor_width)})

    @staticmethod
    def latencies(config):
        """Cycles from each input to ``o``."""
        cycles = Normaliser.LATENCY + config.method.mantissa.latencies(config)["normal"]
        if config.variable:
            return {"radicand": cycles + 3, "root": 3, "offset": 3}
        return {"radicand": cycles}

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.mantissa = mantissa = config.method.mantissa(config)
        m.submodules.normaliser = normaliser = Normaliser(config, len(mantissa.normal))
        m.d.comb += [normaliser.radicand.eq(self.radicand), mantissa.normal.eq(normaliser.o)]
        value = mantissa.o
        exponent = delays(m, normaliser.zeros, mantissa.latencies(config)["normal"], "zeros")[-1]
        if config.variable:
            value, exponent = self._scaled(m, value, exponent)
        shape = unsigned(config.factor_width)
        factor = shift_left(m, value, exponent, shape, "factor")
        if config.variable:
            late = Signal(shape, name="factor", reset_less=True)
            m.d.sync += late.eq(factor)
            factor = late
        m.d.comb += self.o.eq(factor)
        return m

    def _scaled(self, m, mantissa, zeros):
        """Mantissa and exponent with those of the length, two cycles later."""
        config = self.config
        limit = (2 << config.root_bits) - 1
        product = Signal(unsigned(len(mantissa) + LENGTH_BITS + 2), reset_less=True)
        rounded = Signal(config.root_bits + 2)
        value = Signal(config.root_bits + 1)
        total = Signal(range(config.leading_pairs + config.largest_offset + 1))
        exponent = Signal(range(config.top_exponent + 1))
        m.d.comb += rounded.eq((product + half(LENGTH_BITS)) >> LENGTH_BITS)
        m.d.sync += [
            product.eq(mantissa * self.root),
            value.eq(Mux(rounded > limit, limit, rounded)),
            total.eq(zeros + self.offset + config.least_offset),
            exponent.eq(Mux(total > config.top_exponent, config.top_exponent, total)),
        ]
        return value, exponent

"""Mean of a row."""

from amaranth import Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..fixed import half
from .lengths import length_layout

__all__ = ["Mean"]


class Mean(wiring.Component):
    """``-E / L``, rounded half up to ``config.mean_bits`` fraction bits: a product and a shift.

    Exact where all elements of the row are equal (:attr:`config.reciprocal_bits`).
    Latency :meth:`latencies`, throughput one mean per cycle. No overflow.

    Parameters
    ----------
    config : LayerNormConfig
        Configuration.

    Members
    -------
    total : In(config.total_shape)
        ``E``.
    reciprocal : In(signed(config.reciprocal_bits + 2))
        ``-1 / L``, with ``config.reciprocal_bits + shift`` fraction bits; of rows of variable
        length only.
    shift : In(4)
        See ``reciprocal``; of rows of variable length only.
    o : Out(signed(config.mean_width))
        The negated mean.
    """

    def __init__(self, config):
        self.config = config
        ports = {"total": In(config.total_shape)}
        if config.variable:
            layout = length_layout(config)
            ports.update((name, In(layout[name].shape)) for name in ("reciprocal", "shift"))
        super().__init__({**ports, "o": Out(signed(config.mean_width))})

    @staticmethod
    def latencies(config):
        """Cycles from each input to ``o``."""
        return {"total": 4, "reciprocal": 4, "shift": 2} if config.variable else {"total": 2}

    def elaborate(self, platform):
        m = Module()
        config = self.config
        bits = config.reciprocal_bits
        shift = bits - config.mean_bits
        product = Signal(signed(len(self.total) + bits + 3), reset_less=True)
        late = Signal.like(product, name="product_late", reset_less=True)
        if config.variable:
            shifted = Signal(signed(config.mean_width + 2))
            m.d.sync += [
                product.eq(self.total * self.reciprocal),
                late.eq(product),
                shifted.eq(late[shift - 1:].as_signed() >> self.shift),
                self.o.eq((shifted + 1) >> 1),
            ]
        else:
            scale = config.scales[config.channels]
            shift += scale.shift
            reciprocal = Const(-scale.reciprocal, signed(bits + 2))
            m.d.sync += [product.eq(self.total * reciprocal), late.eq(product + half(shift))]
            m.d.comb += self.o.eq(late[shift:].as_signed())
        return m

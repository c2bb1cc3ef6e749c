"""Second pass: normalisation, gamma and beta."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..fixed import half

__all__ = ["Affine"]


class Affine(wiring.Component):
    """``y = saturate(round(gamma * round((x - mu) * r) + beta))`` of each lane.

    Both are rounded half up, the inner one to ``config.normal_fraction_bits`` fraction bits; the
    result is saturated to ``config.out_bits`` bits. A lane without an element gives 0.

    Latency 7 cycles from ``x``, :meth:`latencies` from the other inputs; throughput one beat per
    cycle.

    Parameters
    ----------
    config : LayerNormConfig
        Configuration.

    Members
    -------
    value : In(config.value_layout)
        ``x``.
    mean : In(signed(config.mean_width))
        ``-mu``, ``config.mean_bits`` fraction bits; absent for RMSNorm.
    factor : In(config.factor_width)
        ``r``, ``config.base_exponent + config.root_bits`` fraction bits.
    gamma : In(ArrayLayout(signed(config.gamma_bits), lanes))
        Gammas, ``config.gamma_fraction_bits`` fraction bits.
    beta : In(ArrayLayout(signed(config.beta_bits), lanes))
        Betas, ``config.beta_fraction_bits`` fraction bits; absent for RMSNorm.
    keep : In(lanes)
        Lanes that carry an element.
    o : Out(config.output_layout["data"].shape)
        Outputs.
    """

    #: Cycles from the element to the output.
    LATENCY = 7

    def __init__(self, config):
        self.config = config
        layout = config.affine_words.layout
        ports = {"value": In(config.value_layout), "factor": In(config.factor_width),
                 "gamma": In(layout["gamma"].shape), "keep": In(config.lanes)}
        if not config.rms:
            ports |= {"mean": In(signed(config.mean_width)), "beta": In(layout["beta"].shape)}
        super().__init__({**ports, "o": Out(config.output_layout["data"].shape)})

    @classmethod
    def latencies(cls, config):
        """Cycles from each input to ``o``."""
        common = {"value": cls.LATENCY, "factor": 6, "gamma": 5, "keep": 2}
        return common if config.rms else {**common, "mean": cls.LATENCY, "beta": 3}

    def elaborate(self, platform):
        m = Module()
        for k in range(self.config.lanes):
            self._saturate(m, k, self._scaled(m, k, self._normal(m, k)))
        return m

    # The last registers before a multiplier, and those of its product, have no reset, so that they
    # can move into a DSP block.

    def _normal(self, m, k):
        """Element less the mean times the factor, three cycles later."""
        config = self.config
        value = Cat(Const(0, config.mean_bits), self.value[k]).as_signed()
        if not config.rms:
            value = self.mean + value
        width, shift = config.difference_width, config.normal_shift
        centred = Signal(signed(width), name=f"difference_{k}", reset_less=True)
        product = Signal(signed(width + config.factor_width + 1), name=f"product_{k}",
                         reset_less=True)
        normal = Signal.like(product, name=f"normal_{k}", reset_less=True)
        m.d.sync += [
            centred.eq(value),
            product.eq(centred * Cat(self.factor, Const(0, 1)).as_signed()),
            normal.eq(product + half(shift)),
        ]
        return normal[shift:][:config.normal_width].as_signed()

    def _scaled(self, m, k, normal):
        """Output before it is saturated, two cycles later."""
        config = self.config
        shift = config.output_shift
        gamma = Signal(signed(config.gamma_bits), name=f"gamma_late_{k}", reset_less=True)
        product = Signal(signed(config.normal_width + config.gamma_bits), name=f"scaled_{k}",
                         reset_less=True)
        m.d.sync += [gamma.eq(self.gamma[k]), product.eq(normal * gamma)]
        offset = Const(half(shift), signed(shift + 2))
        if not config.rms:
            place = shift - config.beta_fraction_bits
            # Half an output step is below beta's own, or is added to a constant.
            offset = Signal(signed(max(place + config.beta_bits, shift) + 1), name=f"offset_{k}")
            m.d.comb += offset.eq(Cat(Const(0, place), self.beta[k]).as_signed() + half(shift))
        width = max(len(product) + 1, len(offset) + 1, shift + config.out_bits + 1)
        total = Signal(signed(width), name=f"total_{k}", reset_less=True)
        m.d.sync += total.eq(product + offset)
        return total[shift:].as_signed()

    def _saturate(self, m, k, value):
        """Drive the output of a lane, two cycles later; its range is checked in the first."""
        bits = self.config.out_bits
        low = Signal(bits, name=f"low_{k}", reset_less=True)
        over, sign, kept = (Signal(name=f"{name}_{k}") for name in ("over", "sign", "kept"))
        output = Signal(bits, name=f"output_{k}", reset_less=True)
        high = value[bits - 1:]
        m.d.sync += [low.eq(value[:bits]), sign.eq(value[-1]), over.eq(high.any() & ~high.all()),
                     kept.eq(self.keep[k])]
        with m.If(kept):
            m.d.sync += output.eq(Mux(over, Cat((~sign).replicate(bits - 1), sign), low))
        with m.Else():
            m.d.sync += output.eq(0)
        m.d.comb += self.o[k].eq(output)

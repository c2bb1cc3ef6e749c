"""Hardware of REXP."""

from amaranth import Cat, Const, Signal

from ..lookup import lookup
from ..multiplier import Multiplier
from ..pipeline import delays
from ..row_unit import RowUnit
from .two_pass_core import ExponentTableDatapath, Stages, direct


__all__ = ["RexpSoftmax", "stages"]

# Widest operands of a DSP48E1, unsigned.
DSP_WIDTHS = 24, 17


def stages(config):
    """Cycles of the method."""
    product = Multiplier.stages(_code_bits(config)) if config.multiplier == "lut" else 1
    return Stages(terms=1 if direct(config) else 2, result=1,
                  outputs=2 + product + _separate(config))


def _code_bits(config):
    return max(config.exponentials[0].bit_length(), 1)


def _separate(config):
    """Whether the exact scaling takes an addition of its own, behind the multiplication."""
    return (config.sum_index == "linear" and config.scaling == "exact"
            and (config.multiplier == "lut" or 2 * config.out_bits > DSP_WIDTHS[0]))


class RexpSoftmax(RowUnit):
    """REXP softmax unit; :class:`rtl.softmax.rexp.RexpSoftmaxConfig` says what it computes.

    First pass: maximum. Second pass: exponents by table, their sum. Third pass: a multiplication by
    the reciprocal of the sum.
    """

    def __init__(self, config):
        super().__init__(config, _Datapath(config))


class _Datapath(ExponentTableDatapath):
    @property
    def largest_term(self):
        return max(self.config.exponentials[0], 1)

    @property
    def code_shape(self):
        return _code_bits(self.config)

    def terms(self, m, distances, live):
        words = self.looked_up(m, distances, live, self.config.exponentials, "term")
        return words, words

    def result(self, m, total):
        config = self.config
        return self.sum_index(m, total, config.linear_index(total),
                              1 << config.sum_fraction_bits, config.alpha_count - 1)

    def outputs(self, m, codes, index):
        """Products, scaled.

        ``round(p / M) == ((p + 2**(w - 1)) * (2**w + 1)) >> 2 * w`` for every product, so the exact
        scaling is part of the constants: alpha twice, side by side, times ``s``.
        """
        config = self.config
        w = config.out_bits
        alpha = Signal(max(config.alphas).bit_length() or 1, name="alpha")
        m.d.sync += alpha.eq(lookup(m, index, config.alphas, name="alpha_word"))
        if config.sum_index == "floating":
            factor, shift = alpha, config.alpha_shift
            offset = 1 << (shift - 1)
        elif config.scaling == "cheap":
            factor, shift, offset = alpha, w, 0
        elif _separate(config):
            factor, shift, offset = alpha, 0, 0
        else:
            factor = Cat(alpha, Const(0, w - len(alpha)), alpha)
            shift, offset = 2 * w, ((1 << w) + 1) << (w - 1)
        outputs = []
        for k, code in enumerate(codes):
            code = delays(m, code, 1, f"code_{k}")[-1]
            if config.multiplier == "lut":
                m.submodules[f"multiplier_{k}"] = multiplier = Multiplier(len(factor), len(code))
                m.d.comb += [multiplier.a.eq(factor), multiplier.b.eq(code)]
                product = multiplier.o
            else:
                product = Signal(len(code) + len(factor), name=f"product_{k}", reset_less=True)
                m.d.sync += product.eq(code * factor)
            scaled = Signal(len(product) + 1, name=f"scaled_{k}", reset_less=True)
            m.d.sync += scaled.eq(product + offset)
            outputs.append((scaled >> shift)[:w] if not _separate(config) else
                           self._divided(m, scaled))
        return outputs

    def _divided(self, m, product):
        """A product divided by ``M``, rounded half up, registered."""
        w = self.config.out_bits
        quotient = Signal(w, reset_less=True)
        total = product[:2 * w] + (1 << (w - 1))
        m.d.sync += quotient.eq((total + (total >> w)) >> w)
        return quotient

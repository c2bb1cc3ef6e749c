"""Hardware of REXP."""

from amaranth import Cat, Const, Signal

from ..blocks.lookup import lookup
from ..blocks.multiplier import Multiplier
from ..blocks.pipeline import delays
from .exponent_table_core import FinalDatapath, RunningDatapath, direct, index_cycles
from .two_pass_core import Stages

__all__ = ["FinalRexp", "RunningRexp", "stages"]

# Widest operands of a DSP48E1, unsigned.
DSP_WIDTHS = 24, 17


def stages(config):
    """Cycles of the method."""
    product = Multiplier.stages(_code_bits(config)) if config.multiplier == "lut" else 1
    return Stages(terms=1 if direct(config) else 2, result=index_cycles(config),
                  outputs=2 + product + _separate(config))


def _code_bits(config):
    return max(config.exponentials[0].bit_length(), 1)


def _separate(config):
    """Whether the exact scaling takes an addition of its own, behind the multiplication."""
    return (config.sum_index == "linear" and config.scaling == "exact"
            and (config.multiplier == "lut" or 2 * config.out_bits > DSP_WIDTHS[0]))


class _Products:
    """Products of exponents and a row's reciprocal, scaled."""

    def alpha(self, m, index):
        """Word of the table of reciprocals, registered."""
        alpha = Signal(max(self.config.alphas).bit_length() or 1, name="alpha")
        m.d.sync += alpha.eq(lookup(m, index, self.config.alphas, name="alpha_word"))
        return alpha

    def products(self, m, codes, alpha):
        """Products, scaled.

        ``round(p / M) == ((p + 2**(w - 1)) * (2**w + 1)) >> 2 * w`` for every product, so the exact
        scaling is part of the constants: alpha twice, side by side, times ``s``.
        """
        config = self.config
        w = config.out_bits
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


class FinalRexp(_Products, FinalDatapath):
    """First pass: maximum. Second pass: exponents by table, their sum. Third pass: products."""

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
        codes = [delays(m, code, 1, f"code_{k}")[-1] for k, code in enumerate(codes)]
        return self.products(m, codes, self.alpha(m, index))


class RunningRexp(_Products, RunningDatapath):
    """First pass: distances to the running reference, their exponents' sum. Second pass: products
    of the exponents of corrected distances."""

    @staticmethod
    def output_cycles(config):
        return stages(config).outputs + 1

    def _outputs(self, m, late, result):
        words = self.late_words(m, late, self.config.exponentials, "exponent")
        return self.products(m, words, self.alpha(m, result))

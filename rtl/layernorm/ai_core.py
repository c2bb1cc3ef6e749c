"""Hardware of AILayerNorm."""

from amaranth import Cat, Const, Signal, signed

from ..blocks.lookup import lookup
from ..blocks.pipeline import delays
from .beat_sum import BeatSum
from .core import Datapath, LayerNorm, Schedule

__all__ = ["AILayerNorm", "schedule"]


def schedule(config):
    """Pipeline stages of an AILayerNorm."""
    return Schedule.of(config, squares=1, chained=True, mantissa=1,
                       radicand=lambda total, squares, mean: squares + 1 if config.rms
                       else mean + 2)


class AILayerNorm(LayerNorm):
    """AILayerNorm unit; :class:`rtl.layernorm.ai.AILayerNormConfig` says what it computes."""

    def __init__(self, config):
        super().__init__(config, _Datapath(config))


class _Datapath(Datapath):
    chained = True

    @property
    def normal_bits(self):
        return self.config.rsqrt_index_bits + 1

    def squares(self, m, sums, values):
        """Squares of the codes, each a shift away from the sum, which its adder does."""
        config = self.config
        flag_shift = 2 * config.flag_shift
        for k in range(config.lanes):
            index = self.raw.word_select(k, config.bits)
            # In the order of the bit patterns.
            origin = -config.raw_range[0]
            codes = config.codes[origin:] + config.codes[:origin]
            code = Signal(config.code_bits, name=f"code_{k}")
            flag = Signal(name=f"flag_{k}")
            m.d.sync += [code.eq(lookup(m, index, [c for c, _ in codes], name=f"code_word_{k}")),
                         flag.eq(lookup(m, index, [f for _, f in codes], name=f"flag_word_{k}"))]
            alpha = self.alphas[k]
            # Shifted by the low bit of alpha before it rests; the rest is for the adder to choose.
            words = [(c * c) << 2 * a for a in range(2) for c in range(1 << config.code_bits)]
            square = Signal(range(max(words) + 1), name=f"square_{k}", reset_less=True)
            with m.If(self.live[k]):
                m.d.sync += square.eq(lookup(m, Cat(code, alpha[0]), words,
                                             name=f"square_word_{k}"))
            with m.Else():
                m.d.sync += square.eq(0)
            high = alpha[1] if len(alpha) > 1 else Const(0, 1)
            late = BeatSum.delay(k, True)
            choice = [delays(m, Cat(value), late + wait, name)[-1] for value, wait, name in (
                (square, 0, f"square_{k}"), (flag, 1, f"flag_{k}"), (high, 1, f"alpha_{k}"))]
            m.d.comb += sums.i[k].eq(_shifted(m, *choice, flag_shift, f"term_{k}"))

    def weigh(self, m, total, squares, mean):
        config, at = self.config, self.at
        epsilon = self.epsilon
        if config.rms:
            radicand = Signal(config.radicand_bits)
            m.d.sync += radicand.eq(squares + epsilon)
            return radicand
        own = Signal(config.radicand_bits + 1, name="squares_radicand")
        held = delays(m, squares, at.mean - at.squares, "squares")[-1]
        m.d.sync += own.eq((held << config.square_shift) + epsilon)
        product = Signal(signed(len(total) + len(mean)), name="mean_square", reset_less=True)
        width = (-config.lowest_radicand).bit_length() + 1
        radicand = Signal(signed(max(config.radicand_bits + 1, width)), reset_less=True)
        m.d.sync += [product.eq(delays(m, total, at.mean - at.total, "total")[-1] * mean),
                     radicand.eq(product + own)]
        return radicand

    def find_mantissa(self, m, normal):
        config = self.config
        mantissa = Signal(config.root_bits + 1)
        m.d.sync += mantissa.eq(lookup(m, self.index_of(normal), config.rsqrt, name="root_word"))
        return mantissa


def _shifted(m, square, flag, high, flag_shift, name):
    """``square``, shifted by ``flag_shift`` for the flag and by 4 for the high bit of alpha.

    Each of its bits is a function of five others, if the shifts are equal.
    """
    term = Signal(len(square) + flag_shift + 4, name=name)
    with m.Switch(Cat(flag, high)):
        for case in range(4):
            with m.Case(case):
                m.d.comb += term.eq(square << (flag_shift * (case & 1) + 4 * (case >> 1)))
    return term

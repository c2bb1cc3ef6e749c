"""Hardware of the exact LayerNorm."""

from amaranth import Cat, Const, Mux, Signal, signed

from ..blocks.lookup import constant_multiple, lookup
from ..blocks.pipeline import delays
from .core import Datapath, LayerNorm, Schedule
from .exact import MANTISSA_BITS, OFFSET_BITS, SLOPE_BITS

__all__ = ["ExactLayerNorm", "schedule"]


def schedule(config):
    """Pipeline stages of an exact LayerNorm."""
    return Schedule.of(config, squares=3, chained=False, mantissa=3,
                       radicand=lambda total, squares, mean: squares + 1 if config.rms
                       else max(total + 4, squares + 2 + 2 * config.variable))


class ExactLayerNorm(LayerNorm):
    """Exact LayerNorm unit; :class:`rtl.layernorm.exact.ExactLayerNormConfig` is its method."""

    def __init__(self, config):
        super().__init__(config, _Datapath(config))


class _Datapath(Datapath):
    chained = False
    normal_bits = MANTISSA_BITS + 2

    def squares(self, m, sums, values):
        """Squares, a multiplication each."""
        for k, value in enumerate(values):
            product = Signal(len(sums.i[k]), name=f"square_{k}", reset_less=True)
            square = Signal.like(product, name=f"square_late_{k}", reset_less=True)
            m.d.sync += [product.eq(value * value), square.eq(product)]
            m.d.comb += sums.i[k].eq(square)

    def weigh(self, m, total, squares, mean):
        config, at = self.config, self.at
        radicand = Signal(config.radicand_bits)
        if config.rms:
            m.d.sync += radicand.eq(squares + self.epsilon)
            return radicand
        # Both halves of the sum are operands of a DSP block each.
        half = (len(total) + 1) // 2
        low, high = Cat(total[:half], Const(0, 1)).as_signed(), total[half:].as_signed()
        square_low, cross, square_high = (_product(m, a, b, name) for a, b, name in (
            (low, low, "low"), (low, high, "cross"), (high, high, "high")))
        square = Signal(config.radicand_bits, name="total_square")
        m.d.sync += square.eq(Cat(square_low[:2 * half], square_high) + (cross << (half + 1)))
        if config.variable:
            length = delays(m, self.length, at.squares - at.total, "length")[-1]
            length = Cat(length, Const(0, 1)).as_signed()
            low, high = (_product(m, Cat(part, Const(0, 1)).as_signed(), length, name)
                         for part, name in ((squares[:16], "squares_low"),
                                            (squares[16:], "squares_high")))
            weighted = (high << 16) + low
            stage = at.squares + 2
        else:
            weighted = constant_multiple(squares, config.channels)
            stage = at.squares
        late = Signal(config.radicand_bits, name="weighted")
        wait = at.radicand - 2 - stage
        m.d.sync += [late.eq(delays(m, weighted, wait, "weighted_early")[-1] + self.epsilon),
                     radicand.eq(late - delays(m, square, at.radicand - 4 - at.total,
                                               "total_square")[-1])]
        return radicand

    def find_mantissa(self, m, normal):
        config = self.config
        index = self.index_of(normal)
        bits = MANTISSA_BITS + SLOPE_BITS
        shift = bits - config.root_bits
        # The half that rounds is in the offset; the slope is negated, for a sum and not a
        # difference is what a DSP block is found for.
        offsets = [a + (1 << (shift - 1 - bits + OFFSET_BITS)) for a, _ in config.rsqrt]
        width = SLOPE_BITS + 2
        slopes = [(1 << width) - b for _, b in config.rsqrt]
        offset = Signal(max(offsets).bit_length())
        slope = Signal(signed(width), reset_less=True)
        held = Signal.like(normal, name="normal_held", reset_less=True)
        product = Signal(signed(width + len(normal) + 1), name="newton_product", reset_less=True)
        step = Signal(signed(bits + 3), name="newton_step", reset_less=True)
        late = Signal.like(offset, name="offset_late")
        m.d.sync += [
            offset.eq(lookup(m, index, offsets, name="offset_word")),
            slope.eq(lookup(m, index, slopes, name="slope_word")),
            held.eq(normal), late.eq(offset),
            product.eq(slope * Cat(held, Const(0, 1)).as_signed()),
            step.eq(product + Cat(Const(0, bits - OFFSET_BITS), late, Const(0, 1)).as_signed()),
        ]
        limit = (2 << config.root_bits) - 1
        rounded = step[shift:]
        largest = max((a << (bits - OFFSET_BITS)) - b * m_low + (1 << (shift - 1)) >> shift
                      for (a, b), m_low in zip(config.rsqrt, _starts(config), strict=True))
        mantissa = Signal(config.root_bits + 1)
        # Only rounding can bring the largest one to 2.0.
        m.d.comb += mantissa.eq(Mux(rounded > limit, limit, rounded) if largest > limit
                                else rounded)
        return mantissa


def _product(m, a, b, name):
    """Product of two signed values, two cycles later."""
    product = Signal(signed(len(a) + len(b)), name=f"product_{name}", reset_less=True)
    late = Signal.like(product, name=f"product_{name}_late", reset_less=True)
    m.d.sync += [product.eq(a * b), late.eq(product)]
    return late


def _starts(config):
    """Least mantissa of each part of Newton's table."""
    half = 1 << (config.rsqrt_index_bits - 1)
    return [(octave << MANTISSA_BITS) * (half + i) // half for octave in (1, 2)
            for i in range(half)]

"""LayerNorm with exact integer statistics: what the approximate units are measured by.

Algorithm, for a row of ``L`` elements::

    E  = sum(x)
    Q  = sum(x**2)
    mu = round(E / L)
    W  = L * Q - E**2                 # L**2 times the variance
    m  = W over the power of 4 that leaves 1 <= m < 4
    a, b = table[leading bits of m]   # of Newton's step from a guess g: 3/2 * g and g**3 / 2
    r  = (a - b * m) << half the leading zero count of W
    y  = saturate(round(gamma * (x - mu) * r + beta))
"""

import dataclasses
import functools
import math
from fractions import Fraction

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..blocks.lookup import constant_multiple, lookup
from ..blocks.pipeline import delays
from ..config import register
from ..fixed import half, round_shift
from ..parameter import Integer, parameter
from ..tables import newton_words
from .beat_sum import BeatSum
from .config import LayerNormConfig
from .method import Method
from .normaliser import root_index

__all__ = ["ExactLayerNormConfig", "ExactRadicand", "ExactSquares", "NewtonRoot"]

# Fraction bits of Newton's step: of the mantissa, of the slope, of the offset.
MANTISSA_BITS = 15
SLOPE_BITS = 16
OFFSET_BITS = 20


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class ExactLayerNormConfig(LayerNormConfig):
    """LayerNorm of exact statistics, reciprocal root by table and one step of Newton's.

    The sums ``E`` and ``Q`` of the elements and their squares are exact, and so is the variance
    ``(L * Q - E**2) / L**2``. The reciprocal of its root is a guess from a table of
    ``2**rsqrt_index_bits`` words and one step of Newton's. The mean is rounded to
    ``mean_fraction_bits``.
    """

    UNIT = "layernorm-exact"
    PRESETS = {
        "standard": {},
        "rms": {"rms": True},
        # Elements of 10 bits, with a mean that leaves a lane's products one DSP block each.
        "fine": {"bits": 10, "mean_fraction_bits": 3},
    }

    mean_fraction_bits: int = parameter(5, Integer(0, 8), tag="mf",
                                        help="fraction bits of the mean")
    rsqrt_index_bits: int = parameter(7, Integer(2, 10), tag="ri",
                                      help="index of the guess's table")
    rsqrt_bits: int = parameter(12, Integer(4, 15), tag="rb",
                                help="fraction bits of the reciprocal root")

    # Newton's step ----------------------------------------------------------------------------

    @property
    def mantissa_bits(self):
        """Fraction bits of the mantissa ``m`` of the radicand, ``1 <= m < 4``."""
        return MANTISSA_BITS

    @property
    def slope_bits(self):
        """Fraction bits of the slope ``b`` of ``a - b * m``."""
        return SLOPE_BITS

    @property
    def offset_bits(self):
        """Fraction bits of the offset ``a`` of ``a - b * m``."""
        return OFFSET_BITS

    @property
    def top_square(self):
        """Largest square."""
        return max(abs(value) for value in self.value_range) ** 2

    def radicand(self, total, squares, negated_mean, length):
        """``W``, exact."""
        return squares if self.rms else length * squares - total * total

    def variance_weight(self, length):
        """``L``, squared but for RMSNorm."""
        return Fraction(length if self.rms else length ** 2)

    @property
    def largest_radicand(self):
        """All squares at their largest, and a mean of 0."""
        return max(self.largest_squares * (1 if self.rms else self.channels), 1)

    @property
    def factor_bits(self):
        """24 bits and a sign are the wider operand of a DSP block."""
        return max(24, self.root_bits + 4)

    @property
    def normal_integer_bits(self):
        """Enough, as no element is further from the mean than ``sqrt(L)`` standard deviations.

        What the mean is rounded by is on top, and counts most where ``r`` is at its largest.
        """
        rounded = 0
        if not self.rms:
            mean = max(map(abs, self.value_range))
            error = Fraction(1, 2 << self.mean_bits) + Fraction(mean, 1 << self.reciprocal_bits)
            rounded = error * Fraction(2) ** (1 + self.top_exponent - self.base_exponent)
        bound = math.isqrt(self.channels) + 2 + math.ceil(rounded)
        return min(super().normal_integer_bits, bound.bit_length() + 1)

    @functools.cached_property
    def rsqrt(self):
        """``(offset, slope)`` of Newton's step for every index."""
        scale = 1 if self.variable else self.scales[self.channels].root
        return newton_words(self.rsqrt_index_bits, OFFSET_BITS, SLOPE_BITS, scale)

    # Hardware ----------------------------------------------------------------------------------

    @property
    def method(self):
        """Components that are the method's own."""
        return Method(ExactSquares, ExactRadicand, NewtonRoot, chained=False)


class ExactSquares(wiring.Component):
    """Sum of the squares ``x * x`` of a beat: a multiplier a lane, and a tree of adders.

    Latency :meth:`latencies`, throughput one beat per cycle. No overflow.

    Parameters
    ----------
    config : ExactLayerNormConfig
        Configuration.

    Members
    -------
    value : In(config.value_layout)
        ``x`` of each lane.
    o : Out(range(lanes * config.top_square + 1))
        Sum.
    """

    def __init__(self, config):
        self.config = config
        self._sum = BeatSum(0, config.top_square, config.lanes)
        super().__init__({"value": In(config.value_layout), "o": Out(self._sum.o.shape())})

    @staticmethod
    def latencies(config):
        """Cycles from the input to ``o``."""
        return {"value": BeatSum.stages(config.lanes, False) + 2}

    def elaborate(self, platform):
        m = Module()
        m.submodules.sum = self._sum
        for k in range(self.config.lanes):
            product = Signal(len(self._sum.i[k]), name=f"square_{k}", reset_less=True)
            square = Signal.like(product, name=f"square_late_{k}", reset_less=True)
            m.d.sync += [product.eq(self.value[k] * self.value[k]), square.eq(product)]
            m.d.comb += self._sum.i[k].eq(square)
        m.d.comb += self.o.eq(self._sum.o)
        return m


class ExactRadicand(wiring.Component):
    """``W = L * Q - E**2 + epsilon``; for RMSNorm ``W = Q + epsilon``.

    The square of ``E``, and with rows of variable length the product by ``L``, are put together
    from operands of a DSP block's width. Latency :meth:`latencies`, throughput one radicand per
    cycle. No overflow.

    Parameters
    ----------
    config : ExactLayerNormConfig
        Configuration.

    Members
    -------
    squares : In(config.squares_shape)
        ``Q``.
    epsilon : In(config.epsilon_bits)
        What is added.
    total : In(config.total_shape)
        ``E``; absent for RMSNorm.
    length : In(range(config.channels + 1))
        ``L``; of rows of variable length, absent for RMSNorm.
    o : Out(config.radicand_shape)
        ``W``.
    """

    def __init__(self, config):
        self.config = config
        ports = {"squares": In(config.squares_shape), "epsilon": In(config.epsilon_bits)}
        if not config.rms:
            ports["total"] = In(config.total_shape)
            if config.variable:
                ports["length"] = In(range(config.channels + 1))
        super().__init__({**ports, "o": Out(config.radicand_shape)})

    @staticmethod
    def latencies(config):
        """Cycles from each input to ``o``."""
        if config.rms:
            return {"squares": 1, "epsilon": 1}
        if config.variable:
            return {"squares": 4, "length": 4, "epsilon": 2, "total": 6}
        return {"squares": 2, "epsilon": 2, "total": 4}

    def elaborate(self, platform):
        m = Module()
        config = self.config
        if config.rms:
            m.d.sync += self.o.eq(self.squares + self.epsilon)
            return m
        square = delays(m, self._square(m), self.latencies(config)["total"] - 4, "total_square")[-1]
        weighted = Signal(config.radicand_bits)
        m.d.sync += [weighted.eq(self._weighted(m) + self.epsilon), self.o.eq(weighted - square)]
        return m

    def _square(self, m):
        """``E**2``, three cycles later: both halves of the sum are operands of a DSP block each."""
        total = self.total
        size = (len(total) + 1) // 2
        low, high = Cat(total[:size], Const(0, 1)).as_signed(), total[size:].as_signed()
        square_low, cross, square_high = (_product(m, a, b, name) for a, b, name in (
            (low, low, "low"), (low, high, "cross"), (high, high, "high")))
        square = Signal(self.config.radicand_bits, name="total_square")
        m.d.sync += square.eq(Cat(square_low[:2 * size], square_high) + (cross << (size + 1)))
        return square

    def _weighted(self, m):
        """``L * Q``; two cycles later, if the length varies."""
        if not self.config.variable:
            return constant_multiple(self.squares, self.config.channels)
        length = Cat(self.length, Const(0, 1)).as_signed()
        low, high = (_product(m, Cat(part, Const(0, 1)).as_signed(), length, name)
                     for part, name in ((self.squares[:16], "squares_low"),
                                        (self.squares[16:], "squares_high")))
        return (high << 16) + low


class NewtonRoot(wiring.Component):
    """Mantissa of the reciprocal root by one step of Newton's, ``a - b * m``, rounded half up.

    Offset ``a`` and slope ``b`` are words of a table in logic. Saturates just below 2. Latency 3
    cycles, throughput one mantissa per cycle.

    Parameters
    ----------
    config : ExactLayerNormConfig
        Configuration.

    Members
    -------
    normal : In(config.mantissa_bits + 2)
        ``m``, bits of the radicand from the leading pair on.
    o : Out(config.root_bits + 1)
        Mantissa, ``config.root_bits`` fraction bits.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({"normal": In(config.mantissa_bits + 2), "o": Out(config.root_bits + 1)})

    @staticmethod
    def latencies(config):
        """Cycles from the input to ``o``."""
        return {"normal": 3}

    def elaborate(self, platform):
        m = Module()
        config, normal = self.config, self.normal
        index = root_index(normal, config.rsqrt_index_bits)
        bits = MANTISSA_BITS + SLOPE_BITS
        shift = bits - config.root_bits
        # The half that rounds is in the offset; the slope is negated, for a sum and not a
        # difference is what a DSP block is found for.
        offsets = [a + half(shift - bits + OFFSET_BITS) for a, _ in config.rsqrt]
        width = SLOPE_BITS + 2
        slopes = [(1 << width) - b for _, b in config.rsqrt]
        offset = Signal(max(offsets).bit_length())
        slope = Signal(signed(width), reset_less=True)
        held = Signal.like(normal, name="normal_held", reset_less=True)
        product = Signal(signed(width + len(normal) + 1), reset_less=True)
        step = Signal(signed(bits + 3), reset_less=True)
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
        largest = max(round_shift((a << (bits - OFFSET_BITS)) - b * least, shift)
                      for (a, b), least in zip(config.rsqrt, _starts(config), strict=True))
        # Only rounding can bring the largest one to 2.0.
        m.d.comb += self.o.eq(Mux(rounded > limit, limit, rounded) if largest > limit else rounded)
        return m


def _product(m, a, b, name):
    """Product of two signed values, two cycles later."""
    product = Signal(signed(len(a) + len(b)), name=f"product_{name}", reset_less=True)
    late = Signal.like(product, name=f"product_{name}_late", reset_less=True)
    m.d.sync += [product.eq(a * b), late.eq(product)]
    return late


def _starts(config):
    """Least ``m`` of each part of Newton's table, ``config.mantissa_bits`` fraction bits."""
    size = 1 << (config.rsqrt_index_bits - 1)
    return [(octave << MANTISSA_BITS) * (size + i) // size for octave in (1, 2)
            for i in range(size)]

"""AILayerNorm: LayerNorm whose statistics take neither multiplier nor wide squares.

Source: SOLE (Wang et al., ICCAD 2023), section on AILayerNorm, on inputs quantised with
power-of-two factors (FQ-ViT). The square of an element is that of a code of four bits, from a table
of 16 words; the mean of the squares is what that leaves inexact. Algorithm, for a row of ``L``
elements; the published shifts are 2 and 4, the threshold 64::

    for each element, of a channel with the exponent alpha:
        a    = abs(raw - zero_point)
        flag = a >= threshold
        code = min(round(a >> (high_shift if flag else low_shift)), 15)
        E   += (raw - zero_point) << alpha
        Q   += code**2 << 2 * ((high_shift if flag else low_shift) + alpha)
    mu = round(E / L)
    W  = Q - E * mu                   # L times the variance
    r  = table[leading bits of W] << half the leading zero count of W
    y  = saturate(round(gamma * (x - mu) * r + beta))
"""

import dataclasses
import functools
from fractions import Fraction

from amaranth import Cat, Const, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..blocks.lookup import lookup
from ..blocks.pipeline import delays
from ..config import register
from ..fixed import half
from ..parameter import Choice, Derived, Integer, parameter
from ..tables import rsqrt_words
from .beat_sum import BeatSum
from .config import LayerNormConfig
from .method import Method
from .normaliser import root_index

__all__ = ["AILayerNormConfig", "CodedRadicand", "CodedSquares", "TableRoot"]

# Octaves below the largest standard deviation in which the reciprocal is told apart. With the
# table's 8 bits it is of 17 bits then, and with a sign the narrower operand of a DSP block.
OCTAVES = 8


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class AILayerNormConfig(LayerNormConfig):
    """AILayerNorm: statistics of compressed values, reciprocal root by table (SOLE, ICCAD 2023).

    The magnitude ``a = abs(raw - zero_point)`` is compressed to ``code_bits`` bits and a flag: to
    ``round(a >> high_shift)`` if it is at least ``threshold``, to ``round(a >> low_shift)`` if not,
    at most the largest code. Its square counts ``code**2 << 2 * (shift + alpha)``. With
    ``E = sum(x)`` and ``Q`` the sum of these squares, ``mu = E / L`` (rounded), the variance is
    ``(Q - E * mu) / L``, and ``r`` comes from a table of ``2**rsqrt_index_bits`` words, indexed by
    the parity of the place of the variance's leading one and the bits below it.
    """

    UNIT = "layernorm-ai"
    PRESETS = {
        "paper": {},
        "rms": {"rms": True},
        # Elements of 10 bits whose codes and mean are as fine as one DSP block a product takes.
        "fine": {"bits": 10, "code_bits": 6, "mean_fraction_bits": 4},
    }

    bits: int = parameter(8, Integer(2, 10), tag="b", help="width of an element")
    code_bits: int = parameter(4, Integer(2, 6), tag="k", help="width of a compressed magnitude")
    low_shift: int = parameter(
        Derived(lambda config: max(config.bits - 2 - config.code_bits, 0), "bits - 2 - code_bits"),
        Integer(0, 8), tag="ls", help="shift of magnitudes below the threshold")
    high_shift: int = parameter(
        Derived(lambda config: max(config.bits - config.code_bits, config.low_shift),
                "bits - code_bits"),
        Integer(0, 8), tag="hs", help="shift of magnitudes from the threshold on")
    threshold: int = parameter(
        Derived(lambda config: min(1 << (config.code_bits + config.low_shift), 1023),
                "the first magnitude whose code overflows with low_shift"),
        Integer(1, 1023), tag="t", help="magnitude from which on high_shift holds")
    compression: str = parameter("half-even", Choice(("half-even", "half-up", "truncate")), tag="r",
                                 help="rounding of a magnitude to its code")
    rsqrt_index_bits: int = parameter(6, Integer(2, 10), tag="ri",
                                      help="index of the reciprocal root's table")
    rsqrt_bits: int = parameter(8, Integer(4, 12), tag="rb",
                                help="fraction bits of the reciprocal root")

    def _check_fractions(self):
        self._require("high_shift", self.high_shift >= self.low_shift,
                      f"at least low_shift, which is {self.low_shift}")
        self._require("low_shift", self.top_square > 0, "small enough for a code above 0")
        super()._check_fractions()

    # Squares -----------------------------------------------------------------------------------

    def compressed(self, raw):
        """Code and flag of one element as it comes, as ``(code, flag)``."""
        magnitude = abs(raw - self.zero_point)
        flag = int(magnitude >= self.threshold)
        shift = self.high_shift if flag else self.low_shift
        code = magnitude >> shift
        rest, middle = magnitude - (code << shift), half(shift)
        if shift and self.compression != "truncate":
            code += rest > middle or rest == middle and (self.compression == "half-up" or code & 1)
        return min(int(code), (1 << self.code_bits) - 1), flag

    @functools.cached_property
    def codes(self):
        """``(code, flag)`` of every element, from the least raw one to the largest."""
        low, high = self.raw_range
        return tuple(self.compressed(raw) for raw in range(low, high + 1))

    @property
    def flag_shift(self):
        """What the flag shifts a code by."""
        return self.high_shift - self.low_shift

    @functools.cached_property
    def top_square(self):
        """Largest square, in units of ``4**low_shift``."""
        return max((code << self.flag_shift * flag) ** 2 for code, flag in self.codes) \
            << 2 * self.top_alpha

    # Statistics --------------------------------------------------------------------------------

    @property
    def square_shift(self):
        """Weight of a sum of squares in the radicand, as a shift."""
        return 0 if self.rms else 2 * self.low_shift + self.mean_bits

    def radicand(self, total, squares, negated_mean, length):
        """``W``: with the fraction of the mean, and less ``E`` times the mean."""
        if self.rms:
            return squares
        return (squares << self.square_shift) + total * negated_mean

    def variance_weight(self, length):
        """``L``, in the unit of the radicand."""
        if self.rms:
            return Fraction(length, 4 ** self.low_shift)
        return Fraction(length << self.mean_bits)

    @property
    def largest_radicand(self):
        """All squares at their largest, and a mean of 0."""
        return max(self.largest_squares << self.square_shift, 1)

    @property
    def lowest_radicand(self):
        """No squares left by the table, and the sum at its largest."""
        if self.rms:
            return 0
        most = max(abs(value) for value in self.value_range)
        return -self.channels * most * ((most << self.mean_bits) + 1)

    # Reciprocal square root --------------------------------------------------------------------

    @property
    def factor_bits(self):
        """Enough for eight octaves: below, the codes of the elements are too coarse anyhow."""
        return self.root_bits + 1 + OCTAVES

    @functools.cached_property
    def rsqrt(self):
        """Words of ``R``; for rows of variable length without the root of the length."""
        scale = 1 if self.variable else self.scales[self.channels].root
        return rsqrt_words(self.rsqrt_index_bits, self.rsqrt_bits, scale)

    # Hardware ----------------------------------------------------------------------------------

    @property
    def method(self):
        """Components that are the method's own."""
        return Method(CodedSquares, CodedRadicand, TableRoot, chained=True)


class CodedSquares(wiring.Component):
    """Sum of the squares of a beat, ``code**2 << 2 * (flag_shift * flag + alpha)`` of each lane.

    Code, flag and square are words of tables in logic. The shifts are done by the carry chains that
    add. Latency :meth:`latencies`, throughput one beat per cycle. No overflow.

    Parameters
    ----------
    config : AILayerNormConfig
        Configuration.

    Members
    -------
    raw : In(config.input_layout["data"].shape)
        Elements as they come.
    alpha : In(config.alpha_layout)
        Exponents of their factors.
    live : In(lanes)
        Lanes that carry an element.
    o : Out(range(lanes * config.top_square + 1))
        Sum, in units of ``4**low_shift``.
    """

    def __init__(self, config):
        self.config = config
        self._sum = BeatSum(0, config.top_square, config.lanes, chained=True)
        super().__init__({
            "raw": In(config.input_layout["data"].shape),
            "alpha": In(config.alpha_layout),
            "live": In(config.lanes),
            "o": Out(self._sum.o.shape()),
        })

    @staticmethod
    def latencies(config):
        """Cycles from each input to ``o``."""
        cycles = BeatSum.stages(config.lanes, True)
        return {"raw": cycles + 2, "alpha": cycles + 1, "live": cycles + 1}

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.sum = self._sum
        for k in range(config.lanes):
            code, flag = self._code(m, k)
            alpha = self.alpha[k]
            # Shifted by the low bit of alpha before it rests; the rest is for the adder to choose.
            words = [(c * c) << 2 * a for a in range(2) for c in range(1 << config.code_bits)]
            square = Signal(range(max(words) + 1), name=f"square_{k}", reset_less=True)
            with m.If(self.live[k]):
                m.d.sync += square.eq(lookup(m, Cat(code, alpha[0]), words,
                                             name=f"square_word_{k}"))
            with m.Else():
                m.d.sync += square.eq(0)
            high = alpha[1:] if len(alpha) > 1 else Const(0, 1)
            late = BeatSum.delay(k, True)
            square, flag, high = (
                delays(m, Cat(value), late + wait, name)[-1] for value, wait, name in (
                    (square, 0, f"square_{k}"), (flag, 1, f"flag_{k}"), (high, 1, f"alpha_{k}")))
            # Each bit is a function of five others, if the shifts are equal and alpha has two bits.
            shifts = [2 * config.flag_shift * (case & 1) + 4 * (case >> 1)
                      for case in range(2 << len(high))]
            term = Signal(len(square) + max(shifts), name=f"term_{k}")
            with m.Switch(Cat(flag, high)):
                for case, shift in enumerate(shifts):
                    with m.Case(case):
                        m.d.comb += term.eq(square << shift)
            m.d.comb += self._sum.i[k].eq(term)
        m.d.comb += self.o.eq(self._sum.o)
        return m

    def _code(self, m, k):
        """Code and flag of a lane, a cycle later."""
        config = self.config
        # In the order of the bit patterns.
        origin = -config.raw_range[0]
        codes = config.codes[origin:] + config.codes[:origin]
        index = self.raw[k].as_unsigned()
        code = Signal(config.code_bits, name=f"code_{k}")
        flag = Signal(name=f"flag_{k}")
        m.d.sync += [code.eq(lookup(m, index, [c for c, _ in codes], name=f"code_word_{k}")),
                     flag.eq(lookup(m, index, [f for _, f in codes], name=f"flag_word_{k}"))]
        return code, flag


class CodedRadicand(wiring.Component):
    """``W = (Q << square_shift) - E * mu + epsilon``; for RMSNorm ``W = Q + epsilon``.

    Latency 2 cycles, 1 for RMSNorm; throughput one radicand per cycle. No overflow.

    Parameters
    ----------
    config : AILayerNormConfig
        Configuration.

    Members
    -------
    squares : In(config.squares_shape)
        ``Q``.
    epsilon : In(config.epsilon_bits)
        What is added.
    total : In(config.total_shape)
        ``E``; absent for RMSNorm.
    mean : In(signed(config.mean_width))
        ``-mu``, with ``config.mean_bits`` fraction bits; absent for RMSNorm.
    o : Out(config.radicand_shape)
        ``W``, with the fraction bits of the mean.
    """

    def __init__(self, config):
        self.config = config
        ports = {"squares": In(config.squares_shape), "epsilon": In(config.epsilon_bits)}
        if not config.rms:
            ports |= {"total": In(config.total_shape), "mean": In(signed(config.mean_width))}
        super().__init__({**ports, "o": Out(config.radicand_shape)})

    @staticmethod
    def latencies(config):
        """Cycles from each input to ``o``."""
        if config.rms:
            return {"squares": 1, "epsilon": 1}
        return {"squares": 2, "epsilon": 2, "total": 2, "mean": 2}

    def elaborate(self, platform):
        m = Module()
        config = self.config
        if config.rms:
            m.d.sync += self.o.eq(self.squares + self.epsilon)
            return m
        own = Signal(config.radicand_bits + 1)
        product = Signal(signed(len(self.total) + len(self.mean)), reset_less=True)
        radicand = Signal(config.radicand_shape, reset_less=True)
        m.d.sync += [
            own.eq((self.squares << config.square_shift) + self.epsilon),
            product.eq(self.total * self.mean),
            radicand.eq(product + own),
        ]
        m.d.comb += self.o.eq(radicand)
        return m


class TableRoot(wiring.Component):
    """Mantissa of the reciprocal root: a word of a table in logic.

    Latency 1 cycle, throughput one mantissa per cycle.

    Parameters
    ----------
    config : AILayerNormConfig
        Configuration.

    Members
    -------
    normal : In(config.rsqrt_index_bits + 1)
        Bits of the radicand from the leading pair on.
    o : Out(config.root_bits + 1)
        Mantissa, ``config.root_bits`` fraction bits.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({"normal": In(config.rsqrt_index_bits + 1),
                          "o": Out(config.root_bits + 1)})

    @staticmethod
    def latencies(config):
        """Cycles from the input to ``o``."""
        return {"normal": 1}

    def elaborate(self, platform):
        m = Module()
        index = root_index(self.normal, self.config.rsqrt_index_bits)
        m.d.sync += self.o.eq(lookup(m, index, self.config.rsqrt, name="root_word"))
        return m

"""Softermax: base-2 online softmax with an integer maximum.

Source: Stevens et al., DAC 2021; widths of its Table I in the preset ``paper``, wider ones in
``plus``. The number of segments of the reciprocal is not published; four are taken here::

    p = round(x * input_scale / ln 2 * 2**f)      m = running maximum of p, rounded up to octaves
    u = 2**frac(p) >> (m - floor(p))              S = (S >> rise of m) + sum(u)
    R = reciprocal of S normalised to 1..2        y = min(round((u >> late) * R >> place), 1)

Notation: ``p`` position, a logit on the grid of octaves, with ``f`` fraction bits; ``u``
unnormalised exponential; ``S`` sum, with ``place`` that of its leading one; ``late`` rise of ``m``
after the beat.
"""

import dataclasses
import functools
import math
from fractions import Fraction

from amaranth import Cat, Const, Mux, Signal

from ..blocks.adder_tree import AdderTree
from ..blocks.barrel_shift import shift_right
from ..blocks.lookup import lookup
from ..blocks.pipeline import delays
from ..config import register
from ..fixed import half, half_up, round_shift
from ..parameter import Choice, Integer, parameter
from ..tables import exp2_words, ln2, quotient_word
from .config import SoftmaxConfig, partial_sums, pipeline
from .grid import FractionGrid
from .online import OnlineMethod, Reference
from .positions import TABLE_BITS, Distances, Positions
from .row_sum import NormalisedSum, levels, rests
from .search import MaximumSearch

__all__ = ["SoftermaxConfig"]


# Significant bits of the factor from logits to positions.
FACTOR_BITS = 12

# From this many lanes on, the digit-wise maximum is smaller than the tree.
RADIX_LANES = 4


@register
@dataclasses.dataclass(frozen=True, kw_only=True)
class SoftermaxConfig(SoftmaxConfig):
    """Softermax: base 2, online, with an integer maximum (Stevens et al., DAC 2021).

    An exponential is truncated to ``exp_fraction_bits``, each beat's sum to ``sum_fraction_bits``,
    the mantissa of a row's sum to ``reciprocal_fraction_bits + 1``. The reciprocal is linear in
    each of ``reciprocal_segments`` segments, and rounded to ``reciprocal_fraction_bits``. An output
    above 1, which truncated sums can lead to, becomes 1.
    """

    running = True

    UNIT = "softmax-softermax"
    PRESETS = {
        "plus": {},
        "paper": {"position_fraction_bits": 2, "sum_fraction_bits": 6,
                  "reciprocal_fraction_bits": 7, "reciprocal_segments": 4},
    }

    position_fraction_bits: int = parameter(4, Integer(0, 6), tag="pf",
                                            help="fraction bits of a position")
    exp_fraction_bits: int = parameter(15, Integer(6, 20), tag="ef",
                                       help="fraction bits of an unnormalised exponential")
    sum_fraction_bits: int = parameter(15, Integer(2, 20), tag="sf",
                                       help="fraction bits of the sum")
    reciprocal_fraction_bits: int = parameter(12, Integer(4, 16), tag="rf",
                                              help="fraction bits of the reciprocal")
    reciprocal_segments: int = parameter(16, Choice((2, 4, 8, 16)), tag="rs",
                                         help="segments of the reciprocal")
    partial_sums: int = partial_sums()
    pipeline: str = pipeline()

    def __post_init__(self):
        super().__post_init__()
        self._require("sum_fraction_bits", self.sum_fraction_bits <= self.exp_fraction_bits,
                      f"at most exp_fraction_bits, {self.exp_fraction_bits}")
        # A step of more octaves would need positions wider than any real logit.
        self._require("input_scale", self.input_scale <= 16.0, "at most 16")
        # A product has no bits to round off otherwise.
        most = self.out_bits + self.output_shift
        self._require("out_bits", self.output_shift >= 0,
                      f"at most {most}, the bits of an exponential times a reciprocal")

    @property
    def output_scale(self):
        """Real value of one output step, ``2 ** -(out_bits - 1)``: 1.0 is an output."""
        return 2.0 ** -(self.out_bits - 1)

    # Positions -----------------------------------------------------------------------------------

    @functools.cached_property
    def position_factors(self):
        """``(multiplier, shift)`` from logits to positions: twelve significant bits."""
        ratio = Fraction(self.input_scale) / ln2() * (1 << self.position_fraction_bits)
        shift = FACTOR_BITS - 1 - math.floor(math.log2(ratio))
        multiplier = half_up(ratio * Fraction(2) ** shift)
        zeros = (multiplier & -multiplier).bit_length() - 1
        multiplier, shift = multiplier >> zeros, shift - zeros
        if shift < 0:
            multiplier, shift = multiplier << -shift, 0
        # Far beyond the width of a logit, all positions are 0.
        return (multiplier, shift) if shift < 40 else (0, 0)

    @functools.cached_property
    def grid(self):
        """Grid on which maxima and distances are taken."""
        return FractionGrid(self.bits, self.position_factors,
                            fraction_bits=self.position_fraction_bits)

    # Exponentials --------------------------------------------------------------------------------

    @functools.cached_property
    def fractions(self):
        """Powers ``2 ** (i / 2**f)`` of all fractions, with ``exp_fraction_bits`` fraction bits."""
        count = 1 << self.position_fraction_bits
        exponents = (Fraction(-i, count) for i in range(count))
        return exp2_words(exponents, 1 << self.exp_fraction_bits)

    @functools.cached_property
    def exponentials(self):
        """Exponential of each distance to the integer maximum; 0 for every larger distance."""
        count = 1 << self.position_fraction_bits
        octaves = self.exp_fraction_bits + 1
        return tuple(self.fractions[-d % count] >> -(-d // count) for d in range(octaves * count))

    @property
    def sum_bits(self):
        """Width of the sum, which can not overflow: ``max_terms`` exponentials of at most 1."""
        return (self.max_terms << self.sum_fraction_bits).bit_length()

    # Reciprocal ----------------------------------------------------------------------------------

    @property
    def smallest_place(self):
        """Place of the leading one in the smallest sum of a row that is not fully masked: 1/2."""
        return self.sum_fraction_bits - 1

    @property
    def mantissa_bits(self):
        """Bits of the sum below its leading one that the reciprocal looks at."""
        return min(self.sum_bits - 1, self.reciprocal_fraction_bits + 1)

    @functools.cached_property
    def segment_ends(self):
        """Reciprocals at the ends of the segments, with two bits more than the result."""
        one = 1 << (self.reciprocal_fraction_bits + 2)
        count = self.reciprocal_segments
        return tuple(quotient_word(one * count, count + j) for j in range(count + 1))

    def reciprocal(self, mantissa):
        """Reciprocal of ``1 + mantissa / 2**mantissa_bits``, an integer."""
        bits = self.mantissa_bits
        segment, rest = divmod(mantissa * self.reciprocal_segments, 1 << bits)
        high, low = self.segment_ends[segment:segment + 2]
        return round_shift((high << bits) - (high - low) * rest, bits + 2)

    @functools.cached_property
    def reciprocals(self):
        """Reciprocals of all mantissas."""
        return tuple(self.reciprocal(i) for i in range(1 << self.mantissa_bits))

    @property
    def factor_shift(self):
        """Largest left shift of a reciprocal, which makes up for the place of the sum."""
        return self.sum_bits - 1 - self.smallest_place

    @property
    def output_shift(self):
        """Right shift of the product of an exponential and a shifted reciprocal."""
        return (self.exp_fraction_bits + self.reciprocal_fraction_bits + self.factor_shift
                - 1 - (self.out_bits - 1))

    # Hardware ------------------------------------------------------------------------------------

    @property
    def method(self):
        """Exponentials; the normalised sum; products with its reciprocal."""
        return OnlineMethod(_Exponentials(self),
                            NormalisedSum(self, self.mantissa_bits, rests(self)), _Products(self))


class _Exponentials:
    """Kind of code: the unnormalised exponential relative to the integer maximum.

    :class:`~rtl.softmax.online.OnlineDatapath` says what the members are.
    """

    flagged = False
    reference_latency = 1

    def __init__(self, config):
        self.config = config
        grid = config.grid
        #: Bits of a distance whose exponential is not 0.
        self.near = (len(config.exponentials) - 1).bit_length()
        #: Whether a distance is looked up as it is, and not by its fraction.
        self.direct = self.near <= TABLE_BITS - 1
        self.position = Positions(config, int(grid.factors != (1, 0)))
        self.search = MaximumSearch(grid.position_bits, config.summands,
                                    radix=config.lanes >= RADIX_LANES,
                                    relaxed=config.pipeline == "deep")
        self.distance = Distances(config, int(not self.direct))
        self.sum = _TruncatedSum(config)
        self.bits = config.exp_fraction_bits + 1
        # Of the reference, its octave is enough.
        self.stored_bits = grid.octave_bits

    @staticmethod
    def searched(positions):
        """Words to take the maximum of: the positions."""
        return positions

    def reference(self, m, maximum):
        """The maximum, rounded up to an octave, registered."""
        grid = self.config.grid
        octave = Signal(grid.octave_bits)
        with m.If(maximum.update):
            m.d.sync += octave.eq(grid.octave(maximum.candidate))
        return Reference(position=Cat(Const(0, grid.fraction_bits), octave), level=octave,
                         stored=octave)

    @staticmethod
    def rise(m, risen):
        """Shift of the sum: octaves."""
        return risen

    def encode(self, m, beat):
        """Exponentials; 0 for elements that take no part."""
        terms = []
        for k, distance in enumerate(beat.distances):
            word = self._exponential(m, distance, k)
            term = Signal(self.bits, name=f"term_{k}", reset_less=True)
            with m.If(beat.live[k] & ~distance[self.near:].any()):
                m.d.sync += term.eq(word)
            with m.Else():
                m.d.sync += term.eq(0)
            terms.append(term)
        return terms

    def _exponential(self, m, distance, lane):
        """Exponential of a near distance."""
        config, near = self.config, self.near
        if self.direct:
            return lookup(m, distance[:near], config.exponentials, name=f"term_word_{lane}")
        # A fraction of 0 counts no octave more, the others do.
        f = config.position_fraction_bits
        word = lookup(m, (-distance[:f])[:f], config.fractions, name=f"fraction_{lane}")
        return shift_right(m, word, config.grid.octave(distance)[:near - f + 1])

    def late(self, m, rise):
        """What codes lack: a right shift, no larger than shifts out all bits of an exponential."""
        bits = self.bits.bit_length()
        return Mux(rise[bits:].any(), (1 << bits) - 1, rise[:bits])[:bits]


class _TruncatedSum:
    """Stage: sum of the exponentials of a beat, truncated to ``sum_fraction_bits``."""

    def __init__(self, config):
        self.config = config
        self.latency = AdderTree.stages(config.summands, levels(config))

    def __call__(self, m, beat, codes):
        config = self.config
        m.submodules.beat_sum = tree = AdderTree(
            config.exp_fraction_bits + 1, config.summands, largest=1 << config.exp_fraction_bits,
            levels=levels(config))
        m.d.comb += [operand.eq(term) for operand, term in zip(tree.i, codes, strict=True)]
        return tree.o[config.exp_fraction_bits - config.sum_fraction_bits:]


class _Products:
    """Stage: exponentials, shifted by ``late``, times the reciprocal of the sum."""

    def __init__(self, config):
        self.config = config
        self.latency = 6 if config.mantissa_bits <= TABLE_BITS else 8

    def __call__(self, m, beat):
        config = self.config
        wait = self.latency - 4
        late = delays(m, beat.late, wait - 1, "late")[-1]
        terms = delays(m, beat.codes.as_value(), wait, "read_terms")[-1]
        factor = self._factor(m, beat.result)
        one, width = 1 << (config.out_bits - 1), config.exp_fraction_bits + 1
        outputs = []
        for k in range(config.lanes):
            term = Signal(width, name=f"late_term_{k}", reset_less=True)
            product = Signal(width + len(factor), name=f"product_{k}", reset_less=True)
            scaled = Signal(len(product) + 1, name=f"scaled_{k}", reset_less=True)
            output = Signal(config.out_bits, name=f"output_{k}")
            m.d.sync += [
                term.eq(shift_right(m, terms.word_select(k, width), late)),
                product.eq(term * factor),
                scaled.eq(product + half(config.output_shift)),
            ]
            quotient = scaled >> config.output_shift
            m.d.sync += output.eq(Mux(quotient >= one, one, quotient))
            outputs.append(output)
        return outputs

    def _factor(self, m, index):
        """Reciprocal of the sum, shifted left by what its place is below the highest."""
        config = self.config
        bits, width = config.mantissa_bits, config.reciprocal_fraction_bits + 1
        mantissa, place = index[:bits], index[bits:]
        reciprocal = Signal(width)
        if bits <= TABLE_BITS:
            m.d.sync += reciprocal.eq(lookup(m, mantissa, config.reciprocals, name="reciprocal"))
            place = delays(m, place, 1, "place")[-1]
        else:
            ends, top = config.segment_ends, (config.reciprocal_segments - 1).bit_length()
            falls = [high - low for high, low in zip(ends[:-1], ends[1:], strict=True)]
            segment, rest = mantissa[bits - top:], mantissa[:bits - top]
            high = Signal(max(ends).bit_length())
            fall = Signal(max(falls).bit_length())
            below = Signal(bits - top)
            m.d.sync += [high.eq(lookup(m, segment, ends[:-1], name="high")),
                         fall.eq(lookup(m, segment, falls, name="fall")), below.eq(rest)]
            product = Signal(len(fall) + len(below), name="fall_product")
            m.d.sync += product.eq(fall * below)
            start = delays(m, high, 1, "high")[-1] << (bits - top)
            m.d.sync += reciprocal.eq(round_shift(start - product, bits - top + 2))
            place = delays(m, place, 3, "place")[-1]
        highest = config.factor_shift
        factor = Signal(width + highest)
        shifted = Cat(Const(0, highest), reciprocal)
        m.d.sync += factor.eq(shift_right(m, shifted, place))
        return factor

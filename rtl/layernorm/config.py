"""What all LayerNorm configurations share: parameters, widths and the second pass.

Notation: ``x`` element in steps of the input, ``L`` length of a row, ``E`` sum of the elements,
``Q`` sum of their squares, ``W`` radicand, ``r`` reciprocal of the standard deviation.
"""

import dataclasses
import functools
import itertools
import math
from fractions import Fraction

from amaranth import Shape, signed, unsigned
from amaranth.lib import data

from ..config import UnitConfig
from ..data_sheet import DataSheet, Format
from ..fixed import half_up, round_shift, signed_range, signed_width, unsigned_range
from ..parameter import (
    Choice,
    Derived,
    Flag,
    Integer,
    Integers,
    NonNegativeReal,
    PositiveReal,
    parameter,
)
from ..stream.beat import BeatLayout
from ..tables import quotient_word
from .channels import ChannelWords
from .core import LayerNorm
from .lengths import LENGTH_BITS, Scale
from .load import LoadLayout
from .schedule import Schedule

__all__ = ["LayerNormConfig"]

# Width of the wider operand of a DSP block's multiplier.
OPERAND_BITS = 25

# Bits of a channel's parameters, if they are loaded.
LOADED_BITS = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerNormConfig(UnitConfig):
    """Parameters of every LayerNorm unit.

    An element is ``x = (raw - zero_point) << alpha`` with its channel's ``alpha``. The statistics
    of a row give its mean ``mu`` and ``r``, 1 over its standard deviation, and the output is

        ``y = round(gamma * (x - mu) * r + beta)``

    rounded half up, saturated, in steps of ``output_scale``, with ``gamma_fraction_bits`` and
    ``beta_fraction_bits`` fraction bits of gamma and beta. The scale of the input cancels. With
    ``rms`` (RMSNorm) there is no mean and no beta, and ``r`` is 1 over the root of the mean square.

    The streams carry no mask: a channel takes part in every row or in none, and padding in a
    Transformer masks whole rows, each of which is normalised by itself.
    """

    bits: int = parameter(8, Integer(2, 16), tag="b", help="width of an element")
    signed_input: bool = parameter(False, Flag(), tag="si", help="elements are signed")
    zero_point: int = parameter(
        Derived(lambda config: 0 if config.signed_input else 1 << (config.bits - 1),
                "the middle of the range"),
        Integer(-(1 << 15), (1 << 16) - 1), tag="z", help="element that stands for zero")
    alpha_bits: int = parameter(2, Integer(0, 3), tag="ab",
                                help="width of a channel's power-of-two factor's exponent")
    out_bits: int = parameter(8, Integer(4, 16), tag="o", help="width of an output, signed")
    output_scale: float = parameter(
        Derived(lambda config: 2.0 ** (3 - config.out_bits), "4 deviations are the range"),
        PositiveReal(), tag="os", help="real value of one output step")
    lanes: int = parameter(8, Integer(1, 64), tag="l", help="elements per beat")
    channels: int = parameter(768, Integer(1, 4096), tag="c",
                              help="elements per row; at most, if row_length is variable")
    row_length: str = parameter("fixed", Choice(("fixed", "variable")), tag="rl",
                                help="whether every row has all channels")
    rms: bool = parameter(False, Flag(), tag="rms", help="RMSNorm: no mean, no beta")
    epsilon: float = parameter(0.0, NonNegativeReal(), tag="e",
                               help="added to the variance, in squared steps of the input")
    mean_fraction_bits: int = parameter(6, Integer(0, 8), tag="mf",
                                        help="fraction bits of the mean")
    gamma_bits: int = parameter(
        Derived(lambda config: min(config.out_bits, 14 if config.loaded else 16),
                "out_bits; 14 at most if parameters are loaded"),
        Integer(2, 16), tag="gb", help="width of a gamma, signed")
    gamma_fraction_bits: int = parameter(
        Derived(lambda config: config.fraction_of_one(), "as many as a gamma of just below 2.0 has "
                "room for"),
        Integer(-12, 12), tag="gf", help="fraction bits of a gamma, in output steps")
    beta_bits: int = parameter(
        Derived(lambda config: min(config.out_bits, config.loaded_room() - config.gamma_bits),
                "out_bits; if parameters are loaded, at most what is left of 32 bits a channel"),
        Integer(2, 20), tag="bb", help="width of a beta, signed")
    beta_fraction_bits: int = parameter(
        0, Integer(0, 8), tag="bf", help="fraction bits of a beta, in output steps")
    alpha: tuple = parameter((), Integers(0, 7), tag="al",
                             help="exponent of each channel's factor; none: all 0")
    gamma: tuple = parameter((), Integers(-(1 << 15), (1 << 15) - 1), tag="ga",
                             help="gamma of each channel; none: all 1.0, or the nearest")
    beta: tuple = parameter((), Integers(-(1 << 19), (1 << 19) - 1), tag="be",
                            help="beta of each channel; none: all 0")
    channel_parameters: str = parameter(
        "fixed", Choice(("fixed", "loaded")), tag="cp",
        help="whether alpha, gamma and beta are fixed, or the first ones, and further ones come "
             "through a stream of their own")
    memory: str = parameter("auto", Choice(("auto", "block", "distributed")), tag="m",
                            help="memory that holds the rows and the channels' parameters; auto "
                                 "takes block RAM for more than 4096 bits")

    def __post_init__(self):
        super().__post_init__()
        low, high = self.raw_range
        self._require("zero_point", low <= self.zero_point <= high, f"an integer in {low}..{high}")
        limits = {"alpha": (0, (1 << self.alpha_bits) - 1), "gamma": signed_range(self.gamma_bits),
                  "beta": signed_range(self.beta_bits)}
        for name, (least, most) in limits.items():
            values = getattr(self, name)
            self._require(name, len(values) in (0, self.channels),
                          f"{self.channels} integers, one per channel", f"{len(values)}")
            wrong = [value for value in values if not least <= value <= most]
            self._require(name, not wrong, f"integers in {least}..{most}", *map(repr, wrong[:1]))
        self._require("beta", not (self.rms and self.beta), "empty if rms is true",
                      f"{len(self.beta)} integers")
        width = self.load_layout.element.width
        self._require("channel_parameters", not self.loaded or width <= LOADED_BITS,
                      f"fixed for parameters of more than {LOADED_BITS} bits a channel",
                      f"loaded for {width}")
        self._check_fractions()

    # Defaults ----------------------------------------------------------------------------------

    def fraction_of_one(self):
        """Fraction bits with which a gamma of 1.0 has the second bit of its range."""
        octave = math.frexp(self.output_scale)[1] - 1
        return min(max(self.gamma_bits - 2 + octave, -12), 12)

    def loaded_room(self):
        """Bits that gamma and beta of a channel may have together."""
        return LOADED_BITS - self.alpha_bits if self.loaded else 2 * LOADED_BITS

    # Checks ------------------------------------------------------------------------------------

    def _check_fractions(self):
        """Check that gamma and beta fit the fraction that the second pass works with."""
        fraction = self.normal_fraction_bits
        self._require("gamma_fraction_bits", self.output_shift >= 0,
                      f"at least {-fraction} for inputs as narrow as these")
        self._require("beta_fraction_bits", self.beta_fraction_bits <= self.output_shift,
                      f"at most {self.output_shift} with gamma_fraction_bits "
                      f"{self.gamma_fraction_bits}")

    # Rows --------------------------------------------------------------------------------------

    @property
    def variable(self):
        """Whether rows have lengths of their own."""
        return self.row_length == "variable"

    @property
    def loaded(self):
        """Whether the channels' parameters are loaded at run time."""
        return self.channel_parameters == "loaded"

    @property
    def max_length(self):
        """Elements of the longest row."""
        return self.channels

    @property
    def least_length(self):
        """Elements of the shortest row; a shorter one is an error, and its output undefined."""
        return 1 if self.variable else self.channels

    @property
    def max_beats(self):
        """Beats of the longest row."""
        return -(-self.channels // self.lanes)

    @property
    def input_layout(self):
        """Layout of one input beat: ``data``, ``keep`` and ``last``."""
        return BeatLayout(Shape(self.bits, self.signed_input), self.lanes)

    @property
    def output_layout(self):
        """Layout of one output beat: ``data``, ``keep`` and ``last``."""
        return BeatLayout(signed(self.out_bits), self.lanes)

    @property
    def load_layout(self):
        """Layout of one beat of parameters, if they are loaded."""
        fields = {"gamma": signed(self.gamma_bits)}
        if not self.rms:
            fields["beta"] = signed(self.beta_bits)
        if self.alpha_bits:
            fields["alpha"] = unsigned(self.alpha_bits)
        return LoadLayout(fields, self.lanes)

    @property
    def streams(self):
        """Layout of the beats of each stream, by its name; the output comes last."""
        load = {"load": self.load_layout} if self.loaded else {}
        return {"i": self.input_layout, **load, "o": self.output_layout}

    @property
    def data_sheet(self):
        """Formats, framing and timing, as the emitted file says them."""
        value = f"element - {self.zero_point}"
        if self.top_alpha:
            value = f"({value}) << alpha of its channel"
        length = f"1 to {self.channels}" if self.variable else f"exactly {self.channels}"
        sizes = {"least": self.least_length, "most": self.channels}
        whole = self.max_beats * self.lanes
        load = {"load": Format(self._load_meaning, packet="load", least=whole, most=whole)} \
            if self.loaded else {}
        return DataSheet(
            formats={"i": Format(f"x = {value}, in steps of any size, which cancels", **sizes),
                     **load, "o": Format("y", self.output_scale, **sizes)},
            framing=f"A row is {length} channels, {self.lanes} a beat, channel 0 in lane 0 of the "
                    "first beat. A row of another length is an error; it touches no other row." +
                    (f" A load is the parameters of all channels, {self.max_beats} beats."
                     if self.loaded else ""),
            ports={"error": "sticky until reset: a row or a load was too long or too short, or "
                            "its keep malformed"})

    @property
    def _load_meaning(self):
        """Parameters in an element of a load, with their bits."""
        channel = self.load_layout.channel
        fractions = {"gamma": self.gamma_fraction_bits, "beta": self.beta_fraction_bits}
        return "; ".join(
            f"{name} in bits {field.offset + field.width - 1}..{field.offset}" +
            (f", signed, in 2^{-fractions[name]} output steps" if name in fractions else "")
            for name, field in channel)

    # Channels ----------------------------------------------------------------------------------

    @functools.cached_property
    def alphas(self):
        """Alpha of each channel."""
        return self.alpha or (0,) * self.channels

    @functools.cached_property
    def gammas(self):
        """Gamma of each channel."""
        one = Fraction(2) ** self.gamma_fraction_bits / Fraction(self.output_scale)
        one = min(half_up(one), signed_range(self.gamma_bits)[1])
        return self.gamma or (one,) * self.channels

    @functools.cached_property
    def betas(self):
        """Beta of each channel."""
        return self.beta or (0,) * self.channels

    @functools.cached_property
    def alpha_words(self):
        """Table of the alphas."""
        fields = {"alpha": (unsigned(self.alpha_bits), self.alphas)} if self.alpha_bits else {}
        return self._words(fields)

    @functools.cached_property
    def affine_words(self):
        """Table of gammas and betas."""
        fields = {"gamma": (signed(self.gamma_bits), self.gammas)}
        if not self.rms:
            fields["beta"] = signed(self.beta_bits), self.betas
        return self._words(fields)

    def _words(self, fields):
        return ChannelWords(fields, self.lanes, loaded=self.loaded, style=self.memory)

    # Elements ----------------------------------------------------------------------------------

    @property
    def raw_range(self):
        """Least and largest element as it comes."""
        return signed_range(self.bits) if self.signed_input else unsigned_range(self.bits)

    @property
    def top_alpha(self):
        """Largest alpha that a channel can have."""
        return (1 << self.alpha_bits) - 1 if self.loaded else max(self.alphas)

    @functools.cached_property
    def centred_range(self):
        """Least and largest ``raw - zero_point``."""
        low, high = self.raw_range
        return low - self.zero_point, high - self.zero_point

    @functools.cached_property
    def value_range(self):
        """Least and largest ``x``."""
        low, high = self.centred_range
        return low << self.top_alpha, high << self.top_alpha

    @functools.cached_property
    def value_bits(self):
        """Width of ``x``, signed."""
        return signed_width(*self.value_range)

    @property
    def alpha_layout(self):
        """Layout of the alphas of a beat."""
        return data.ArrayLayout(unsigned(max(self.top_alpha.bit_length(), 1)), self.lanes)

    @property
    def value_layout(self):
        """Layout of ``x`` of a beat."""
        return data.ArrayLayout(signed(self.value_bits), self.lanes)

    # Sums --------------------------------------------------------------------------------------

    @property
    def total_shape(self):
        """Shape of ``E``: signed, even if no element is below the zero point."""
        low, high = self.value_range
        return Shape.cast(range(min(low, -1) * self.channels, max(high, 0) * self.channels + 1))

    @property
    def squares_shape(self):
        """Shape of ``Q``, in units of the method's squares."""
        return Shape.cast(range(self.largest_squares + 1))

    @property
    def top_square(self):
        """Largest square of an element, in the same units."""
        raise NotImplementedError

    @functools.cached_property
    def largest_squares(self):
        """Upper bound of ``Q``: of channels with the largest factor only those that have it.

        Where lengths vary, all count: a short row may be made of these alone.
        """
        if self.loaded or self.variable:
            return self.channels * self.top_square
        return sum(self.top_square >> 2 * (self.top_alpha - alpha) for alpha in self.alphas)

    # Mean --------------------------------------------------------------------------------------

    @property
    def mean_bits(self):
        """Fraction bits of the mean, and of what it is subtracted from; none with ``rms``."""
        return 0 if self.rms else self.mean_fraction_bits

    @functools.cached_property
    def mean_width(self):
        """Width of the negated mean, signed, with its fraction."""
        low, high = (value << self.mean_bits for value in self.value_range)
        return signed_width(-high - self._mean_error, -low + self._mean_error)

    @functools.cached_property
    def difference_width(self):
        """Width of an element less the mean, signed, with the mean's fraction."""
        if self.rms:
            return self.value_bits
        low, high = (value << self.mean_bits for value in self.value_range)
        return signed_width(low - high - self._mean_error, high - low + self._mean_error)

    @property
    def _mean_error(self):
        """Steps by which a mean can exceed the elements, since the reciprocal is rounded."""
        most = max(abs(value) for value in self.value_range) << self.mean_bits
        return (most >> self.reciprocal_bits) + 1

    @property
    def length_bits(self):
        """Fraction bits of the root of a row's length."""
        return LENGTH_BITS

    @functools.cached_property
    def reciprocal_bits(self):
        """Fraction bits of the reciprocal of a row's length: 16, or as many as equal elements need.

        A row whose elements ``x`` are all equal has a mean that is exact, and so gives beta. With
        the reciprocal ``(2**(bits + shift) + d) / L``, what the mean of ``L`` elements ``x`` is off
        by is ``x * d * 2**(mean_bits - bits - shift)``, which has to round to nothing. 16 bits do
        for ``abs(x) < 2**(16 - mean_bits)``, whatever the length.
        """
        if self.rms:
            return LENGTH_BITS
        return next(bits for bits in itertools.count(LENGTH_BITS)
                    if all(self._equal_mean_is_exact(bits, *row) for row in self._equal_rows))

    def _equal_mean_is_exact(self, bits, length, low, high):
        """Whether rows of one element from ``low`` to ``high`` have an exact mean."""
        power = bits + (length - 1).bit_length()
        excess = length * quotient_word(1 << power, length) - (1 << power)
        half_step = 1 << (power - self.mean_bits - 1)
        return all(-half_step <= -x * excess < half_step for x in (low, high))

    @property
    def _equal_rows(self):
        """Length of each row, and the least and largest ``x`` that all its channels can have."""
        low, high = self.centred_range
        if self.loaded:
            alphas = [self.top_alpha] * self.channels
        else:
            alphas = itertools.accumulate(self.alphas, min)
        rows = ((length, low << alpha, high << alpha) for length, alpha in enumerate(alphas, 1))
        return rows if self.variable else list(rows)[-1:]

    def negated_mean(self, total, scale):
        """``-E / L`` with :attr:`mean_fraction_bits`, rounded half up."""
        shift = self.reciprocal_bits + scale.shift - self.mean_bits
        return round_shift(-total * scale.reciprocal, shift)

    # Radicand ----------------------------------------------------------------------------------

    def radicand(self, total, squares, negated_mean, length):
        """Radicand ``W``, not yet clamped: the variance times :meth:`variance_weight`."""
        raise NotImplementedError

    def variance_weight(self, length):
        """Radicand of a row of this length whose variance is 1, as a fraction."""
        raise NotImplementedError

    @property
    def largest_radicand(self):
        """Upper bound of the radicand, without epsilon."""
        raise NotImplementedError

    @property
    def lowest_radicand(self):
        """Lower bound of the radicand, which inexact squares may leave below zero."""
        return 0

    @functools.cached_property
    def radicand_bits(self):
        """Width of the radicand, an even number."""
        largest = self.largest_radicand
        if self.epsilon:
            # An epsilon above any variance needs no more than its own width.
            largest += self._epsilon(self.channels)
        return 2 * -(-largest.bit_length() // 2)

    @property
    def radicand_shape(self):
        """Shape of the radicand, before it is clamped."""
        if self.lowest_radicand >= 0:
            return unsigned(self.radicand_bits)
        return signed(max(self.radicand_bits, (-self.lowest_radicand).bit_length()) + 1)

    @functools.cached_property
    def leading_pairs(self):
        """Largest count of pairs of zeros before the leading one of a clamped radicand."""
        return (self.radicand_bits - self.least_radicand.bit_length()) // 2

    def _epsilon(self, length):
        return half_up(Fraction(self.epsilon) * self.variance_weight(length))

    @functools.cached_property
    def scales(self):
        """:class:`~rtl.layernorm.lengths.Scale` of each length; of ``channels`` only, if fixed."""
        lengths = range(1, self.channels + 1) if self.variable else [self.channels]
        return {length: self._scale(length) for length in lengths}

    def _scale(self, length):
        return Scale.of(length, self.variance_weight(length), self.reciprocal_bits,
                        self.radicand_bits, self._epsilon(length))

    @functools.cached_property
    def epsilon_bits(self):
        """Width of what is added to the radicand."""
        return max(scale.epsilon for scale in self.scales.values()).bit_length()

    # Reciprocal square root --------------------------------------------------------------------

    @property
    def root_bits(self):
        """Fraction bits of the mantissa ``R`` of ``r``, which is less than 2."""
        return self.rsqrt_bits

    @property
    def factor_bits(self):
        """Most bits that ``r`` is given as an operand of the second pass."""
        raise NotImplementedError

    @functools.cached_property
    def top_exponent(self):
        """Octaves of the standard deviation, from the largest down, that ``r`` resolves."""
        return min(self.factor_bits - self.root_bits - 1, self.radicand_bits // 2 - 1)

    @functools.cached_property
    def least_radicand(self):
        """Smaller radicands, and those below zero, count as this one."""
        if self.variable:
            return 1
        return 1 << (self.radicand_bits - 2 - 2 * self.top_exponent)

    @functools.cached_property
    def base_exponent(self):
        """``c`` of ``r = (R << k) * 2**-(c + root_bits)``.

        With variable lengths two octaves more than the longest row's, whose ``k`` is at least 2
        then: that of a shorter row can be up to two less.
        """
        return self._scale(self.channels).exponent + 2 * self.variable

    def exponent_offset(self, length):
        """What is added to the count of leading pairs of zeros to give ``k``."""
        return self.base_exponent - self.scales[length].exponent

    @functools.cached_property
    def least_offset(self):
        """Least of the :meth:`exponent_offset` of all lengths."""
        return min(map(self.exponent_offset, self.scales))

    @functools.cached_property
    def largest_offset(self):
        """Largest of the :meth:`exponent_offset` of all lengths; epsilon may make it any one's."""
        return max(map(self.exponent_offset, self.scales))

    @property
    def smallest_deviation(self):
        """Smallest standard deviation of a row of full length that ``r`` resolves, in steps."""
        unit = float(self.variance_weight(self.channels))
        return math.sqrt(self.least_radicand / unit) if not self.variable else \
            2.0 ** (self.base_exponent - self.top_exponent)

    # Second pass -------------------------------------------------------------------------------

    @functools.cached_property
    def normal_fraction_bits(self):
        """Fraction bits of ``(x - mu) * r``: rounding adds 1/128 output step of error at most."""
        wanted = max(self.gamma_bits + 5 - self.gamma_fraction_bits, 4)
        return max(min(wanted, OPERAND_BITS - self.normal_integer_bits, self._factor_fraction), 0)

    @property
    def _factor_fraction(self):
        """Fraction bits of ``(x - mu) * r`` before any are dropped."""
        return self.mean_bits + self.base_exponent + self.root_bits

    @property
    def normal_integer_bits(self):
        """Width of the integer part of ``(x - mu) * r``, with its sign."""
        return max(self.difference_width + self.factor_width - self._factor_fraction, 2)

    @property
    def normal_shift(self):
        """Bits that ``(x - mu) * r`` is rounded by, half up."""
        return self._factor_fraction - self.normal_fraction_bits

    @property
    def output_shift(self):
        """Fraction bits of the output before it is rounded."""
        return self.normal_fraction_bits + self.gamma_fraction_bits

    @functools.cached_property
    def factor_width(self):
        """Width of ``R << k``, unsigned."""
        return self.root_bits + 1 + self.top_exponent

    @functools.cached_property
    def normal_width(self):
        """Width of ``(x - mu) * r`` with its fraction, signed."""
        return self.normal_integer_bits + self.normal_fraction_bits

    # Hardware ----------------------------------------------------------------------------------

    @property
    def method(self):
        """Components that are the method's own: a :class:`~rtl.layernorm.method.Method`."""
        raise NotImplementedError

    @functools.cached_property
    def schedule(self):
        """Pipeline stages of the hardware."""
        return Schedule.of(self)

    @property
    def latency(self):
        """Clock cycles from a row's last beat accepted to its first beat valid."""
        return self.schedule.output

    def create(self):
        """Create the unit's hardware."""
        return LayerNorm(self)

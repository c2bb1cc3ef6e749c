"""Plain functions of both LayerNorm units: what surrounds the squares and the reciprocal root."""

import decimal
import math
import random
from fractions import Fraction
from types import SimpleNamespace

from . import plain

__all__ = ["COMMON", "Normaliser", "channels", "made", "parts", "rows", "square_root", "width_of"]

# What both units take, and its published or documented default.
COMMON = {
    "bits": 8, "signed_input": False, "zero_point": 128, "alpha_bits": 2, "out_bits": 8,
    "output_scale": 2.0 ** -5, "lanes": 8, "channels": 768, "row_length": "fixed", "rms": False,
    "epsilon": 0.0, "gamma_bits": 8, "gamma_fraction_bits": 1, "beta_bits": 8,
    "beta_fraction_bits": 0, "alpha": (), "gamma": (), "beta": (), "channel_parameters": "fixed"}


def square_root(value):
    """Root of a fraction, of 60 digits."""
    value = Fraction(value)
    digits = plain.DIGITS.divide(decimal.Decimal(value.numerator),
                                 decimal.Decimal(value.denominator))
    return Fraction(plain.DIGITS.sqrt(digits))


def width_of(low, high):
    """Bits of a signed integer from ``low`` to ``high``."""
    bits = 1
    while not -(1 << bits - 1) <= low <= high < 1 << bits - 1:
        bits += 1
    return bits


def parts(bits):
    """Equal parts of 1..2 and of 2..4, half of ``2**bits`` each: where the mantissa of W lies."""
    half = 1 << bits - 1
    return [(Fraction(octave * (half + i), half), Fraction(octave * (half + i + 1), half))
            for octave in (1, 2) for i in range(half)]


class Normaliser:
    """LayerNorm of rows: ``y = gamma * (x - mu) * r + beta``, ``x = (raw - zero_point) << alpha``.

    A subclass says what of a row becomes of ``W``, its variance in units of its own, and how the
    reciprocal root of a mantissa comes about:

    * ``variance(raw, x, negated_mean)``, ``unit(length)``, what a variance of 1 comes to in ``W``,
      and ``largest``, an upper bound of ``W``;
    * ``root_words(scale)``, a table of ``scale / sqrt(m)``, and ``root(words, m)``;
    * ``octaves``: powers of two of ``r`` that are told apart, below the largest deviation.

    The parameters are those of the unit.
    """

    def __init__(self, **parameters):
        self.p = p = SimpleNamespace(**{**COMMON, **parameters})
        length, variable = p.channels, p.row_length == "variable"
        self.low = -(1 << p.bits - 1) if p.signed_input else 0
        self.high = self.low + (1 << p.bits) - 1
        self.mean_bits = 0 if p.rms else p.mean_fraction_bits
        self.alpha = p.alpha or (0,) * length
        top = (1 << p.alpha_bits) - 1 if p.channel_parameters == "loaded" else max(self.alpha)
        self.top_alpha = top
        self.least_x, self.most_x = ((v - p.zero_point) << top for v in (self.low, self.high))
        self.inverse_bits = 16
        while not p.rms and not all(map(self.equal_mean, range(1 if variable else length,
                                                               length + 1))):
            self.inverse_bits += 1
        self.beta = p.beta or (0,) * length
        # 1.0 in steps of the output, or the largest there is.
        unit = plain.half_up(Fraction(2) ** p.gamma_fraction_bits / Fraction(p.output_scale))
        self.gamma = p.gamma or (min(unit, (1 << p.gamma_bits - 1) - 1),) * length
        largest = self.largest() + (self.epsilon(length) if p.epsilon else 0)
        #: Half of the bits of W, an even number.
        self.half = -(-largest.bit_length() // 2)
        self.octaves = min(self.octaves_apart(), self.half - 1)
        self.least = 1 if variable else 4 ** (self.half - 1 - self.octaves)
        scale, exponent = self.scale(length)
        # Rows that are shorter can have a reciprocal that is two octaves higher.
        self.base = exponent + 2 * variable
        self.words = plain.table("root", tuple(self.root_words(1 if variable else scale)))
        self.set_fractions()

    def inverse(self, length):
        """``1 / L``, of as many bits below its leading one."""
        power = 1 << self.inverse_bits + (length - 1).bit_length()
        return Fraction(plain.half_up(Fraction(power, length)), power)

    def equal_mean(self, length):
        """Whether the mean of elements that are all equal is exact, at both ends of their range."""
        alpha = self.top_alpha if self.p.channel_parameters == "loaded" else \
            min(self.alpha[:length])
        for raw in self.low, self.high:
            x = (raw - self.p.zero_point) << alpha
            mean = plain.half_up(-length * x * self.inverse(length) * (1 << self.mean_bits))
            if mean != -x << self.mean_bits:
                return False
        return True

    def epsilon(self, length):
        """What epsilon comes to in W."""
        return plain.half_up(Fraction(self.p.epsilon) * self.unit(length))

    def scale(self, length):
        """``sqrt(unit)`` over the root of the top of W: 1..2, and what it was doubled by."""
        value = square_root(self.unit(length) / Fraction(4) ** (self.half - 1))
        exponent = -math.floor(plain.log2(value))
        exponent += (value * Fraction(2) ** exponent < 1) - (value * Fraction(2) ** exponent >= 2)
        return value * Fraction(2) ** exponent, exponent

    def largest_row(self, square):
        """Largest sum of squares of a row, from the largest square without a factor."""
        p = self.p
        if p.row_length == "variable" or p.channel_parameters == "loaded":
            return p.channels * square * 4 ** self.top_alpha
        return sum(square * 4 ** alpha for alpha in self.alpha)

    def largest_x(self):
        """Largest magnitude of an element."""
        return max(abs(self.least_x), abs(self.most_x))

    def set_fractions(self):
        """Fraction bits of ``n = (x - mu) * r``: four at least, five more than gamma's, 25 in all.

        None that the product does not have. The integer part is as wide as the largest product.
        """
        p, shift = self.p, self.mean_bits
        if p.rms:
            difference = width_of(self.least_x, self.most_x)
        else:
            # What the bits of 1 / L leave a mean to be off by, and a step of rounding.
            error = ((self.largest_x() << shift) >> self.inverse_bits) + 1
            span = ((self.most_x - self.least_x) << shift) + error
            difference = width_of(-span, span)
        self.product_fraction = shift + self.base + p.rsqrt_bits
        integer = max(difference + p.rsqrt_bits + 1 + self.octaves - self.product_fraction, 2)
        integer = min(integer, self.most_integer_bits())
        wanted = max(p.gamma_bits + 5 - p.gamma_fraction_bits, 4)
        self.normal_fraction = max(min(wanted, 25 - integer, self.product_fraction), 0)

    def most_integer_bits(self):
        """Bound of the bits of the integer part of a normal, with its sign."""
        return 99

    def __call__(self, raw, mask=None):
        p, length = self.p, len(raw)
        x = [(v - p.zero_point) << a for v, a in zip(raw, self.alpha, strict=False)]
        negated_mean = 0
        if not p.rms:
            negated_mean = plain.half_up(-sum(x) * self.inverse(length) * (1 << self.mean_bits))
        w = self.variance(raw, x, negated_mean) + self.epsilon(length)
        w = max(w, self.least)
        pairs = plain.leading_one(w) // 2
        root = self.root(Fraction(w, 4 ** pairs))
        scale, exponent = self.scale(length)
        if p.row_length == "variable":
            scale = plain.half_up(scale * (1 << 16))
            root = min(plain.half_up(Fraction(root * scale, 1 << 16)), (2 << p.rsqrt_bits) - 1)
        r = root << min(self.half - 1 - pairs + self.base - exponent, self.octaves)
        dropped = Fraction(2) ** (self.normal_fraction - self.product_fraction)
        point = Fraction(2) ** (self.normal_fraction + p.gamma_fraction_bits)
        limit = 1 << p.out_bits - 1
        y = []
        for v, gamma, beta in zip(x, self.gamma, self.beta, strict=False):
            n = plain.half_up(((v << self.mean_bits) + negated_mean) * r * dropped)
            value = plain.half_up(n * gamma / point + Fraction(beta, 1 << p.beta_fraction_bits))
            y.append(min(max(value, -limit), limit - 1))
        return y


# Rows -------------------------------------------------------------------------------------------

def rows(seed, p, count=10):
    """Rows of elements: constant ones, an outlier, the ends of the range, and random ones."""
    source = random.Random(seed)
    low = -(1 << p["bits"] - 1) if p["signed_input"] else 0
    high = low + (1 << p["bits"]) - 1
    longest = p["channels"]
    lengths = [longest]
    if p["row_length"] == "variable":
        lengths += [1, min(2, longest), min(3, longest), longest // 2 + 1,
                    source.randint(1, longest)]
    for length in lengths:
        for value in (low, high, p["zero_point"]):
            yield [value] * length, [False] * length
        yield [high] + [low] * (length - 1), [False] * length
        yield [low + (high - low) * (i % 2) for i in range(length)], [False] * length
        for _ in range(count):
            spread = source.choice([1, 5, 20, 60, 300]) * (high - low) / 255
            middle = source.gauss(p["zero_point"], spread * source.choice([0, 0.5, 3]))
            yield ([min(max(round(source.gauss(middle, spread)), low), high)
                    for _ in range(length)], [False] * length)


def channels(seed, p):
    """Random alphas, gammas and betas of all channels, the ends of their ranges among them."""
    source = random.Random(seed)
    gamma, beta = 1 << p["gamma_bits"] - 1, 1 << p["beta_bits"] - 1

    def draw(low, high):
        return tuple(source.choice([low, high, 0, *[source.randint(low, high)] * 6])
                     for _ in range(p["channels"]))
    return {"alpha": draw(0, (1 << p["alpha_bits"]) - 1), "gamma": draw(-gamma, gamma - 1),
            "beta": () if p["rms"] else draw(-beta, beta - 1)}


def made(unit, preset, literal, changes, seed=0):
    """Config, and parameters, of a preset with changes and random channels."""
    parameters = {**literal, "channels": 48, "lanes": 5, **changes}
    changes = {"channels": 48, "lanes": 5, **changes}
    if seed is not None:
        drawn = channels(seed, parameters)
        parameters, changes = {**parameters, **drawn}, {**changes, **drawn}
    return unit.preset(preset, **changes), parameters

"""Exponentials of the plain functions of REXP and 2D LUT, and the grid of running references."""

import math
from fractions import Fraction

from . import plain

__all__ = ["Exponents", "OctaveGrid", "looks_like"]


class OctaveGrid:
    """References on whole octaves (factors of two), at or above the maximum of what came so far.

    A position is a logit in steps of the input, which are doubled or halved until an octave holds
    about ``2**fraction_bits`` of them, from the least logit on. ``per_octave`` of them are an
    octave. Of the maximum only so many upper bits are looked at as tell octaves apart.
    """

    def __init__(self, bits, input_scale, fraction_bits, rounding):
        step = Fraction(input_scale)
        power = plain.half_up(fraction_bits - plain.log2(plain.LN2 / step))
        self.factor = Fraction(2) ** power
        self.rounding = rounding
        self.least = plain.rounded(-(1 << (bits - 1)) * self.factor, rounding)
        self.per_octave = plain.LN2 / step * self.factor
        width = max(self.position((1 << (bits - 1)) - 1).bit_length(), 1)
        self.ignored = min(max(math.floor(plain.log2(self.per_octave)), 0), width - 1)
        # Reciprocal and octave as the constants that positions and octaves are multiplied by: six
        # and four bits finer than a position.
        self.octaves = Fraction(math.ceil((64 << width) / self.per_octave), 64 << width)
        self.positions = Fraction(plain.half_up(self.per_octave * (16 << width)), 16 << width)

    def position(self, x):
        """Position of a logit."""
        return plain.rounded(x * self.factor, self.rounding) - self.least

    def octave(self, position):
        """Octave that is above every position which looks like the one given."""
        highest = position | (1 << self.ignored) - 1
        return math.floor(highest * self.octaves) + 1

    def reference(self, octave):
        """Position of an octave's end, rounded."""
        return plain.half_up(octave * self.positions)

    def first_pass(self, beats):
        """Distances of all elements to the reference of the last beat, and what a sum is made of.

        The latter are the distances of each beat to its own reference, of elements that take part,
        and the octaves that the reference rose by.
        """
        maximum, before, seen = None, None, []
        for beat in beats:
            positions = [self.position(x) for x, live in beat if live]
            maximum = max([*positions, *([] if maximum is None else [maximum])], default=None)
            octave = 0 if maximum is None else self.octave(maximum)
            reference = self.reference(octave)
            rise = 0 if before is None else octave - before
            before = octave if maximum is not None else None
            seen.append(([reference - p for p in positions], rise, reference))
        last = seen[-1][2]
        return ([(own, rise, last - reference) for own, rise, reference in seen])


class Exponents:
    """Words of ``e**-distance`` of a row's elements, and their sum.

    With the final maximum the distance is in steps of ``exp_step``, truncated or rounded, and the
    table ends with its first 0, or with ``exp_entries``. The factor from the input's steps to these
    is exact if twelve bits are enough, and else rounded to twelve significant bits.
    """

    def __init__(self, p):
        self.p = p
        self.unit = (1 << p.out_bits + p.exp_guard_bits) - 1
        self.running = p.reference == "running"
        if self.running:
            self.grid = OctaveGrid(p.bits, p.input_scale, p.code_fraction_bits, p.exp_index)
            words = self.until_zero(lambda i: plain.two_to(-i / self.grid.per_octave))
        else:
            step = Fraction(str(p.exp_step))
            words = p.exp_words or self.until_zero(lambda i: plain.e_to(-i * step), p.exp_entries)
            factor = Fraction(str(p.input_scale)) / step
            exact = factor.denominator & (factor.denominator - 1) == 0 and factor.numerator < 4096
            self.factor = factor if exact else plain.significant(factor, 12)
        self.words = plain.table("exponentials", tuple(words))

    def until_zero(self, function, entries=0):
        """Words of a table of so many entries, or up to its first 0."""
        words = []
        while len(words) < entries or not entries and (not words or words[-1]):
            words.append(plain.half_up(self.unit * function(len(words))))
        return words

    def word(self, index):
        """Word of an index, of which the last one stands for all that are larger."""
        return self.words[min(index, len(self.words) - 1)]

    def __call__(self, x, mask):
        """Word of each element, 0 for those that take no part, and the sum; 0 if none does."""
        if all(mask):
            return [0] * len(x), 0
        largest = len(x) * self.words[0]
        if self.running:
            beats = plain.beats_of(x, mask, self.p.lanes)
            seen = self.grid.first_pass(beats)
            total = plain.online_sum([(sum(map(self.word, own)), rise) for own, rise, _ in seen],
                                     self.p.partial_sums)
            late = iter([self.word(d + rise) for own, _, rise in seen for d in own])
            words = [0 if m else next(late) for m in mask]
        else:
            top = max(v for v, m in zip(x, mask, strict=True) if not m)
            words = [0 if m else self.word(plain.rounded((top - v) * self.factor, self.p.exp_index))
                     for v, m in zip(x, mask, strict=True)]
            total = sum(words)
        return words, plain.row_sum(total, largest)


def looks_like(total, bits):
    """Range of the sums with the same leading one and the same ``bits`` bits below it."""
    step = Fraction(2) ** (plain.leading_one(total) - bits)
    first = math.floor(total / step) * step
    return first, first + step

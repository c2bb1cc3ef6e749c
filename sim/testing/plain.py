"""What the plain functions are made of: numbers, sums and rows that know of no configuration.

A plain function computes a row from the user's parameters alone, in Python's integers and
fractions. It goes through the steps below by name (``plain.half_up(...)``), so that a test can
plant a fault in one of them and see that the comparison with the model finds it.
"""

import dataclasses
import decimal
import math
import random
from fractions import Fraction

import numpy as np

from .. import model

__all__ = ["DIGITS", "LN2", "Expected", "beats_of", "bit_short", "changed_tables", "e_to",
           "expected", "half_up", "leading_one", "log2", "long_rows", "mismatch", "off_by",
           "one_sum", "online_sum", "rounded", "row_sum", "rows", "significant", "table",
           "tables_seen", "two_to", "unit_and_paper"]

# Digits that powers and logarithms are computed with.
DIGITS = decimal.Context(prec=60)
HALF = Fraction(1, 2)
LN2 = Fraction(DIGITS.ln(decimal.Decimal(2)))


# Numbers ----------------------------------------------------------------------------------------

def half_up(value):
    """Nearest integer; of two the larger one."""
    return math.floor(value + HALF)


def rounded(value, rounding):
    """Integer of a fraction, by one of the names that parameters give to a rounding."""
    return half_up(value) if rounding == "round" else math.floor(value)


def e_to(exponent):
    """Power of e, as a fraction of 60 digits."""
    return Fraction(DIGITS.exp(_digits(exponent)))


def two_to(exponent):
    """Power of two, as a fraction of 60 digits."""
    return Fraction(DIGITS.power(decimal.Decimal(2), _digits(exponent)))


def log2(value):
    """Logarithm to the base 2, as a fraction of 60 digits."""
    return Fraction(DIGITS.ln(_digits(value))) / LN2


def _digits(value):
    value = Fraction(value)
    return DIGITS.divide(decimal.Decimal(value.numerator), decimal.Decimal(value.denominator))


def significant(value, bits):
    """Positive fraction, rounded half up to so many significant bits."""
    place = math.floor(log2(value))
    place += (Fraction(2) ** (place + 1) <= value) - (Fraction(2) ** place > value)
    step = Fraction(2) ** (place - bits + 1)
    return half_up(value / step) * step


def leading_one(value):
    """Place of the leading one of a positive integer."""
    return value.bit_length() - 1


def table(name, words):
    """Words of a table; what a fault in one of them is planted in."""
    return words


# Sums -------------------------------------------------------------------------------------------

def row_sum(value, largest):
    """Sum of a row of which ``largest`` is the largest; what a fault of its width is planted in."""
    return value


def online_sum(beats, partial_sums):
    """Sum of a row from the sum of each beat and the octaves that its reference rose by.

    One sum is shifted by each rise. Of two, every second beat has its own, which is shifted by two
    rises at a time; at the end the older one is shifted by the last rise.
    """
    sums = []
    for t, (added, rise) in enumerate(beats):
        if partial_sums == 1:
            sums.append((sums[-1] >> rise if sums else 0) + added)
        else:
            sums.append((sums[t - 2] >> beats[t - 1][1] + rise if t > 1 else 0) + added)
    if partial_sums == 1 or len(sums) == 1:
        return sums[-1]
    return (sums[-2] >> beats[-1][1]) + sums[-1]


# Rows -------------------------------------------------------------------------------------------

def beats_of(x, mask, lanes):
    """Beats of a row, each a list of pairs: logit and whether it takes part."""
    row = [(v, not m) for v, m in zip(x, mask, strict=True)]
    return [row[start:start + lanes] for start in range(0, len(row), lanes)]


def rows(seed, bits, max_length, count=10):
    """Rows of logits and their masks, directed and random ones.

    Rows of equal logits, up to the one that fills the sum; every distance between two logits, or
    so many of them; rising ramps; random rows of several lengths.
    """
    source = random.Random(seed)
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    for length in {*range(1, 8), max_length // 3, max_length} & {*range(1, max_length + 1)}:
        yield [high] * length, [False] * length
    yield [low] * max_length, [True] * max_length
    if max_length > 1:
        for distance in range(0, high - low, max(1, (high - low) // 128)):
            yield [high - distance, high], [False, False]
    for step in (1, 3, 9):
        length = min(max_length, 40)
        yield [min(low + step * i, high) for i in range(length)], [False] * length
    for number in range(count):
        length = source.choice([2, 3, max_length, source.randint(1, max_length)])
        yield random_row(source, bits, min(length, max_length), number % 4)


def random_row(source, bits, length, number):
    """Row of random logits of a random spread; sorted if ``number`` is 1, some masked if 2 or 3."""
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    spread = source.choice([2, 0.1 * high, 0.4 * high, 2 * high])
    x = [min(max(round(source.gauss(0, spread)), low), high) for _ in range(length)]
    if number == 1:
        x.sort()
    hidden = source.random() if number > 1 else 0
    return x, [source.random() < hidden for _ in x]


def long_rows(seed, bits, max_length, count=60):
    """Random rows of the greatest length, with so many masked that all sums come."""
    source = random.Random(seed)
    for number in range(count):
        yield random_row(source, bits, max_length, number % 4)


@dataclasses.dataclass
class Expected:
    """Rows of one length, and what a plain function makes of them."""

    x: np.ndarray
    mask: np.ndarray
    y: np.ndarray


def expected(function, cases):
    """Outputs of a plain function for rows: a list of :class:`Expected`, one for each length."""
    lengths = {}
    for x, mask in cases:
        lengths.setdefault(len(x), []).append((x, mask, function(x, mask)))
    return [Expected(*map(np.array, zip(*same, strict=True))) for same in lengths.values()]


def unit_and_paper(cls, presets, function, max_length=60):
    """Return ``made(preset, changes)`` and ``expected(preset, parameters)`` of a softmax unit.

    The first gives a config and its parameters, those of the presets from literals; the second what
    the plain ``function`` makes of rows, which the name of the preset is the seed of.
    """
    def made(preset, changes):
        changes = {"max_length": max_length, **changes}
        return cls.preset(preset, **changes), {**presets[preset], **changes}

    def wanted(preset, parameters, rows=rows):
        return expected(function(**parameters),
                        rows(preset, parameters["bits"], parameters["max_length"]))

    return made, wanted


def mismatch(config, wanted):
    """First row in which the model is not as expected, what it gives and what is wanted; or None.

    The row is that of the fewest elements.
    """
    for rows in sorted(wanted, key=lambda rows: rows.x.shape[1]):
        found = model.run(config, rows.x, rows.mask)
        for number in np.flatnonzero((found != rows.y).any(axis=1))[:1]:
            return tuple(array[number].tolist() for array in (rows.x, rows.mask, found, rows.y))
    return None


# Faults -----------------------------------------------------------------------------------------

def off_by(name, number, amount=1):
    """Fault: word ``number`` of the table ``name`` is too small by ``amount``, or else too large.

    Words of more bits than the outputs take more than 1 to be seen.
    """
    def fault(found, words):
        if found != name:
            return words
        words = list(words)
        words[number] += -amount if words[number] >= amount else amount
        return tuple(words)
    return fault


def bit_short(value, largest):
    """Fault: a sum is kept in one bit less than its largest value takes; it is never 0."""
    return value & ((1 << largest.bit_length() - 1) - 1) or 1


def one_sum(beats, partial_sums):
    """Fault: what two partial sums are is computed as one sum."""
    total = 0
    for added, rise in beats:
        total = (total >> rise) + added
    return total


def changed_tables(config):
    """Copies of a configuration, one word of a table that it keeps changed in each.

    The table's name, the number of its words, and a function of a word's number, which gives the
    copy with that word off by one. Tables are found by their kind and not by their names: tuples of
    eight or more integers, or of tuples of them, that are computed once; those of objects, too,
    that the configuration keeps.
    """
    fresh = dataclasses.replace(config)
    model.run(fresh, np.zeros(config.max_length, int))
    for name, value in kept(fresh):
        parts = kept(value) if dataclasses.is_dataclass(value) else [(None, value)]
        for part, words in parts:
            if (count := words_of(words)) < 8:
                continue

            def change(number, name=name, part=part, words=words):
                copy = dataclasses.replace(config)
                put = changed(words, number)
                if part is not None:
                    inner = dataclasses.replace(getattr(copy, name))
                    object.__setattr__(inner, part, put)
                    put = inner
                object.__setattr__(copy, name, put)
                return copy

            yield name if part is None else f"{name}.{part}", count, change


def kept(made):
    """What an object of a dataclass has computed and keeps, by name."""
    fields = {field.name for field in dataclasses.fields(made)}
    return [(name, value) for name, value in sorted(vars(made).items()) if name not in fields]


def words_of(value):
    """Number of the integers in a tuple, or in a tuple of tuples; 0 if it has other things."""
    if not isinstance(value, tuple) or not value:
        return int(isinstance(value, int))
    counts = [words_of(item) for item in value]
    return sum(counts) if all(counts) else 0


def changed(value, number):
    """Such a tuple with word ``number`` off by one."""
    if isinstance(value, int):
        return value - 1 if value else 1
    items = list(value)
    for place, item in enumerate(items):
        if number < (count := words_of(item)):
            items[place] = changed(item, number)
            break
        number -= count
    return tuple(items)


def tables_seen(config, wanted):
    """Tables that a configuration keeps, by whether a word that is off by one makes a difference.

    A dictionary of names to that.
    """
    return {name: any(mismatch(change(number), wanted) for number in range(count))
            for name, count, change in changed_tables(config)}

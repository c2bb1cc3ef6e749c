"""Numbers and rows of the one-pass attention datapath, for tests of its parts."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

import numpy as np

from rtl.attention.online.numbers import OnlineNumbers, RowScale
from rtl.fixed import Requantiser, clip, round_shift, signed_range

__all__ = ["NUMBERS", "directed_rows", "numbers", "one_by_one"]


def numbers(*, bits: int = 10, input_scale: float = 2.0 ** -5, octave_bits: int = 4,
            fraction_bits: int = 12, guard_bits: int = 0, value_bits: int = 8, lanes: int = 1,
            max_keys: int = 40, ratio: Fraction = Fraction(1), out_bits: int = 8,
            sink: bool = False) -> OnlineNumbers:
    """Return the numbers of a datapath; ``ratio`` is what a value's step is in output steps."""
    scale = RowScale.of(Requantiser.of_square(Fraction(ratio) ** 2, out_bits))
    return OnlineNumbers(bits, input_scale, octave_bits, fraction_bits, guard_bits, value_bits,
                         lanes, max_keys, scale, sink=sink)


#: Datapaths that differ in lanes, grids, tables and widths.
NUMBERS = {
    "default": numbers(),
    "three lanes": numbers(lanes=3, ratio=Fraction(37, 10), out_bits=12),
    "few codes": numbers(lanes=4, fraction_bits=8, octave_bits=2),
    "narrow": numbers(bits=6, input_scale=0.25, fraction_bits=6, octave_bits=0, value_bits=4,
                      out_bits=4, ratio=Fraction(1, 100)),
    "wide": numbers(bits=16, input_scale=2.0 ** -9, fraction_bits=16, guard_bits=3,
                    ratio=Fraction(1 << 16)),
    "coarse logits": numbers(bits=8, input_scale=1.0, ratio=Fraction(1, 1 << 20)),
    "seven lanes": numbers(input_scale=0.3, value_bits=5, lanes=7),
}


def directed_rows(numbers: OnlineNumbers, random: np.random.Generator
                  ) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield ``(name, logits, hidden)`` of rows that go for one thing each."""
    low, high = signed_range(numbers.bits)
    some = random.integers(low, high + 1, numbers.max_keys)
    none = np.zeros(len(some), bool)
    step = max(int(numbers.grid.per_octave * numbers.grid.factors[1]
                   // numbers.grid.factors[0]), 1)
    yield "any", some, none
    yield "rising", np.sort(some), none
    yield "an octave a key", np.clip(low + step * np.arange(len(some)), low, high), none
    yield "twelve octaves a key", np.clip(low + 12 * step * np.arange(len(some)), low, high), none
    yield "falling", -np.sort(-some), none
    yield "equal", np.full(len(some), some[0]), none
    yield "largest rise last", np.r_[np.full(len(some) - 1, low), high], none
    yield "largest first", np.r_[high, np.full(len(some) - 1, low)], none
    yield "least sum", np.full(1, low), none[:1]
    yield "one key", some[:1], none[:1]
    yield "all masked", some, ~none
    yield "first keys masked", np.sort(some), np.arange(len(some)) < len(some) // 2
    yield "last keys masked", np.sort(some), np.arange(len(some)) > len(some) // 2
    yield "some masked", some, random.random(len(some)) < 0.4
    yield "all but one masked", some, np.arange(len(some)) != len(some) // 2


def one_by_one(numbers: OnlineNumbers, x: np.ndarray, hidden: np.ndarray, v: np.ndarray,
               sink: int | None = None) -> tuple[int, list[int], list[int]]:
    """Return ``S``, ``A`` and the outputs of a row by the equations, one key at a time."""
    grid, lanes = numbers.grid, numbers.lanes
    least = signed_range(numbers.bits)[0]
    multiplier, shift = grid.factors
    position = [0 if gone else round_shift(int(each) * multiplier, shift)
                - round_shift(least * multiplier, shift)
                for each, gone in zip(x, hidden, strict=True)]
    total, sums, octave, bucket = 0, [0] * v.shape[1], None, 0
    block, most = (4, 3) if numbers.fraction_bits <= 12 else (8, 2)
    if sink is not None:
        place = round_shift(sink * multiplier, shift) - round_shift(least * multiplier, shift)
        bucket = place >> grid.bucket_shift
    for start in range(0, len(x), lanes):
        beat = range(start, min(start + lanes, len(x)))
        bucket = max(bucket, *(position[k] >> grid.bucket_shift for k in beat))
        rise = 0 if octave is None else grid.octave(bucket) // block - octave // block
        octave = grid.octave(bucket)
        if rise:
            total = total >> block * rise if rise <= most else 0
            sums = [each >> block * rise + numbers.cut << numbers.cut if rise <= most else 0
                    for each in sums]
        if sink is not None and not start:
            distance = grid.reference(bucket) - place
            total = [*numbers.terms, 0][min(distance, len(numbers.terms))] << (
                numbers.guard_bits + octave % block)
        for k in beat:
            distance = grid.reference(bucket) - position[k]
            if not hidden[k] and distance < len(numbers.terms):
                term = numbers.terms[distance] << numbers.guard_bits + octave % block
                total += term
                sums = [each + term * int(value) for each, value in zip(sums, v[k], strict=True)]
    if not total:
        return total, sums, [0] * len(sums)
    scale, place = numbers.scale, total.bit_length() - 1
    mantissa = ((total << 10) >> place) & 1023
    factor = (scale.reciprocals[mantissa] * scale.multiplier + (1 << 15)) >> 16
    # In fixed point: 34 bits, whose fraction is what ratios below 2**(7 + bits - value_bits) leave.
    cut, least = numbers.cut, numbers.least_sum.bit_length() - 1
    fraction = max(27 + numbers.value_bits - scale.bits + least, 18 + cut)
    down = scale.shift + 18 + place - fraction
    placed = (1 << 34) - 1 if down < 0 else (factor << 17) >> down
    return total, sums, [clip(round_shift((each >> cut) * placed, fraction - cut),
                              *signed_range(scale.bits)) for each in sums]

"""Fixed point: the same rounding, ranges and saturation for integers, arrays and hardware."""

import math
from fractions import Fraction

import numpy as np
import pytest
from amaranth import Signal, signed
from amaranth.hdl import Shape

from rtl.fixed import (
    Requantiser,
    Scaling,
    clip,
    half,
    half_up,
    requantised,
    round_shift,
    saturated,
    signed_range,
    signed_width,
    unsigned_range,
)
from sim.testing.pysim import combinational

# Rounding ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("value, nearest", [
    (3, 3), (-3, -3), (0, 0), (Fraction(5, 2), 3), (Fraction(-5, 2), -2), (Fraction(7, 3), 2),
    (Fraction(-8, 3), -3), (0.5, 1), (-0.5, 0), (0.49999999999999994, 0),
    (Fraction((1 << 80) - 1, 2), 1 << 79)])
def test_half_up(value, nearest):
    assert half_up(value) == nearest


@pytest.mark.parametrize("shift, wanted", [(0, 0), (1, 1), (2, 2), (8, 128)])
def test_half(shift, wanted):
    assert half(shift) == wanted


@pytest.mark.parametrize("shift", range(6))
def test_round_shift(shift):
    x = np.arange(-200, 200)
    rounded = [half_up(Fraction(int(v), 1 << shift)) for v in x]
    truncated = [int(v) // (1 << shift) for v in x]
    assert round_shift(x, shift).tolist() == rounded == [round_shift(int(v), shift) for v in x]
    assert round_shift(x, shift, "truncate").tolist() == truncated == [
        round_shift(int(v), shift, "truncate") for v in x]


@pytest.mark.parametrize("rounding", ["round", "truncate"])
@pytest.mark.parametrize("shift", [0, 1, 3, 8])
def test_round_shift_of_hardware(shift, rounding):
    values = range(-64, 64)
    evaluate = combinational(lambda m, x: round_shift(x.as_signed(), shift, rounding), [7],
                             signed(9))
    assert evaluate([(x % 128,) for x in values]) == [
        round_shift(x, shift, rounding) for x in values]


# Ranges -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("bits", [1, 2, 8, 33])
def test_ranges(bits):
    assert signed_range(bits) == (-2 ** (bits - 1), 2 ** (bits - 1) - 1)
    assert unsigned_range(bits) == (0, 2 ** bits - 1)


def test_signed_width():
    """The narrowest, for every sign of either end."""
    for low in range(-20, 21):
        for high in range(low, 21):
            fitting = [bits for bits in range(1, 8)
                       if signed_range(bits)[0] <= low and high <= signed_range(bits)[1]]
            assert signed_width(low, high) == fitting[0]


# Saturation -------------------------------------------------------------------------------------

def test_clip():
    x = np.arange(-9, 10)
    wanted = [min(max(int(v), -3), 5) for v in x]
    assert clip(x, -3, 5).tolist() == wanted == [clip(int(v), -3, 5) for v in x]


@pytest.mark.parametrize("width", range(1, 8))
@pytest.mark.parametrize("bits", range(1, 8))
def test_saturated(width, bits):
    low, high = signed_range(width)
    value = saturated(Signal(signed(width)), bits)
    assert Shape.cast(value.shape()) == signed(min(width, bits))
    evaluate = combinational(lambda m, x: saturated(x.as_signed(), bits), [width], signed(8))
    assert evaluate([(x % (1 << width),) for x in range(low, high + 1)]) == [
        clip(x, *signed_range(bits)) for x in range(low, high + 1)]


# Requantisation ---------------------------------------------------------------------------------

@pytest.mark.parametrize("ratio", [Fraction(1, 64), Fraction(1), Fraction(3, 100), Fraction(5),
                                   Fraction(1, 3 ** 9), Fraction(2) ** -40])
@pytest.mark.parametrize("bits", [4, 10, 16])
def test_requantiser_rounds_half_up_and_saturates(ratio, bits):
    rule = Requantiser.of_square(ratio ** 2, bits)
    exact = Fraction(rule.multiplier) / (1 << rule.shift)
    assert abs(exact / ratio - 1) <= Fraction(1, 1 << 16)
    limit = 1 << (bits - 1)
    x = np.concatenate([np.arange(-70, 70), [-(1 << 21), 1 << 21]])
    wanted = [min(max(math.floor(int(v) * exact + Fraction(1, 2)), -limit), limit - 1) for v in x]
    assert rule(x).tolist() == wanted == [rule(int(v)) for v in x]


@pytest.mark.parametrize("exponent", [-20, -6, 0, 3])
def test_power_of_two_takes_no_multiplier(exponent):
    rule = Requantiser.of_square(Fraction(4) ** exponent, 8)
    assert Fraction(rule.multiplier, 1 << rule.shift) == Fraction(2) ** exponent
    assert rule.multiplier == 1 or exponent > 0


def test_irrational_ratio():
    rule = Requantiser.of_square(Fraction(1, 50), 8)
    assert abs(rule.multiplier / 2 ** rule.shift * math.sqrt(50) - 1) < 2 ** -16


@pytest.mark.parametrize("square", [Fraction(n, d) for n in (1, 3, 65535, 65537, 1 << 33)
                                    for d in (1, 7, 4095, 1 << 40)])
def test_multiplier_has_sixteen_bits_and_no_trailing_zero(square):
    rule = Requantiser.of_square(square, 8)
    assert rule.shift >= 0
    if rule.shift:
        assert rule.multiplier % 2 == 1 and rule.multiplier < 1 << 16
    # At least 16 significant bits of the root: half a step of them at most is off.
    assert abs(rule.multiplier / 2 ** rule.shift / math.sqrt(square) - 1) <= 2 ** -16 + 2 ** -50


# Requantisation with parameters at run time ------------------------------------------------------

@pytest.mark.parametrize("width", [8, 32, 48])
def test_requantised(width):
    """Ends of the ranges, ties and all shifts: integers, and arrays of all arguments, alike."""
    low, high = signed_range(width)
    cases = [(x, multiplier, shift, offset)
             for x in (low, low + 1, -96, -3, -1, 0, 1, 5, 96, high - 1, high)
             for multiplier in (1, 3, 32768, 65535) for shift in range(64)
             for offset in (-128, 0, 127)]
    wanted = [min(max(math.floor(Fraction(x * multiplier, 1 << shift) + Fraction(1, 2)) + offset,
                      -128), 127) for x, multiplier, shift, offset in cases]
    x, multiplier, shift, offset = np.array(cases).T
    assert requantised(x, multiplier, shift, 8, offset).tolist() == wanted
    assert [requantised(x, multiplier, shift, 8, offset)
            for x, multiplier, shift, offset in cases] == wanted


def test_scaling_rounds_its_ratio():
    assert Scaling.of(Fraction(1, 3)) == Scaling(43691, 17)
    assert Scaling.of(1, -5) == Scaling(32768, 15, -5)
    assert Scaling.of(65535.4) == Scaling(65535, 0)
    assert Scaling.of(Fraction(1, 1 << 63)) == Scaling(1, 63)
    # Rounded up to the next power of two, which takes a bit less of shift.
    assert Scaling.of(Fraction(131071, 1 << 17)) == Scaling(32768, 15)
    x = np.arange(-300, 300)
    assert Scaling.of(Fraction(1, 4), 7)(x, 6).tolist() == [
        min(max(math.floor(int(v) / 4 + 0.5) + 7, -32), 31) for v in x]


@pytest.mark.parametrize("make, message", [
    (lambda: Scaling(0, 3), "multiplier must be 1..65535, not 0"),
    (lambda: Scaling(65536, 3), "multiplier must be 1..65535, not 65536"),
    (lambda: Scaling(1, 64), "shift must be 0..63, not 64"),
    (lambda: Scaling.of(65535.5), "ratio must be at most 65535, not 65535.5"),
    (lambda: Scaling.of(Fraction(1, 1 << 65)), "multiplier must be 1..65535, not 0")])
def test_scaling_refuses(make, message):
    with pytest.raises(ValueError, match=message):
        make()

"""The requantiser with parameters at run time against the integers of its rule."""

import random
from fractions import Fraction

import pytest

from rtl.blocks.runtime_requantise import RuntimeRequantiser
from rtl.fixed import half_up, requantised
from sim.testing.pysim import pipelined


def exact(x, multiplier, shift, offset, bits):
    """The rule in fractions."""
    value = half_up(Fraction(x * multiplier, 1 << shift)) + offset
    return min(max(value, -1 << (bits - 1)), (1 << (bits - 1)) - 1)


def results(dut, vectors):
    """What comes out for vectors of elements and parameters, one a cycle."""
    def drive(ctx, vector):
        elements, multiplier, shift, offset = vector
        for port, x in zip(dut.i, elements, strict=True):
            ctx.set(port, x)
        ctx.set(dut.multiplier, multiplier)
        ctx.set(dut.shift, shift)
        if dut.offset_bits:
            ctx.set(dut.offset, offset)

    return pipelined(dut, vectors, drive, lambda ctx: [ctx.get(port) for port in dut.o])


def compare(dut, vectors):
    for vector, got in zip(vectors, results(dut, vectors), strict=True):
        elements, *parameters = vector
        assert got == [exact(x, *parameters, dut.bits) for x in elements], vector


def test_every_element_of_a_small_one():
    """Every element of 4 bits with every offset, at factors and shifts about every boundary."""
    dut = RuntimeRequantiser(4, 3, lanes=16, offset_bits=3)
    compare(dut, [(range(-8, 8), multiplier, shift, offset)
                  for multiplier in (1, 2, 3, 11, 32768, 65535)
                  for shift in (*range(5), 15, 16, 18, 19, 20, 31, 32, 63)
                  for offset in (range(-4, 4) if shift in (1, 2, 16) else (-4, 0, 3))])


@pytest.mark.parametrize("width, bits, offset_bits", [
    (25, 8, 8), (32, 8, 0), (32, 16, 4), (45, 16, 16), (48, 12, 20), (2, 16, 3)])
def test_corners_and_random_ones(width, bits, offset_bits):
    """Ends and ties of every width, parameters that change with every beat."""
    rng = random.Random(f"{width} {bits}")
    low, high = -1 << (width - 1), (1 << (width - 1)) - 1
    offsets = ([-1 << (offset_bits - 1), (1 << (offset_bits - 1)) - 1, 0] if offset_bits else [0])
    vectors = []
    for shift in (*range(64), *(rng.randrange(64) for _ in range(240))):
        multiplier = rng.choice([1, 65535, 32768, rng.randint(1, 65535)])
        # An element whose result is about half way between two, or about the end of the range.
        target = rng.choice([rng.getrandbits(bits), 1 << (bits - 1), -1 << (bits - 1)])
        near = (2 * target + 1 << shift) // (2 * multiplier) + rng.randint(-2, 2)
        elements = [min(max(x, low), high) for x in (
            rng.choice([low, high, 0, -1]), rng.randint(low, high),
            rng.randint(low, high) >> rng.randrange(width), near)]
        vectors.append((elements, multiplier, shift, rng.choice(offsets)))
    compare(RuntimeRequantiser(width, bits, lanes=4, offset_bits=offset_bits), vectors)


def test_wide_elements_are_refused():
    with pytest.raises(ValueError, match="width must be at most 48, not 49"):
        RuntimeRequantiser(49, 8)


def test_zero_multiplier_gives_the_offset():
    dut = RuntimeRequantiser(8, 8, offset_bits=4)
    assert results(dut, [([-128], 0, 5, -3)]) == [[-3]]
    assert requantised(-128, 0, 5, 8, -3) == -3

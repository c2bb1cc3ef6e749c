"""Two dot products in the DSP blocks of one."""

import itertools

import numpy as np
import pytest

from rtl.blocks.packed_products import PackedDotProduct
from rtl.blocks.products import DotProduct
from rtl.emit import synthesis, verilog
from sim.testing.pysim import clocked


def check(bits, a, b, addends=None, addend_bits=0):
    """Sums of ``a[n]`` with both of ``b[n]``, one after the other, for each n."""
    count = a.shape[1]
    addends = np.zeros((len(a), 2), int) if addends is None else addends
    dut = PackedDotProduct(bits, count, addend_bits)
    assert dut.latency == DotProduct.stages(count, addend_bits > 0)
    assert dut.shift + bits + 1 <= 25

    def drive(ctx, n):
        # The addends of a vector come a cycle after it.
        for i in range(2):
            ctx.set(dut.addend[i], int(addends[max(n - 1, 0) % len(a), i]))
        n = min(n, len(a) - 1)
        for k in range(count):
            ctx.set(dut.a[k], int(a[n, k]))
            for i in range(2):
                ctx.set(dut.b[i][k], int(b[n, i, k]))

    got = clocked(dut, drive, lambda ctx, n: [ctx.get(dut.o[0]), ctx.get(dut.o[1])],
                  len(a) + dut.latency)
    wanted = (b * a[:, None]).sum(axis=2) + addends + dut.offset
    np.testing.assert_array_equal(got[dut.latency:], wanted)
    return dut


def vectors(bits, count, random, number):
    """Random elements, of them half extremes; the first ones are all combinations of those."""
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    x = random.integers(low, high + 1, (number, 3, count))
    ends = np.where(random.random(x.shape) < 0.7, low, high)
    x = np.where(random.random((number, 1, 1)) < 0.5, ends, x)
    x[:8] = np.array([*itertools.product((low, high), repeat=3)])[:, :, None]
    x[8:16] = np.where(np.arange(count) % 2, ~x[:8], x[:8])
    return x[:, 0], x[:, 1:]


def test_every_chain_of_extremes():
    """Four products of -128 and 127 in all combinations: every carry between the fields."""
    x = np.array([*itertools.product((-128, 127), repeat=12)]).reshape(-1, 3, 4)
    assert check(8, x[:, 0], x[:, 1:]).carries


@pytest.mark.parametrize("bits", [4, 7, 8])
def test_every_product_of_corners(bits):
    low = -(1 << bits - 1)
    corners = low, low + 1, -2, -1, 0, 1, 2, ~low - 1, ~low
    x = np.array([*itertools.product(corners, repeat=3)])[:, :, None]
    assert not check(bits, x[:, 0], x[:, 1:]).carries


@pytest.mark.parametrize("bits, count, addend_bits", [
    (8, 2, 0), (8, 3, 5), (8, 4, 20), (8, 5, 0), (8, 13, 0), (8, 24, 18), (8, 33, 0), (7, 9, 0),
    (5, 7, 3), (4, 16, 0)])
def test_equals_the_sums(bits, count, addend_bits):
    random = np.random.default_rng(count)
    a, b = vectors(bits, count, random, 60)
    addends = random.integers(0, 1 << addend_bits, (60, 2))
    addends[:8] = (1 << addend_bits) - 1
    check(bits, a, b, addends, addend_bits)


@pytest.mark.slow
def test_longest_vectors():
    a, b = vectors(8, 512, np.random.default_rng(1), 24)
    check(8, a, b)


def test_a_dsp_block_takes_two_products():
    dut = PackedDotProduct(8, 5)
    figures = synthesis.measure(verilog.of_components({"dots": dut}), "dots")
    assert figures.dsp == dut.count
    # One of the two operands of the pre-adder, the pipeline before it, two trees, the carries.
    assert figures.lut < 90


def test_too_wide_elements():
    with pytest.raises(ValueError, match="^PackedDotProduct: bits must be at most 8, not 9$"):
        PackedDotProduct(9, 4)

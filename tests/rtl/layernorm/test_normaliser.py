"""Normalised radicands, over their whole range."""

import pytest

import rtl
from rtl.layernorm.normaliser import Normaliser
from sim.testing.pysim import clocked

COMMON = {"lanes": 2, "alpha_bits": 0, "mean_fraction_bits": 0}


@pytest.mark.parametrize("name, parameters", [
    ("layernorm-ai", {"bits": 3, "zero_point": 4, "low_shift": 0, "high_shift": 0, "channels": 5}),
    ("layernorm-ai", {"bits": 4, "zero_point": 8, "low_shift": 0, "high_shift": 0, "channels": 3,
                      "rms": True}),
    ("layernorm-exact", {"bits": 2, "zero_point": 0, "channels": 5}),
    ("layernorm-exact", {"bits": 2, "zero_point": 0, "channels": 1, "rms": True}),
    ("layernorm-exact", {"bits": 3, "zero_point": 3, "channels": 4, "row_length": "variable"}),
])
@pytest.mark.parametrize("bits", [3, 6])
def test_whole_range(name, parameters, bits):
    config = rtl.unit(name)(**COMMON, **parameters)
    dut = Normaliser(config, bits)
    radicands = range(max(config.lowest_radicand, -40), 1 << config.radicand_bits)
    results = clocked(
        dut, lambda ctx, n: ctx.set(dut.radicand, radicands[min(n, len(radicands) - 1)]),
        lambda ctx, n: (ctx.get(dut.zeros), ctx.get(dut.o)), len(radicands) + dut.LATENCY)
    for radicand, result in zip(radicands, results[dut.LATENCY:], strict=True):
        clamped = max(radicand, config.least_radicand)
        zeros = (config.radicand_bits - clamped.bit_length()) // 2
        normal = (clamped << 2 * zeros << bits) >> config.radicand_bits
        assert result == (zeros, normal), radicand

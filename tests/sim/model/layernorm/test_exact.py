"""The model of the exact LayerNorm against a plain function by its definition."""

import math
from fractions import Fraction

import pytest

import rtl
from sim.testing import plain
from sim.testing import plain_layernorm as normalise

Exact = rtl.unit("layernorm-exact")

STANDARD = {**normalise.COMMON, "mean_fraction_bits": 5, "rsqrt_index_bits": 7, "rsqrt_bits": 12}
PRESETS = {"standard": STANDARD, "rms": {**STANDARD, "rms": True}}
FINE = {**STANDARD, "bits": 10, "zero_point": 512, "mean_fraction_bits": 3}


class ByDefinition(normalise.Normaliser):
    """Exact sums, exact variance, and one step of Newton's from a guess for the root."""

    def largest(self):
        self.largest_sum = self.largest_row(self.largest_x() ** 2 >> 2 * self.top_alpha)
        return max(self.largest_sum * (1 if self.p.rms else self.p.channels), 1)

    def unit(self, length):
        return Fraction(length if self.p.rms else length ** 2)

    def octaves_apart(self):
        """As many as an operand of 24 bits has room for, and three at least."""
        return max(24 - self.p.rsqrt_bits - 1, 3)

    def most_integer_bits(self):
        """No element is further from the mean than the root of the length; with what is rounded."""
        p, rounded = self.p, 0
        if not p.rms:
            error = (Fraction(1, 2 << self.mean_bits)
                     + Fraction(self.largest_x(), 1 << self.inverse_bits))
            rounded = error * Fraction(2) ** (1 + self.octaves - self.base)
        return (math.isqrt(p.channels) + 2 + math.ceil(rounded)).bit_length() + 1

    def variance(self, raw, x, negated_mean):
        squares = plain.row_sum(sum(v * v for v in x), self.largest_sum)
        return squares if self.p.rms else len(x) * squares - sum(x) ** 2

    def root_words(self, scale):
        """Newton's step ``g * (3 - m * g**2) / 2``, from the guess for the middle of each part.

        ``a - b * m`` with 20 fraction bits of ``a`` and 16 of ``b``.
        """
        for low, high in normalise.parts(self.p.rsqrt_index_bits):
            guess = 1 / normalise.square_root((low + high) / 2)
            yield (plain.half_up(scale * guess * 3 / 2 * (1 << 20)),
                   plain.half_up(scale * guess ** 3 / 2 * (1 << 16)))

    def root(self, m):
        half = 1 << self.p.rsqrt_index_bits - 1
        a, b = self.words[math.floor((m - 1) * half) if m < 2 else
                          half + math.floor((m / 2 - 1) * half)]
        # Of the mantissa 15 fraction bits.
        m = Fraction(math.floor(m * (1 << 15)), 1 << 15)
        step = Fraction(a, 1 << 20) - Fraction(b, 1 << 16) * m
        return min(plain.half_up(step * (1 << self.p.rsqrt_bits)), (2 << self.p.rsqrt_bits) - 1)


CASES = [(preset, change) for preset in PRESETS for change in (
    {}, {"channels": 1}, {"channels": 7, "lanes": 8}, {"row_length": "variable"},
    {"row_length": "variable", "channels": 100, "epsilon": 3.3}, {"epsilon": 100.0},
    {"signed_input": True, "zero_point": 0}, {"zero_point": 255}, {"alpha_bits": 0},
    {"alpha_bits": 3},
    {"channel_parameters": "loaded"}, {"bits": 12, "zero_point": 3, "alpha_bits": 0},
    {"out_bits": 16, "gamma_bits": 16, "gamma_fraction_bits": 3, "beta_fraction_bits": 2},
    {"bits": 16, "channels": 47, "zero_point": 0, "channel_parameters": "loaded"},
    {"bits": 16, "zero_point": 9, "channels": 60, "row_length": "variable", "epsilon": 2.0 ** 60},
    {"rsqrt_index_bits": 3, "rsqrt_bits": 15}, {"bits": 3, "zero_point": 2},
    {"rsqrt_index_bits": 2, "rsqrt_bits": 4}, {"gamma_fraction_bits": -3, "output_scale": 1.0})]
CASES += [("standard", {"mean_fraction_bits": 0}), ("standard", {"mean_fraction_bits": 8})]


@pytest.mark.parametrize("preset, changes", CASES)
def test_by_definition(preset, changes):
    config, parameters = normalise.made(Exact, preset, PRESETS[preset], changes)
    wanted = plain.expected(ByDefinition(**parameters), normalise.rows("exact", parameters))
    assert plain.mismatch(config, wanted) is None


@pytest.mark.parametrize("preset", [*PRESETS, "fine"])
def test_presets_as_they_are(preset):
    literal = PRESETS.get(preset, FINE)
    config, parameters = normalise.made(Exact, preset, literal, {"channels": 768}, None)
    wanted = plain.expected(ByDefinition(**parameters), normalise.rows("exact", parameters))
    assert plain.mismatch(config, wanted) is None


# Faults that must show --------------------------------------------------------------------------

class OffByOne(ByDefinition):
    """The root's mantissa is too small by one."""

    def root(self, m):
        return super().root(m) - 1


class Biased(ByDefinition):
    """The variance lacks what the square of the mean is rounded by: ``Q - E**2 / L``, times L."""

    def variance(self, raw, x, negated_mean):
        return len(x) * (sum(v * v for v in x) + sum(x) * negated_mean >> self.mean_bits)


@pytest.mark.parametrize("step, fault", [("half_up", math.floor), ("row_sum", plain.bit_short)])
def test_a_fault_shows(monkeypatch, step, fault):
    config, parameters = normalise.made(
        Exact, "standard", STANDARD, {"channels": 8, "zero_point": 0}, None)
    rows = list(normalise.rows("exact", parameters, count=60))
    monkeypatch.setattr(plain, step, fault)
    assert plain.mismatch(config, plain.expected(ByDefinition(**parameters), rows))


@pytest.mark.parametrize("faulty", [OffByOne, Biased])
def test_a_faulty_step_shows(faulty):
    config, parameters = normalise.made(Exact, "standard", STANDARD, {"out_bits": 12})
    rows = normalise.rows("exact", parameters, count=60)
    assert plain.mismatch(config, plain.expected(faulty(**parameters), rows))


@pytest.mark.parametrize("name", ["gamma", "beta", "alpha"])
def test_a_channel_early_shows(name):
    """Parameters of the channels that come one channel too early."""
    config, parameters = normalise.made(Exact, "standard", STANDARD, {})
    moved = {**parameters, name: (*parameters[name][1:], parameters[name][0])}
    rows = normalise.rows("exact", parameters)
    assert plain.mismatch(config, plain.expected(ByDefinition(**moved), rows))


def test_a_fault_in_a_shared_table_shows():
    """With outputs that are as fine as the root."""
    config, parameters = normalise.made(Exact, "standard", STANDARD, {
        "channels": 16, "out_bits": 16, "gamma_bits": 16, "output_scale": 2.0 ** -13,
        "rsqrt_bits": 15}, None)
    rows = normalise.rows("exact", parameters, count=40)
    found = plain.tables_seen(config, plain.expected(ByDefinition(**parameters), rows))
    assert found and all(found.values()), found

"""The model of AILayerNorm against a plain function by the paper and by its definition."""

import math
from fractions import Fraction

import pytest

import rtl
from sim.testing import plain
from sim.testing import plain_layernorm as normalise

AI = rtl.unit("layernorm-ai")

PAPER = {**normalise.COMMON, "mean_fraction_bits": 6, "code_bits": 4, "threshold": 64,
         "low_shift": 2, "high_shift": 4, "compression": "half-even", "rsqrt_index_bits": 6,
         "rsqrt_bits": 8}
PRESETS = {"paper": PAPER, "rms": {**PAPER, "rms": True}}
FINE = {**PAPER, "bits": 10, "zero_point": 512, "code_bits": 6, "threshold": 256,
        "mean_fraction_bits": 4}


class ByThePaper(normalise.Normaliser):
    """Squares of codes of four bits and a flag; reciprocal root from a table."""

    def square(self, raw):
        """Square of an element without its factor, in units of the square of the lower shift."""
        p, a = self.p, abs(raw - self.p.zero_point)
        shift = p.high_shift if a >= p.threshold else p.low_shift
        exact = Fraction(a, 1 << shift)
        code = {"truncate": math.floor, "half-up": plain.half_up,
                "half-even": round}[p.compression](exact)
        code = min(code, (1 << p.code_bits) - 1)
        return (code << shift - p.low_shift) ** 2

    def largest(self):
        square = max(map(self.square, range(self.low, self.high + 1)))
        self.squares = plain.table("squares", tuple(
            self.square(raw) for raw in range(self.low, self.high + 1)))
        self.largest_sum = self.largest_row(square)
        return max(self.largest_sum * self.per_square(), 1)

    def per_square(self):
        """What a square of 1 comes to in W."""
        return 1 if self.p.rms else 4 ** self.p.low_shift << self.mean_bits

    def unit(self, length):
        return Fraction(length, 4 ** self.p.low_shift) if self.p.rms else \
            Fraction(length << self.mean_bits)

    def octaves_apart(self):
        return 8

    def variance(self, raw, x, negated_mean):
        """``Q - E * mu``, with the fraction bits of the mean."""
        squares = plain.row_sum(sum(self.squares[v - self.low] << 2 * a for v, a in
                                    zip(raw, self.alpha, strict=False)), self.largest_sum)
        return squares * self.per_square() + sum(x) * negated_mean

    def root_words(self, scale):
        """Mean of ``scale / sqrt(m)`` over each part of 1..4; less than 2."""
        most = (2 << self.p.rsqrt_bits) - 1
        for low, high in normalise.parts(self.p.rsqrt_index_bits):
            mean = 2 * scale / (normalise.square_root(low) + normalise.square_root(high))
            yield min(plain.half_up(mean * (1 << self.p.rsqrt_bits)), most)

    def root(self, m):
        half = 1 << self.p.rsqrt_index_bits - 1
        return self.words[math.floor((m - 1) * half) if m < 2 else
                          half + math.floor((m / 2 - 1) * half)]


CASES = [(preset, change) for preset in PRESETS for change in (
    {}, {"channels": 1}, {"channels": 7, "lanes": 8}, {"row_length": "variable"},
    {"row_length": "variable", "channels": 100, "epsilon": 3.3}, {"epsilon": 100.0},
    {"signed_input": True, "zero_point": 0}, {"zero_point": 255}, {"alpha_bits": 0},
    {"alpha_bits": 3},
    {"compression": "half-up"}, {"compression": "truncate"}, {"channel_parameters": "loaded"},
    {"bits": 10, "zero_point": 3, "threshold": 200, "high_shift": 6, "code_bits": 6},
    {"out_bits": 12, "gamma_bits": 12, "gamma_fraction_bits": 3, "beta_fraction_bits": 2},
    {"rsqrt_index_bits": 3, "rsqrt_bits": 12}, {"bits": 3, "zero_point": 2, "low_shift": 0},
    {"gamma_fraction_bits": -3, "output_scale": 1.0}, {"epsilon": 1e6})]
CASES += [("paper", {"mean_fraction_bits": 0}), ("paper", {"mean_fraction_bits": 8})]


@pytest.mark.parametrize("preset, changes", CASES)
def test_by_the_paper(preset, changes):
    config, parameters = normalise.made(AI, preset, PRESETS[preset], changes)
    wanted = plain.expected(ByThePaper(**parameters), normalise.rows("ai", parameters))
    assert plain.mismatch(config, wanted) is None


@pytest.mark.parametrize("preset", [*PRESETS, "fine"])
def test_presets_as_they_are(preset):
    literal = PRESETS.get(preset, FINE)
    config, parameters = normalise.made(AI, preset, literal, {"channels": 768}, None)
    wanted = plain.expected(ByThePaper(**parameters), normalise.rows("ai", parameters))
    assert plain.mismatch(config, wanted) is None


def test_published_codes():
    """Half to even; 62 and 63 have to saturate, and what is 248 or more."""
    unit = ByThePaper(**{**PAPER, "zero_point": 0, "channels": 1})
    assert [unit.square(a) for a in (0, 2, 3, 6, 10, 61, 62, 63)] == [
        0, 0, 1, 4, 4, 225, 225, 225]
    assert [unit.square(a) for a in (64, 72, 88, 247, 248, 255)] == [
        256, 256, 36 * 16, 225 * 16, 225 * 16, 225 * 16]


# Faults that must show --------------------------------------------------------------------------

@pytest.mark.parametrize("step, fault", [
    ("half_up", math.floor), ("row_sum", plain.bit_short),
    # One code more or less, or half of one.
    *(("table", plain.off_by("squares", 128 + a, amount)) for a, amount in (
        (5, 1), (30, 16), (70, 64), (127, 128))),
    *(("table", plain.off_by("root", number)) for number in (0, 20, 40, 63))])
def test_a_fault_shows(monkeypatch, step, fault):
    config, parameters = normalise.made(AI, "paper", PAPER, {"channels": 8}, None)
    rows = list(normalise.rows("ai", parameters, count=250))
    rows += [([128 + a, 128 - a] * 4, [False] * 8) for a in (5, 30, 70, 127)]
    assert plain.mismatch(config, plain.expected(ByThePaper(**parameters), rows)) is None
    monkeypatch.setattr(plain, step, fault)
    assert plain.mismatch(config, plain.expected(ByThePaper(**parameters), rows))


@pytest.mark.parametrize("name", ["gamma", "beta", "alpha"])
def test_a_channel_early_shows(name):
    """Parameters of the channels that come one channel too early."""
    config, parameters = normalise.made(AI, "paper", PAPER, {})
    moved = {**parameters, name: (*parameters[name][1:], parameters[name][0])}
    rows = normalise.rows("ai", parameters)
    assert plain.mismatch(config, plain.expected(ByThePaper(**moved), rows))


def test_a_fault_in_a_shared_table_shows():
    config, parameters = normalise.made(AI, "paper", PAPER, {"channels": 16}, None)
    rows = normalise.rows("ai", parameters, count=40)
    found = plain.tables_seen(config, plain.expected(ByThePaper(**parameters), rows))
    assert found and all(found.values()), found

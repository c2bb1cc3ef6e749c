"""The model of REXP against a plain function by the paper and by its documented definition."""

import math
from fractions import Fraction
from types import SimpleNamespace

import pytest

import rtl
from sim.testing import plain
from sim.testing.plain_softmax import Exponents, looks_like

Rexp = rtl.unit("softmax-rexp")

# The published unit, and what the other presets change of it.
PAPER = {
    "bits": 8, "input_scale": 0.125, "out_bits": 8, "lanes": 8, "max_length": 512,
    "exp_step": 1.0, "exp_entries": 0, "exp_words": (), "exp_index": "truncate",
    "sum_index": "linear", "sum_rounding": "truncate", "sum_fraction_bits": 0,
    "sum_mantissa_bits": 0, "reference": "final", "code_fraction_bits": 0, "partial_sums": 1,
    "exp_guard_bits": 0, "alpha_entries": 16, "alpha_words": (), "scaling": "exact"}
FLOATING = {"exp_index": "round", "exp_guard_bits": 1, "sum_index": "floating",
            "sum_mantissa_bits": 4, "alpha_entries": 0}
PRESETS = {"paper": PAPER, "plus": {**PAPER, **FLOATING, "exp_step": 0.03125},
           "online": {**PAPER, **FLOATING, "reference": "running", "code_fraction_bits": 2}}


def by_the_paper(**parameters):
    """REXP of one row: sigma* = 1/e**(max - x), alpha = 1/sum(sigma*), sigma = alpha * sigma*."""
    p = SimpleNamespace(**parameters)
    exponents = Exponents(p)
    one = (1 << p.out_bits) - 1
    linear = reciprocals(p, one)

    def softmax(x, mask):
        words, total = exponents(x, mask)
        if total == 0:
            return [0] * len(x)
        if p.sum_index == "floating":
            places = p.out_bits + p.sum_mantissa_bits + 3
            alpha = floating(p, exponents, total, places)
            return [plain.half_up(Fraction(s * alpha, 1 << places)) for s in words]
        # The index of the sum is its integer part: wiring, so that 1 is 2**w.
        index = plain.rounded(Fraction(total << p.sum_fraction_bits, 1 << p.out_bits),
                              p.sum_rounding)
        alpha = linear[min(max(index, 1 << p.sum_fraction_bits), len(linear) - 1)]
        if p.scaling == "cheap":
            return [s * alpha >> p.out_bits for s in words]
        return [plain.half_up(Fraction(s * alpha, one)) for s in words]
    return softmax


def reciprocals(p, one):
    """LUT_alpha[j] = round(M / j), with index 0 aliased to 1."""
    if p.alpha_words or p.sum_index == "floating":
        return p.alpha_words
    steps = 1 << p.sum_fraction_bits
    longest = Fraction(p.max_length * one * steps, 1 << p.out_bits)
    count = p.alpha_entries or plain.rounded(longest, p.sum_rounding) + 1
    return plain.table("alpha", tuple(
        min(plain.half_up(Fraction(one * steps, max(j, 1))), one) for j in range(count)))


def floating(p, exponents, total, places):
    """Reciprocal of the middle of all sums that look alike; no product is to pass 1."""
    first, end = looks_like(total, p.sum_mantissa_bits)
    one = (1 << p.out_bits) - 1
    # No word is larger than its row's sum, and with the final maximum one word is the largest.
    largest = max(word for word in exponents.words
                  if word < end) if exponents.running else exponents.unit
    limit = math.ceil(((one + Fraction(1, 2)) * (1 << places)) / largest) - 1
    return min(plain.half_up(one * (1 << places) / ((first + end) / 2)), limit)


CASES = [
    ("paper", {}), ("paper", {"lanes": 1}), ("paper", {"input_scale": 0.3, "bits": 6}),
    ("paper", {"out_bits": 15, "bits": 10, "input_scale": 0.01}), ("paper", {"out_bits": 4}),
    ("paper", {"out_bits": 2}), ("paper", {"exp_index": "round", "sum_rounding": "round"}),
    ("paper", {"sum_fraction_bits": 3, "alpha_entries": 0}), ("paper", {"scaling": "cheap"}),
    ("paper", {"sum_fraction_bits": 2, "sum_rounding": "round", "alpha_entries": 40}),
    ("paper", {"exp_step": 0.1, "exp_entries": 20}), ("paper", {"exp_step": 0.3}),
    ("paper", {"exp_words": (255, 90, 30, 9, 0)}),
    ("paper", {"alpha_words": tuple(255 - 7 * j for j in range(16))}),
    ("plus", {}), ("plus", {"input_scale": 0.07}), ("plus", {"out_bits": 12, "lanes": 3}),
    ("plus", {"exp_guard_bits": 4, "sum_mantissa_bits": 6}), ("plus", {"max_length": 1}),
    ("plus", {"out_bits": 2, "exp_guard_bits": 0, "sum_mantissa_bits": 1}),
    *(("online", {"partial_sums": sums, **change}) for sums in (1, 2) for change in (
        {}, {"lanes": 1}, {"lanes": 3, "input_scale": 0.3}, {"input_scale": 0.013, "lanes": 2},
        {"input_scale": 3.7, "bits": 4, "lanes": 1}, {"out_bits": 13, "code_fraction_bits": 4},
        {"bits": 12, "input_scale": 0.004, "code_fraction_bits": 0, "lanes": 5},
        # Constants of twelve bits put one position in some hundred an octave higher.
        {"bits": 7, "input_scale": 1.3980881177578377, "code_fraction_bits": 3, "lanes": 1})),
]


made, expected = plain.unit_and_paper(Rexp, PRESETS, by_the_paper)


@pytest.mark.parametrize("preset, changes", CASES)
def test_by_the_paper(preset, changes):
    config, parameters = made(preset, changes)
    assert plain.mismatch(config, expected(preset, parameters)) is None


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_at_full_length(preset):
    config, parameters = made(preset, {"max_length": 512})
    assert plain.mismatch(config, expected(preset, parameters)) is None


def test_published_tables():
    assert Exponents(SimpleNamespace(**PAPER)).words == (255, 94, 35, 13, 5, 2, 1, 0)
    assert reciprocals(SimpleNamespace(**PAPER), 255) == (
        255, 255, 128, 85, 64, 51, 43, 36, 32, 28, 26, 23, 21, 20, 18, 17)


# Faults that must show --------------------------------------------------------------------------

@pytest.mark.parametrize("step, fault, preset, changes", [
    ("half_up", math.floor, "paper", {}), ("half_up", math.floor, "plus", {}),
    ("half_up", math.floor, "online", {}),
    ("row_sum", plain.bit_short, "paper", {"alpha_entries": 0}),
    ("row_sum", plain.bit_short, "plus", {}), ("row_sum", plain.bit_short, "online", {}),
    ("online_sum", plain.one_sum, "online", {
        "partial_sums": 2, "lanes": 1, "out_bits": 4, "exp_guard_bits": 0,
        "sum_mantissa_bits": 6}),
    *(("table", plain.off_by("exponentials", number), "paper", {}) for number in range(7)),
    *(("table", plain.off_by("alpha", number), "paper", {}) for number in (1, 2, 3, 5, 15)),
    ("table", plain.off_by("exponentials", 8), "plus", {}),
    ("table", plain.off_by("exponentials", 9), "online", {}),
])
def test_a_fault_shows(monkeypatch, step, fault, preset, changes):
    config, parameters = made(preset, changes)
    monkeypatch.setattr(plain, step, fault)
    rows = plain.rows if step == "row_sum" or preset == "paper" else plain.long_rows
    assert plain.mismatch(config, expected(preset, parameters, rows))


@pytest.mark.parametrize("words", [
    {"exp_words": (255, 94, 35, 13, 5, 2, 0, 0)}, {"exp_words": (255, 94, 35, 12, 5, 2, 1, 0)},
    {"alpha_words": (255, 255, 128, 85, 64, 50, 43, 36, 32, 28, 26, 23, 21, 20, 18, 17)}])
def test_a_fault_in_the_unit_shows(words):
    """Words that are off by one in the unit's own table: the paper's are not these."""
    config, parameters = made("paper", {})
    wanted = expected("paper", parameters)
    assert plain.mismatch(config, wanted) is None
    assert plain.mismatch(made("paper", words)[0], wanted)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_fault_in_a_shared_table_shows(preset):
    config, parameters = made(preset, {})
    found = plain.tables_seen(config, expected(preset, parameters, plain.long_rows))
    assert found and all(found.values()), found

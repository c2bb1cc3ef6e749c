"""The model of the 2D LUT against a plain function by the paper and by its definition."""

import math
from fractions import Fraction
from types import SimpleNamespace

import pytest

import rtl
from sim.testing import plain
from sim.testing.plain_softmax import Exponents, looks_like

Lut2d = rtl.unit("softmax-lut2d")

# The published unit, and what the other presets change of it.
PAPER = {
    "bits": 8, "input_scale": 0.125, "out_bits": 8, "lanes": 8, "max_length": 512,
    "exp_step": 0.1, "exp_entries": 101, "exp_words": (), "exp_index": "truncate",
    "sum_index": "linear", "sum_rounding": "truncate", "sum_fraction_bits": 0,
    "sum_mantissa_bits": 0, "reference": "final", "code_fraction_bits": 0, "partial_sums": 1,
    "rows": 11, "row_index": "truncate", "row_spacing": "linear", "columns": 60,
    "sigma_words": ()}
FLOATING = {"exp_entries": 0, "exp_index": "round", "rows": 16, "row_index": "round",
            "row_spacing": "logarithmic", "columns": 0, "sum_index": "floating",
            "sum_mantissa_bits": 3}
PRESETS = {"paper": PAPER, "plus": {**PAPER, **FLOATING, "exp_step": 0.03125},
           "online": {**PAPER, **FLOATING, "reference": "running", "code_fraction_bits": 2}}


def by_the_paper(**parameters):
    """2D LUT of one row: LUT_sigma of the row of each exponential and the column of the sum."""
    p = SimpleNamespace(exp_guard_bits=0, **parameters)
    exponents = Exponents(p)
    one = (1 << p.out_bits) - 1
    levels = plain.table("levels", tuple(values_of_rows(p, one)))
    rows = {word: row_of(p, word, levels) for word in exponents.words}

    def softmax(x, mask):
        words, total = exponents(x, mask)
        if total == 0:
            return [0] * len(x)
        number, value = column(p, total, one)
        return [0 if m else sigma(p, rows[word], levels, number, value, one)
                for word, m in zip(words, mask, strict=True)]
    return softmax


def values_of_rows(p, one):
    """Exponentials that the rows stand for, 1 being the largest word.

    Equal steps as published, or 0 and equal ratios, over as many octaves as an output has bits
    below its first one, or as the rows but for the first and the last.
    """
    if p.row_spacing == "linear":
        return [Fraction(one * r, p.rows - 1) for r in range(p.rows)]
    octaves = min(p.out_bits - 1, p.rows - 2)
    steps = max(p.rows - 2, 1)
    return [Fraction(0), *(one * plain.two_to(Fraction(-octaves * (p.rows - 1 - r), steps))
                           for r in range(1, p.rows))]


def row_of(p, word, levels):
    """Row of an exponential: its top bits, the next lower row, or the nearest one."""
    if p.row_index == "truncate" and p.row_spacing == "linear":
        return word * (p.rows - 1) >> p.out_bits
    if p.row_index == "truncate":
        return max(r for r, level in enumerate(levels) if level <= word)
    # Of two rows that are as near the higher one.
    return min(range(p.rows), key=lambda r: (abs(levels[r] - word), -r))


def column(p, total, one):
    """Number of the sum's column, from 1 on with a linear index, and the value it stands for."""
    if p.sum_index == "floating":
        first, end = looks_like(total, p.sum_mantissa_bits)
        return None, max((first + end) / 2, 1 if p.reference == "running" else one)
    steps = 1 << p.sum_fraction_bits
    if p.sum_rounding == "truncate":
        number = (total * steps) >> p.out_bits
    else:
        # S / M is S / 2**w and a 2**w-th of that, but for what lies below the last place.
        number = plain.half_up(Fraction((total + (total >> p.out_bits)) * steps, 1 << p.out_bits))
    number = max(number, steps)
    if p.columns:
        number = min(number, p.columns)
    return number, Fraction(one * number, steps)


def sigma(p, row, levels, number, value, one):
    """LUT_sigma[row][column] = round(M * e / S), at most M."""
    if p.sigma_words:
        return p.sigma_words[row * (len(p.sigma_words) // p.rows) + number - 1]
    return min(plain.half_up(one * levels[row] / value), one)


def steep_words():
    return tuple(min(2 * r * (60 - c), 255) for r in range(11) for c in range(60))


CASES = [
    ("paper", {}), ("paper", {"lanes": 1, "columns": 5}), ("paper", {"input_scale": 0.3}),
    ("paper", {"out_bits": 15, "bits": 10, "input_scale": 0.01}),
    ("paper", {"out_bits": 4, "exp_entries": 48, "columns": 29}),
    ("paper", {"out_bits": 2, "exp_entries": 12, "columns": 8}),
    ("paper", {"exp_index": "round", "row_index": "round", "sum_rounding": "round"}),
    ("paper", {"sum_fraction_bits": 3, "columns": 0}), ("paper", {"row_spacing": "logarithmic"}),
    ("paper", {"sum_fraction_bits": 2, "sum_rounding": "round", "columns": 40, "rows": 2}),
    ("paper", {"exp_entries": 0, "exp_words": (255, 90, 30, 9, 0)}),
    ("paper", {"sigma_words": steep_words()}),
    ("plus", {}), ("plus", {"input_scale": 0.07}), ("plus", {"out_bits": 12, "lanes": 3}),
    ("plus", {"rows": 32, "sum_mantissa_bits": 6}), ("plus", {"row_index": "truncate"}),
    ("plus", {"row_spacing": "linear", "rows": 7}), ("plus", {"rows": 2}),
    *(("online", {"partial_sums": sums, **change}) for sums in (1, 2) for change in (
        {}, {"lanes": 1}, {"lanes": 3, "input_scale": 0.3}, {"input_scale": 0.013, "lanes": 2},
        {"input_scale": 3.7, "bits": 4, "lanes": 1}, {"out_bits": 13, "code_fraction_bits": 4},
        {"bits": 12, "input_scale": 0.004, "code_fraction_bits": 0, "lanes": 5})),
]


made, expected = plain.unit_and_paper(Lut2d, PRESETS, by_the_paper)


@pytest.mark.parametrize("preset, changes", CASES)
def test_by_the_paper(preset, changes):
    config, parameters = made(preset, changes)
    assert plain.mismatch(config, expected(preset, parameters)) is None


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_at_full_length(preset):
    config, parameters = made(preset, {"max_length": 512})
    assert plain.mismatch(config, expected(preset, parameters)) is None


def test_published_tables():
    """101 words of the exponent table, and 11 rows of 60 columns: 761 bytes."""
    p = SimpleNamespace(exp_guard_bits=0, **PAPER)
    words = Exponents(p).words
    assert len(words) == 101 and words[:4] == (255, 231, 209, 189) and words[-1] == 0
    levels = values_of_rows(p, 255)
    assert [sigma(p, r, levels, 1, Fraction(255), 255) for r in (0, 1, 5, 10)] == [0, 26, 128, 255]
    assert sigma(p, 10, levels, 60, Fraction(255 * 60), 255) == 4


# Faults that must show --------------------------------------------------------------------------

@pytest.mark.parametrize("step, fault, preset, changes", [
    ("half_up", math.floor, "paper", {}), ("half_up", math.floor, "plus", {}),
    ("half_up", math.floor, "online", {}),
    ("row_sum", plain.bit_short, "paper", {}), ("row_sum", plain.bit_short, "plus", {}),
    ("row_sum", plain.bit_short, "online", {}),
    ("online_sum", plain.one_sum, "online", {
        "partial_sums": 2, "lanes": 1, "out_bits": 4, "sum_mantissa_bits": 6}),
    *(("table", plain.off_by("exponentials", number), "paper", {}) for number in (1, 12, 23)),
    # Top bits of the largest word are those of row 9.
    *(("table", plain.off_by("levels", number), "paper", {}) for number in (1, 5, 9)),
    ("table", plain.off_by("levels", 10), "paper", {"row_index": "round"}),
    ("table", plain.off_by("exponentials", 0), "plus", {}),
    ("table", plain.off_by("levels", 15), "plus", {}),
    ("table", plain.off_by("exponentials", 0, 16), "online", {}),
    ("table", plain.off_by("levels", 14, 2), "online", {}),
])
def test_a_fault_shows(monkeypatch, step, fault, preset, changes):
    config, parameters = made(preset, changes)
    monkeypatch.setattr(plain, step, fault)
    rows = plain.rows if step != "online_sum" else plain.long_rows
    assert plain.mismatch(config, expected(preset, parameters, rows))


def test_a_fault_in_the_unit_shows():
    """Words that are off by one in the unit's own tables: the paper's are not these."""
    words = steep_words()
    _, parameters = made("paper", {"sigma_words": words})
    wanted = expected("paper", parameters)
    for number in (3 * 60, 10 * 60 + 1, 10 * 60 + 40):
        wrong = (*words[:number], words[number] + 1, *words[number + 1:])
        if words[number] < 255:
            assert plain.mismatch(made("paper", {"sigma_words": wrong})[0], wanted)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_fault_in_a_shared_table_shows(preset):
    config, parameters = made(preset, {})
    found = plain.tables_seen(config, expected(preset, parameters, plain.long_rows))
    assert found and all(found.values()), found

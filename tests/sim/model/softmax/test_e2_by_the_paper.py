"""The model of E2Softmax against plain functions: octave codes by the paper, input codes."""

import math
from fractions import Fraction
from types import SimpleNamespace

import pytest

import rtl
from sim.testing import plain
from sim.testing.plain_softmax import OctaveGrid, looks_like

E2 = rtl.unit("softmax-e2")

PAPER = {
    "bits": 8, "input_scale": 0.125, "out_bits": 8, "lanes": 8, "max_length": 512,
    "codes": "octave", "code_bits": 4, "code_fraction_bits": 0, "code_rounding": "round",
    "correction": "incremental", "sum_fraction_bits": 15, "divider_constants": 2,
    "partial_sums": 1, "output_rounding": "truncate"}
PLUS = {**PAPER, "codes": "input", "code_bits": 6, "code_fraction_bits": 2, "sum_fraction_bits": 8,
        "divider_constants": 0, "correction": "absolute", "output_rounding": "round"}
PRESETS = {"paper": PAPER, "plus": PLUS}


def by_the_paper(**parameters):
    p = SimpleNamespace(**parameters)
    return octave_codes(p) if p.codes == "octave" else input_codes(p)


def octave_codes(p):
    """E2Softmax of one row by the paper; codes are octaves."""
    # 1/ln 2 is 1 + 1/2 - 1/16; with a scale that is no power of two, to ten significant bits.
    factor = Fraction(p.input_scale) * Fraction(23, 16)
    if math.frexp(p.input_scale)[0] != 0.5:
        factor = plain.significant(factor, 10)
    top = (1 << p.code_bits) - 1
    constants = plain.table("constants", tuple(constants_of(p.divider_constants)))

    def log2exp(distance):
        return plain.rounded(distance * factor, p.code_rounding)

    def position(x):
        # Absolute codes are those of the logits themselves: their differences telescope.
        return x if p.correction == "incremental" else log2exp(x)

    def code(distance):
        return min(log2exp(distance) if p.correction == "incremental" else distance, top)

    def softmax(x, mask):
        if all(mask):
            return [0] * len(x)
        maximum, seen, sums = None, [], []
        for beat in plain.beats_of(x, mask, p.lanes):
            before, live = maximum, [position(v) for v, alive in beat if alive]
            if live:
                maximum = max(live if before is None else [before, *live])
            codes = [code(maximum - position(v)) if alive else None for v, alive in beat]
            added = sum((1 << p.sum_fraction_bits) >> k for k in codes if k is not None)
            sums.append((added, 0 if before is None else code(maximum - before)))
            seen.append((codes, maximum))
        total = plain.row_sum(plain.online_sum(sums, p.partial_sums),
                              len(x) << p.sum_fraction_bits)
        place = plain.leading_one(total)
        bits = p.divider_constants.bit_length() - 1
        constant = constants[((total << bits) >> place) - (1 << bits)]
        y = []
        for codes, at in seen:
            for k in codes:
                if k is None:
                    y.append(0)
                    continue
                octaves = min(k + code(maximum - at), top) + place - p.sum_fraction_bits
                y.append(plain.rounded(constant * Fraction(2) ** (p.out_bits - 16 - octaves),
                                       p.output_rounding))
        return y
    return softmax


def constants_of(count):
    """Constants of the division, of 16 fraction bits: two as published, or means of 1/(1 + s)."""
    if count == 2:
        exact = [Fraction("0.818"), Fraction("0.568")]
    else:
        exact = [count * plain.LN2 * plain.log2(Fraction(count + j + 1, count + j))
                 for j in range(count)]
    return [plain.half_up(c * (1 << 16)) for c in exact]


def input_codes(p):
    """E2Softmax of one row with codes in steps of the input, to a reference on whole octaves."""
    grid = OctaveGrid(p.bits, p.input_scale, p.code_fraction_bits, p.code_rounding)
    g, top = grid.per_octave, (1 << p.code_bits) - 1
    # 1.0 is one less than a power of two.
    one = (1 << p.sum_fraction_bits) - 1
    terms = plain.table("terms", tuple(plain.half_up(one * plain.two_to(-k / g))
                                       for k in range(top)) + (0,))
    words = {}

    def output(u):
        if u not in words:
            words[u] = min(plain.rounded((1 << p.out_bits) * plain.two_to(-u / g),
                                         p.output_rounding), (1 << p.out_bits) - 1)
        return words[u]

    def softmax(x, mask):
        if all(mask):
            return [0] * len(x)
        seen = grid.first_pass(plain.beats_of(x, mask, p.lanes))
        total = plain.online_sum([(sum(terms[min(k, top)] for k in own), rise)
                                  for own, rise, _ in seen], p.partial_sums)
        first, end = looks_like(plain.row_sum(total, len(x) * one), p.code_fraction_bits + 2)
        log = plain.half_up(g * plain.log2((first + end) / 2 / one))
        # The top code stands for 0, and so does what comes to it once the reference has risen.
        y = iter([output(k + late + log) if k + late < top else 0
                  for own, _, late in seen for k in own])
        return [0 if m else next(y) for m in mask]
    return softmax


SCALES = ({}, {"lanes": 1}, {"lanes": 3, "input_scale": 0.3}, {"lanes": 2, "input_scale": 0.013},
          {"bits": 4, "input_scale": 3.7, "lanes": 1}, {"bits": 12, "input_scale": 0.004},
          {"out_bits": 14, "lanes": 5})
CASES = [
    *((preset, {"partial_sums": sums, **change}) for sums in (1, 2) for preset in PRESETS
      for change in SCALES),
    *(("paper", {"correction": "absolute", "partial_sums": sums, **change})
      for sums in (1, 2) for change in SCALES[:3]),
    ("paper", {"divider_constants": 4, "out_bits": 16}), ("paper", {"code_rounding": "truncate"}),
    ("paper", {"divider_constants": 8, "output_rounding": "round"}),
    ("paper", {"sum_fraction_bits": 4, "code_bits": 5}), ("paper", {"code_bits": 2}),
    ("plus", {"code_bits": 9, "code_fraction_bits": 4, "out_bits": 16}),
    ("plus", {"code_bits": 3, "code_fraction_bits": 0, "lanes": 1}),
    ("plus", {"code_rounding": "truncate", "input_scale": 0.01}),
    ("plus", {"output_rounding": "truncate", "sum_fraction_bits": 20}),
    ("plus", {"bits": 7, "input_scale": 1.3980881177578377, "code_fraction_bits": 3,
              "code_bits": 7, "lanes": 1})]


made, expected = plain.unit_and_paper(E2, PRESETS, by_the_paper)


@pytest.mark.parametrize("preset, changes", CASES)
def test_by_the_paper(preset, changes):
    config, parameters = made(preset, changes)
    assert plain.mismatch(config, expected(preset, parameters)) is None


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_at_full_length(preset):
    config, parameters = made(preset, {"max_length": 512})
    assert plain.mismatch(config, expected(preset, parameters)) is None


# Faults that must show --------------------------------------------------------------------------

@pytest.mark.parametrize("step, fault, preset, changes", [
    ("half_up", math.floor, "paper", {}), ("half_up", math.floor, "plus", {}),
    ("row_sum", plain.bit_short, "paper", {}), ("row_sum", plain.bit_short, "plus", {}),
    ("online_sum", plain.one_sum, "plus", {
        "partial_sums": 2, "lanes": 1, "sum_fraction_bits": 4}),
    *(("table", plain.off_by("terms", number), "plus", {"sum_fraction_bits": 4})
      for number in (0, 5)),
    *(("table", plain.off_by("constants", number), "paper", {"out_bits": 16})
      for number in range(2)),
])
def test_a_fault_shows(monkeypatch, step, fault, preset, changes):
    config, parameters = made(preset, changes)
    monkeypatch.setattr(plain, step, fault)
    rows = plain.rows if step == "row_sum" else plain.long_rows
    assert plain.mismatch(config, expected(preset, parameters, rows))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_fault_in_a_shared_table_shows(preset):
    config, parameters = made(preset, {"sum_fraction_bits": 4})
    found = plain.tables_seen(config, expected(preset, parameters, plain.long_rows))
    assert found and all(found.values()), found

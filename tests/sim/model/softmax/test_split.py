"""The model of the split softmax against a plain function by A3 and by its definition."""

import math
from fractions import Fraction
from types import SimpleNamespace

import pytest

import rtl
from sim.testing import plain

Split = rtl.unit("softmax-split")

PAPER = {"bits": 8, "input_scale": 0.125, "out_bits": 8, "lanes": 8, "max_length": 512,
         "guard_bits": 0, "order": "weight", "reciprocal": "divider"}
PRESETS = {"paper": PAPER,
           "plus": {**PAPER, "guard_bits": 2, "order": "lazy", "reciprocal": "table"}}


def exponentials(p):
    """Exponential of each distance: e**(a + b) = e**a * e**b, of upper and of lower bits.

    Both tables have three bits more than the product, which is rounded. Where it would rise from
    one segment to the next, the upper word is lowered until it does not.
    """
    fraction = p.out_bits + p.guard_bits
    finer = fraction + 3
    low_bits = p.bits // 2
    scale = Fraction(p.input_scale)

    def product(a, b):
        return plain.half_up(Fraction(a * b, 1 << 2 * finer - fraction))

    low = plain.table("low", tuple(plain.half_up(plain.e_to(-i * scale) * (1 << finer))
                                   for i in range(1 << low_bits)))
    high = []
    for i in range(1 << p.bits - low_bits):
        word = plain.half_up(plain.e_to(-i * scale * (1 << low_bits)) * (1 << finer))
        while high and product(word, low[0]) > product(high[-1], low[-1]):
            word -= 1
        high.append(word)
    high = plain.table("high", tuple(high))
    return [product(a, b) for a in high for b in low]


def by_the_paper(**parameters):
    """Split softmax of one row."""
    p = SimpleNamespace(**parameters)
    words = exponentials(p)
    fraction, bits = p.out_bits + p.guard_bits, p.out_bits + 2
    most = (1 << p.out_bits) - 1

    def softmax(x, mask):
        if all(mask):
            return [0] * len(x)
        top = max(v for v, m in zip(x, mask, strict=True) if not m)
        e = [0 if m else words[top - v] for v, m in zip(x, mask, strict=True)]
        total = plain.row_sum(sum(e), len(x) << fraction)
        if p.order == "weight":
            return [min(plain.half_up(Fraction(v << p.out_bits, total)), most) for v in e]
        # The sum's leading bits, cut off, and one division a row, rounded down.
        place = plain.leading_one(total)
        mantissa = (total << bits) >> place
        factor = math.floor(Fraction(1 << 2 * bits, mantissa))
        return [min(plain.half_up(Fraction(v * factor, 1 << bits + place - p.out_bits)), most)
                for v in e]
    return softmax


CASES = [(preset, change) for preset in PRESETS for change in (
    {}, {"lanes": 1}, {"input_scale": 0.3}, {"input_scale": 0.013}, {"bits": 5, "input_scale": 1},
    {"bits": 10, "input_scale": 0.01, "out_bits": 12}, {"input_scale": 0.0625, "guard_bits": 8},
    {"out_bits": 4, "guard_bits": 0}, {"bits": 2, "input_scale": 0.7, "max_length": 4},
    {"input_scale": 1e-9}, {"input_scale": 7.0}, {"max_length": 1})]
CASES += [("plus", {"reciprocal": "divider", "out_bits": 16, "bits": 9})]


made, expected = plain.unit_and_paper(Split, PRESETS, by_the_paper)


@pytest.mark.parametrize("preset, changes", CASES)
def test_by_the_paper(preset, changes):
    config, parameters = made(preset, changes)
    assert plain.mismatch(config, expected(preset, parameters)) is None


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_at_full_length(preset):
    config, parameters = made(preset, {"max_length": 512})
    assert plain.mismatch(config, expected(preset, parameters)) is None


# Faults that must show --------------------------------------------------------------------------

@pytest.mark.parametrize("step, fault, preset", [
    ("half_up", math.floor, "paper"), ("half_up", math.floor, "plus"),
    ("row_sum", plain.bit_short, "paper"), ("row_sum", plain.bit_short, "plus"),
    *(("table", plain.off_by(name, number, 8), "plus") for name in ("low", "high")
      for number in (0, 1, 2))])
def test_a_fault_shows(monkeypatch, step, fault, preset):
    config, parameters = made(preset, {"input_scale": 0.0625, "guard_bits": 0})
    wanted = expected(preset, parameters)
    assert plain.mismatch(config, wanted) is None
    monkeypatch.setattr(plain, step, fault)
    assert plain.mismatch(config, expected(preset, parameters))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_fault_in_a_shared_table_shows(preset):
    config, parameters = made(preset, {})
    found = plain.tables_seen(config, expected(preset, parameters, plain.long_rows))
    assert found and all(found.values()), found

"""The model of Softermax against a plain function by the paper."""

import math
from fractions import Fraction
from types import SimpleNamespace

import pytest

import rtl
from sim.testing import plain

Softermax = rtl.unit("softmax-softermax")

# Table I of the paper: Q(6,2) in, Q(1,15) unnormalised, Q(10,6) sum, Q(1,7) reciprocal and output.
PAPER = {
    "bits": 8, "input_scale": 0.125, "out_bits": 8, "lanes": 8, "max_length": 512,
    "position_fraction_bits": 2, "exp_fraction_bits": 15, "sum_fraction_bits": 6,
    "reciprocal_fraction_bits": 7, "reciprocal_segments": 4, "partial_sums": 1}
PRESETS = {"paper": PAPER, "plus": {**PAPER, "position_fraction_bits": 4, "sum_fraction_bits": 15,
                                    "reciprocal_fraction_bits": 12, "reciprocal_segments": 16}}


def by_the_paper(**parameters):
    """Softermax of one row, with logits worth ``input_scale`` brought to powers of two before."""
    p = SimpleNamespace(**parameters)
    steps = 1 << p.position_fraction_bits
    # Twelve significant bits of the factor from logits to fractions of an octave.
    factor = plain.significant(Fraction(p.input_scale) / plain.LN2 * steps, 12)
    powers = plain.table("powers", tuple(
        plain.half_up(plain.two_to(Fraction(i, steps)) * (1 << p.exp_fraction_bits))
        for i in range(steps)))
    # Ends of the segments with two bits more than a reciprocal.
    ends = plain.table("ends", tuple(
        plain.half_up(Fraction((4 << p.reciprocal_fraction_bits) * p.reciprocal_segments,
                               p.reciprocal_segments + j))
        for j in range(p.reciprocal_segments + 1)))

    def softmax(x, mask):
        if all(mask):
            return [0] * len(x)
        maximum, seen, sums = None, [], []
        for beat in plain.beats_of(x, mask, p.lanes):
            positions = [plain.half_up(v * factor) for v, _ in beat]
            live = [q for q, (_, alive) in zip(positions, beat, strict=True) if alive]
            before = maximum
            if live:
                # IntMax: the maximum of the integers that positions are rounded up to.
                largest = -(-max(live) // steps)
                maximum = largest if maximum is None else max(maximum, largest)
            u = [powers[q % steps] >> maximum - q // steps if alive else 0
                 for q, (_, alive) in zip(positions, beat, strict=True)]
            dropped = p.exp_fraction_bits - p.sum_fraction_bits
            sums.append((sum(u) >> dropped, 0 if before is None else maximum - before))
            seen.append((u, maximum))
        total = plain.row_sum(plain.online_sum(sums, p.partial_sums),
                              len(x) << p.sum_fraction_bits)
        r, place = reciprocal(p, total, ends), plain.leading_one(total)
        # u / 2**e times R / 2**r over 2**place, in outputs of which 2**(w - 1) are 1.
        scale = Fraction(2) ** (p.out_bits - 1 - p.exp_fraction_bits - p.reciprocal_fraction_bits
                                + p.sum_fraction_bits - place)
        return [min(plain.half_up((v >> maximum - at if at is not None else 0) * r * scale),
                    1 << p.out_bits - 1)
                for u, at in seen for v in u]
    return softmax


def reciprocal(p, total, ends):
    """Reciprocal of the sum over its leading one, linear within a segment, rounded.

    Of the sum it looks at one bit more below the leading one than the reciprocal has.
    """
    most = (p.max_length << p.sum_fraction_bits).bit_length() - 1
    bits = min(p.reciprocal_fraction_bits + 1, most)
    mantissa = ((total << bits) >> plain.leading_one(total)) - (1 << bits)
    at = Fraction(mantissa * p.reciprocal_segments, 1 << bits)
    j = math.floor(at)
    return plain.half_up((ends[j] - (ends[j] - ends[j + 1]) * (at - j)) / 4)


CASES = [
    *((preset, {"partial_sums": sums, **change}) for sums in (1, 2) for preset in PRESETS
      for change in (
          {}, {"lanes": 1}, {"lanes": 3, "input_scale": 0.3}, {"input_scale": 0.013, "lanes": 2},
          {"input_scale": 0.17328679513998632, "lanes": 5}, {"input_scale": 3.7, "bits": 4},
          {"bits": 12, "input_scale": 0.004, "lanes": 1}, {"out_bits": 12, "lanes": 1})),
    ("paper", {"sum_fraction_bits": 15}), ("paper", {"exp_fraction_bits": 8, "lanes": 2}),
    ("paper", {"position_fraction_bits": 0}), ("plus", {"position_fraction_bits": 6}),
    ("plus", {"max_length": 1}), ("paper", {"max_length": 2, "reciprocal_segments": 2}),
    ("paper", {"sum_fraction_bits": 2, "reciprocal_fraction_bits": 4, "reciprocal_segments": 8}),
    ("plus", {"reciprocal_fraction_bits": 16, "out_bits": 16}), ("paper", {"input_scale": 1e-9}),
]


made, expected = plain.unit_and_paper(Softermax, PRESETS, by_the_paper)


@pytest.mark.parametrize("preset, changes", CASES)
def test_by_the_paper(preset, changes):
    config, parameters = made(preset, changes)
    assert plain.mismatch(config, expected(preset, parameters)) is None


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_at_full_length(preset):
    config, parameters = made(preset, {"max_length": 512})
    assert plain.mismatch(config, expected(preset, parameters)) is None


def test_outputs_of_as_many_bits_as_the_product():
    """One bit more is refused."""
    changes = {"exp_fraction_bits": 6, "sum_fraction_bits": 2, "reciprocal_fraction_bits": 4,
               "max_length": 8}
    most = rtl.unit("softmax-softermax")(**changes).output_shift + 8
    config, parameters = made("paper", {**changes, "out_bits": most})
    assert plain.mismatch(config, expected("paper", parameters)) is None
    with pytest.raises(rtl.ConfigError, match=rf"^Parameter out_bits must be at most {most}, "):
        rtl.unit("softmax-softermax")(**changes, out_bits=most + 1)


# Faults that must show --------------------------------------------------------------------------

@pytest.mark.parametrize("step, fault, preset, changes", [
    ("half_up", math.floor, "paper", {}), ("half_up", math.floor, "plus", {}),
    ("row_sum", plain.bit_short, "paper", {}), ("row_sum", plain.bit_short, "plus", {}),
    ("online_sum", plain.one_sum, "paper", {"partial_sums": 2, "lanes": 1}),
    *(("table", plain.off_by("powers", number, 4), "plus", {"out_bits": 16})
      for number in range(0, 15, 3)),
    *(("table", plain.off_by("ends", number, 4), "paper", {"out_bits": 12})
      for number in range(5)),
])
def test_a_fault_shows(monkeypatch, step, fault, preset, changes):
    config, parameters = made(preset, changes)
    monkeypatch.setattr(plain, step, fault)
    rows = plain.rows if step != "online_sum" else plain.long_rows
    assert plain.mismatch(config, expected(preset, parameters, rows))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_fault_in_a_shared_table_shows(preset):
    config, parameters = made(preset, {"out_bits": 14})
    found = plain.tables_seen(config, expected(preset, parameters, plain.long_rows))
    assert found and all(found.values()), found

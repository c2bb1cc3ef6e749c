"""REXP: its tables, the published traps and their repair."""

import dataclasses

import numpy as np
import pytest

import rtl
from rtl import UnitConfig
from sim import model
from sim.testing.refusal import refused

REXP = rtl.unit("softmax-rexp")

ROUNDED = {"exp_index": "round", "sum_rounding": "round"}


def real(config, x):
    """Outputs of one row as real numbers."""
    return model.run(config, np.asarray(x)) * config.output_scale


# Tables ------------------------------------------------------------------------------------------

def test_published_tables():
    config = REXP.preset("paper")
    assert config.exponentials == (255, 94, 35, 13, 5, 2, 1, 0)
    assert config.alphas == (255, 255, 128, 85, 64, 51, 43, 36, 32, 28, 26, 23, 21, 20, 18, 17)


@pytest.mark.parametrize("out_bits, entries", [(15, 13), (8, 8), (4, 5), (2, 3)])
def test_published_sizes(out_bits, entries):
    config = REXP.preset("paper", out_bits=out_bits)
    assert config.entries == entries
    assert config.exponentials[-1] == 0 < config.exponentials[-2]


def test_output_of_fifteen_bits_is_an_int16():
    config = REXP.preset("paper", out_bits=15)
    assert config.output_scale == 1 / 32767
    assert model.run(config, np.array([5])).tolist() == [32767]


def test_a_fine_table_runs_out():
    config = REXP.preset("paper", exp_step=1 / 32)
    assert config.exponentials[-1] == 0 < config.exponentials[-2]


def test_exact_scaling_is_rounded_division():
    for w in range(2, 13):
        one = (1 << w) - 1
        p = np.unique(np.r_[np.arange(min(one * one, 100_000) + 1),
                            np.linspace(0, one * one, 100_000).astype(np.int64)])
        assert np.array_equal(((p + (1 << (w - 1))) * ((1 << w) + 1)) >> (2 * w),
                              (2 * p + one) // (2 * one))


# Parameters --------------------------------------------------------------------------------------

@pytest.mark.parametrize("parameters, message", [
    ({"exp_entries": 1}, "Parameter exp_entries must be 0 or at least 2, not 1"),
    ({"exp_step": 1e-6}, "Parameter exp_step must be large enough for a table of 1024 entries to "
                         "run out, not 1e-06"),
    ({"exp_words": (255, 0), "exp_entries": 2},
     "Parameter exp_entries must be 0 where exp_words gives the table, not 2"),
    ({"exp_words": (1,)}, "Parameter exp_words must be a list of 2..1024 words, not (1,)"),
    ({"exp_words": (256, 0)}, "Parameter exp_words must be a list of words of at most 255, "
                              "not (256, 0)"),
    ({"exp_words": (0, 0)},
     "Parameter exp_words must be a list of words that are not all 0, not (0, 0)"),
    ({"exp_words": (3, 4)}, "Parameter exp_words must be a list of words that do not rise, "
                            "not (3, 4)"),
    ({"exp_words": "x"}, "Parameter exp_words must be a list of integers of at least 0, or a file "
                         "of them, not 'x'"),
    ({"alpha_words": (1,)}, "Parameter alpha_words must be a list of 16 words, not (1,)"),
    ({"alpha_words": (256,), "alpha_entries": 1},
     "Parameter alpha_entries must be 0 or at least 2 for 0 fraction bits, not 1"),
    ({"alpha_words": (256, 0), "alpha_entries": 2},
     "Parameter alpha_words must be a list of words of at most 255, not (256, 0)"),
    ({"sum_fraction_bits": 4}, "Parameter alpha_entries must be 0 or at least 17 for 4 fraction "
                               "bits, not 16"),
    ({"sum_fraction_bits": 4, "out_bits": 4}, "Parameter sum_fraction_bits must be at most 3 for 4 "
                                              "output bits, not 4"),
    ({"sum_fraction_bits": 4, "alpha_entries": 0},
     "Parameter alpha_entries must be 1..4096, where the longest row needs 8161, not 0"),
    ({"sum_mantissa_bits": 2}, "Parameter sum_mantissa_bits must be 0 for a linear index, not 2"),
    ({"exp_guard_bits": 2}, "Parameter exp_guard_bits must be 0 for a linear index, not 2"),
    ({"sum_index": "floating"},
     "Parameter sum_mantissa_bits must be at least 1 for a floating index, not 0"),
    ({"sum_index": "floating", "sum_mantissa_bits": 4},
     "Parameter alpha_entries must be 0 for a floating index, not 16"),
    ({"sum_index": "floating", "sum_mantissa_bits": 4, "sum_rounding": "round"},
     "Parameter sum_rounding must be truncate for a floating index, not 'round'"),
    ({"sum_index": "floating", "sum_mantissa_bits": 4, "sum_fraction_bits": 1},
     "Parameter sum_fraction_bits must be 0 for a floating index, not 1"),
    ({"sum_index": "floating", "sum_mantissa_bits": 4, "alpha_entries": 0, "scaling": "cheap"},
     "Parameter scaling must be exact for a floating index, not 'cheap'"),
    ({"reference": "running", "exp_step": 0.03125},
     "Parameter sum_index must be floating for a running reference, not 'linear'"),
    ({"reference": "running", "exp_step": 0.5},
     "Parameter exp_step must be 0.03125, as it says nothing, for a running reference, not 0.5"),
    ({"reference": "running", "exp_step": 0.03125, "exp_entries": 9},
     "Parameter exp_entries must be 0 for a running reference, not 9"),
    ({"reference": "running", "exp_step": 0.03125, "exp_words": (9, 0)},
     "Parameter exp_words must be empty for a running reference, not (9, 0)"),
    ({"reference": "running", "exp_step": 0.03125, "sum_index": "floating", "input_scale": 17.0},
     "Parameter input_scale must be at most 16 for a running reference, not 17.0"),
    ({"code_fraction_bits": 2},
     "Parameter code_fraction_bits must be 0 for the final maximum, not 2"),
    ({"pipeline": "deep"}, "Parameter pipeline must be short for the final maximum, not 'deep'"),
    ({"partial_sums": 2}, "Parameter partial_sums must be 1 for the final maximum, not 2"),
])
def test_refused(parameters, message):
    with refused(message):
        REXP.preset("paper", **parameters)


def test_words_in_files_and_names(tmp_path):
    config = REXP.preset("paper", exp_words=[255, 128, 3, 0])
    assert UnitConfig.from_toml(config.to_toml()) == config
    assert UnitConfig.from_json(config.to_json()) == config
    other = REXP.preset("paper", exp_words=[255, 128, 2, 0])
    assert config.name != other.name != REXP.preset("paper").name
    kind = REXP.parameters()["exp_words"].metadata["kind"]
    for text in "255 128\n3, 0\n", "[255, 128, 3, 0]":
        (tmp_path / "words").write_text(text)
        assert kind.normalise(kind.parse(str(tmp_path / "words"))) == config.exp_words
    for text in "1 x", "[1", "{}":
        (tmp_path / "words").write_text(text)
        with pytest.raises(ValueError):
            kind.normalise(kind.parse(str(tmp_path / "words")))
    with pytest.raises(ValueError):
        kind.parse(str(tmp_path / "none"))


# Traps of the published method, and what repairs them --------------------------------------------

PLUS = REXP.preset("plus", max_length=1024)


def test_two_equal_maxima():
    row = np.full(64, -128)
    row[:2] = 127
    assert real(REXP.preset("paper"), row)[:2].tolist() == [1.0, 1.0]
    assert real(REXP.preset("paper", **ROUNDED), row).sum() == pytest.approx(1.004, abs=1e-3)
    assert real(PLUS, row).sum() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("length, total, repaired", [(64, 4.267, 1.0), (256, 17.07, 1.0)])
def test_rows_longer_than_the_table(length, total, repaired):
    row = np.zeros(length, np.int64)
    assert real(REXP.preset("paper", max_length=1024), row).sum() == pytest.approx(total, abs=0.01)
    whole = REXP.preset("paper", max_length=1024, alpha_entries=0, **ROUNDED)
    assert real(whole, row).sum() == pytest.approx(repaired, abs=0.01)
    assert real(PLUS, row).sum() == pytest.approx(repaired, abs=0.01)


def test_flat_long_rows_need_wider_outputs():
    row = np.zeros(1024, np.int64)
    assert real(PLUS, row).sum() == 0
    wide = dataclasses.replace(PLUS, out_bits=16)
    assert real(wide, row).sum() == pytest.approx(1.0, abs=0.02)


def test_steps_of_the_sum():
    """A sum between 1 and 1.5 counts as 1, unless the steps are finer."""
    row = np.r_[100, np.full(7, 76)]
    exact = 1 / (1 + 7 * np.exp(-3.0))
    assert real(REXP.preset("paper", **ROUNDED), row)[0] - exact > 0.2
    fine = REXP.preset("paper", sum_fraction_bits=4, alpha_entries=0, max_length=64, **ROUNDED)
    assert abs(real(fine, row)[0] - exact) < 0.03
    assert abs(real(PLUS, row)[0] - exact) < 0.03


def test_masked_tail_is_not_there():
    random = np.random.default_rng(3)
    x = random.integers(-60, 60, 100)
    mask = np.arange(100) >= 40
    for config in REXP.preset("paper"), PLUS:
        y = model.run(config, x, mask)
        assert y[:40].tolist() == model.run(config, x[:40]).tolist()
        assert not y[40:].any()

"""2D LUT: its tables, the published traps and their repair."""

import numpy as np
import pytest

import rtl
from rtl import UnitConfig
from rtl.softmax.sigma_table import places
from sim import model
from sim.testing.pysim import run_rows
from sim.testing.refusal import refused

LUT2D = rtl.unit("softmax-lut2d")

ROUNDED = {"exp_index": "round", "row_index": "round", "sum_rounding": "round"}


def real(config, x):
    """Outputs of one row as real numbers."""
    return model.run(config, np.asarray(x)) * config.output_scale


# Tables ------------------------------------------------------------------------------------------

def test_published_tables_take_761_bytes():
    config = LUT2D.preset("paper")
    assert len(config.exponentials) == 101
    assert (len(config.sigma), len(config.sigma[0])) == (11, 60)
    words = [*config.exponentials, *(word for row in config.sigma for word in row)]
    assert len(bytes(words)) == 761


def test_contents():
    config = LUT2D.preset("paper")
    assert config.exponentials[:4] == (255, 231, 209, 189)
    assert [row[0] for row in config.sigma] == [0, 26, 51, 77, 102, 128, 153, 179, 204, 230, 255]
    assert config.sigma[10][1:5] == (128, 85, 64, 51)


@pytest.mark.parametrize("count", range(1, 32))
def test_places_of_words(count):
    found = places(count)
    assert len(set(found)) == count
    assert max(found) < (16 if count <= 16 else 32)


# Parameters --------------------------------------------------------------------------------------

@pytest.mark.parametrize("parameters, message", [
    ({"columns": 3, "sum_fraction_bits": 2},
     "Parameter columns must be 0 or at least 4 for 2 fraction bits, not 3"),
    ({"columns": 0, "sum_fraction_bits": 2},
     "Parameter columns must be 1..1024, where the longest row needs 2040, not 0"),
    ({"sum_index": "floating", "sum_mantissa_bits": 2},
     "Parameter columns must be 0 for a floating index, not 60"),
    ({"rows": 2, "columns": 1, "sigma_words": (0,)},
     "Parameter sigma_words must be a list of 2 words, not (0,)"),
    ({"rows": 2, "columns": 1, "sigma_words": (0, 256)},
     "Parameter sigma_words must be a list of words of at most 255, not (0, 256)"),
    ({"rows": 2, "columns": 1, "sigma_words": (1, 2)},
     "Parameter sigma_words must be a list that starts with a row of zeros, not (1, 2)"),
    ({"rows": 3, "columns": 1, "sigma_words": (0, 2, 1)},
     "Parameter sigma_words must be a list of rows that do not fall, not (0, 2, 1)"),
])
def test_refused(parameters, message):
    with refused(message):
        LUT2D.preset("paper", **parameters)


def test_words_in_files():
    config = LUT2D.preset("paper", rows=2, columns=1, row_index="round", sigma_words=[0, 99])
    assert UnitConfig.from_toml(config.to_toml()) == config
    assert real(config, [1, 1]).tolist() == [99 / 255] * 2


# Traps of the published method, and what repairs them --------------------------------------------

PLUS = LUT2D.preset("plus", max_length=1024)


def test_two_equal_maxima():
    row = np.full(64, -128)
    row[:2] = 127
    # The largest exponential does not reach the last row, nor their sum the second column.
    assert real(LUT2D.preset("paper"), row).sum() == pytest.approx(1.804, abs=1e-3)
    assert real(LUT2D.preset("paper", **ROUNDED), row).sum() == pytest.approx(1.004, abs=1e-3)
    assert real(PLUS, row).sum() == pytest.approx(1.0, abs=0.08)


@pytest.mark.parametrize("length, total", [(128, 2.008), (256, 4.016), (1024, 16.06)])
def test_rows_longer_than_the_table(length, total):
    row = np.zeros(length, np.int64)
    config = LUT2D.preset("paper", max_length=1024, **ROUNDED)
    assert real(config, row).sum() == pytest.approx(total, abs=0.01)
    if length <= 256:
        whole = LUT2D.preset("paper", max_length=1024, columns=0, **ROUNDED)
        assert real(whole, row).sum() == pytest.approx(1.004, abs=0.01)
        assert real(PLUS, row).sum() == pytest.approx(1.0, abs=0.08)
    wide = LUT2D.preset("plus", max_length=1024, out_bits=16)
    assert real(wide, row).sum() == pytest.approx(1.0, abs=0.08)


def test_coarse_scales_end_in_zero():
    """The last of 101 entries is 0, so that far elements weigh nothing."""
    row = np.r_[127, np.full(63, -128)]
    for config in LUT2D.preset("paper", **ROUNDED), PLUS:
        assert real(config, row).tolist() == [1.0] + [0.0] * 63


def test_masked_tail_is_not_there():
    random = np.random.default_rng(3)
    x = random.integers(-60, 60, 100)
    mask = np.arange(100) >= 40
    for config in LUT2D.preset("paper"), PLUS:
        y = model.run(config, x, mask)
        assert y[:40].tolist() == model.run(config, x[:40]).tolist()
        assert not y[40:].any()


def test_rows_that_no_exponential_reaches():
    """Two truncated rows: every element has row 0, and a code of no place."""
    config = LUT2D.preset("online", rows=2, row_index="truncate", row_spacing="linear",
                          sigma_memory="lut", lanes=2, max_length=4)
    assert not any(config.row_numbers)
    rows = [np.array([3, -9, 100]), np.array([-128])]
    got, _ = run_rows(config.create(), rows, [np.zeros(len(x), bool) for x in rows])
    assert got == [model.run(config, x).tolist() for x in rows] == [[0, 0, 0], [0]]

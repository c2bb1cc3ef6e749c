"""Mean errors that the commands print: measured again, and told of what they were measured of."""

import json

import pytest

import rtl
from rtl import measured
from sim.report import mean_errors

STORED = json.loads(measured.FILE.read_text())
PRESETS = [(unit, preset) for unit in rtl.units() for preset in rtl.unit(unit).PRESETS]


def test_every_preset_is_stored():
    assert [(unit, preset) for unit, errors in STORED.items() for preset in errors] == PRESETS


@pytest.mark.parametrize("unit, preset", PRESETS)
def test_measured_again(unit, preset):
    config = rtl.unit(unit).preset(preset)
    assert measured.mean_error(config) == STORED[unit][preset] == mean_errors.mean_error(config)


def test_other_parameters_have_no_figure():
    cls = rtl.unit("softmax-e2")
    assert measured.mean_error(cls(lanes=3, max_length=9)) == STORED["softmax-e2"]["plus"]
    assert measured.mean_error(cls(sum_fraction_bits=9)) is None
    assert measured.mean_error(cls(bits=9)) is None


def test_the_default_errs_least():
    """Of the presets of a softmax unit."""
    for unit, errors in STORED.items():
        if unit.startswith("softmax-"):
            assert next(iter(errors.values())) == min(errors.values()), unit

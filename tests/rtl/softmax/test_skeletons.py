"""Skeletons of the softmax units: which one a configuration uses, and methods as plain objects."""

import numpy as np
import pytest

import rtl
from rtl.softmax.online import OnlineDatapath
from rtl.softmax.two_pass import TwoPassDatapath
from rtl.stream.row_unit import RowUnit
from sim import model
from sim.testing.pysim import random_rows, run_rows

PRESETS = [(name, preset) for name in rtl.units() if name.startswith("softmax-")
           for preset in rtl.unit(name).PRESETS]


@pytest.mark.parametrize("name, preset", PRESETS)
def test_skeleton_follows_from_the_reference(name, preset):
    config = rtl.unit(name).preset(preset)
    assert config.skeleton is (OnlineDatapath if config.running else TwoPassDatapath)
    assert config.passes == (1 if config.running else 2)


@pytest.mark.parametrize("name, preset, parameters", [
    *((name, preset, {}) for name, preset in PRESETS),
    *(("softmax-lut2d", preset, {"sigma_memory": "lut"}) for preset in ("plus", "online")),
])
def test_a_method_makes_hardware_twice(name, preset, parameters):
    """A method holds no state: two datapaths that are given the same one are both whole."""
    config = rtl.unit(name).preset(preset, lanes=2, max_length=6, **parameters)
    rows, masks = random_rows(config, 4, np.random.default_rng(8))
    expected = [model.run(config, x, mask).tolist() for x, mask in zip(rows, masks, strict=True)]
    method = config.method
    for _ in range(2):
        unit = RowUnit(config, config.skeleton(config, method))
        assert run_rows(unit, rows, masks)[0] == expected

"""Skeletons of the softmax units: which one a configuration uses, and methods as plain objects."""

import numpy as np
import pytest

import rtl
from rtl.softmax.online import OnlineDatapath
from rtl.softmax.two_pass import TwoPassDatapath
from rtl.stream.row_unit import RowUnit
from sim import model
from sim.bench.rows import Rows
from sim.stimuli.row_fields import with_fields
from sim.testing.pysim import ends_of, exchange, random_rows, row_beats, rows_of, run_rows

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
    *((name, preset, {"sink": True}) for name, preset in PRESETS),
])
def test_a_method_makes_hardware_twice(name, preset, parameters):
    """A method holds no state: two datapaths that are given the same one are both whole."""
    config = rtl.unit(name).preset(preset, lanes=2, max_length=6, **parameters)
    random = np.random.default_rng(8)
    rows, masks = random_rows(config, 4, random)
    fields = with_fields(config, Rows.of(zip("abcd", rows, masks, strict=True)), random).fields
    expected = expected_rows(config, rows, masks, fields)
    method = config.method
    for _ in range(2):
        unit = RowUnit(config, config.skeleton(config, method))
        assert run_rows(unit, rows, masks, fields=fields)[0] == expected


def expected_rows(config, rows, masks, fields):
    return [model.run(config, x, mask, **{name: values[n] for name, values in fields.items()}
                      ).tolist()
            for n, (x, mask) in enumerate(zip(rows, masks, strict=True))]


@pytest.mark.parametrize("name, preset, sink", [
    ("softmax-e2", "plus", True), ("softmax-split", "plus", False)])
def test_accumulators(name, preset, sink):
    """A requantiser in front: every row has its own scale and offset, one beat a cycle, no wait."""
    config = rtl.unit(name).preset(preset, lanes=3, max_length=14, accumulator_bits=32, sink=sink)
    assert config.latency == config.of_logits.latency + 6
    random = np.random.default_rng(5)
    rows, masks = random_rows(config, 15, random)
    drawn = with_fields(config, Rows.of(zip(map(str, range(15)), rows, masks, strict=True)), random)
    rows = [drawn.row(n)[0] for n in range(15)]
    expected = expected_rows(config, rows, masks, drawn.fields)
    assert len({y for row in expected for y in row}) > 20
    sent = row_beats(config, rows, masks, fields=drawn.fields)
    traffic = exchange(config.create(), {"i": sent}, len(rows))
    assert rows_of(traffic.beats, 3) == expected
    assert (np.diff(traffic.cycles["i"]) == 1).all()
    _, ends = ends_of(sent, traffic.cycles["i"])
    assert traffic.cycles["o"][0] - ends[0] == config.row_latency(-(-len(rows[0]) // 3))
    got, _ = run_rows(config.create(), rows, masks, gaps=0.3, stalls=0.3, fields=drawn.fields)
    assert got == expected

"""Emitted units: every net and port has a name, and no tool has anything to say."""

import re

import pytest

import rtl
from sim.emission import emitted
from sim.testing.passthrough import iverilog, verilator

SMALL = {"lanes": 2, "max_length": 10, "channels": 10, "dim": 4, "io_lanes": 2, "max_keys": 9,
         "prefix_dims": 2, "scan_lanes": 4}
ONE_LANE = "predict", "conservative", "aggressive", "reuse"

PRESETS = [(unit, preset) for unit in rtl.units() for preset in rtl.unit(unit).PRESETS]


def small(unit, preset):
    cls = rtl.unit(unit)
    sizes = {name: size for name, size in SMALL.items() if name in cls.parameters()}
    return cls.preset(preset, **sizes | ({"lanes": 1} if preset in ONE_LANE else {}))


@pytest.mark.parametrize("unit, preset", PRESETS)
def test_every_net_has_a_name(unit, preset):
    text = emitted(small(unit, preset))
    code = re.sub(r"/\*.*?\*/|//[^\n]*|\"[^\"\n]*\"", "", text, flags=re.DOTALL)
    assert not re.findall(r"\bport_\d+_\d+\w*|\b_\d+_\b|\$\w*\d\w*|\\\S+", code)
    # Names of a port that nothing else names.
    assert not re.findall(r"\bpart(?:_\d+)?\b", code)


@pytest.mark.parametrize("unit, preset", PRESETS)
def test_tools_are_silent(unit, preset, tmp_path):
    config = small(unit, preset)
    text = emitted(config)
    verilator(text, f"{config.name}_axis", tmp_path)
    # A file before it has a timescale, a file after it, or none of them.
    scaled = "`timescale 1 ns / 1 ps\nmodule other; endmodule\n"
    for before, after in (("", ""), (scaled, ""), ("", scaled)):
        iverilog(before + text + after, tmp_path)

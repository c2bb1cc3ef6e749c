"""Emitted units: every net and port has a name, and no tool has anything to say."""

import re

import pytest

import rtl
from sim.emission import emitted
from sim.testing.passthrough import iverilog, verilator
from sim.testing.small import PRESETS, small

# The first preset of each unit is quick.
CASES = [pytest.param(unit, preset, marks=[] if preset == next(iter(rtl.unit(unit).PRESETS))
                      else pytest.mark.slow) for unit, preset in PRESETS]


@pytest.mark.parametrize("unit, preset", CASES)
def test_every_net_has_a_name(unit, preset):
    text = emitted(small(unit, preset))
    code = re.sub(r"/\*.*?\*/|//[^\n]*|\"[^\"\n]*\"", "", text, flags=re.DOTALL)
    assert not re.findall(r"\bport_\d+_\d+\w*|\b_\d+_\b|\$\w*\d\w*|\\\S+", code)
    # Names of a port that nothing else names.
    assert not re.findall(r"\bpart(?:_\d+)?\b", code)
    # A signal without a name of its own is called ``signal``.
    if unit != "attention":
        assert not re.findall(r"\bsignal(?:_\d+)?\b", code)


@pytest.mark.parametrize("unit, preset", CASES)
def test_tools_are_silent(unit, preset, tmp_path):
    config = small(unit, preset)
    text = emitted(config)
    verilator(text, f"{config.name}_axis", tmp_path)
    # A file before it has a timescale, a file after it, or none of them.
    scaled = "`timescale 1 ns / 1 ps\nmodule other; endmodule\n"
    for before, after in (("", ""), (scaled, ""), ("", scaled)):
        iverilog(before + text + after, tmp_path)

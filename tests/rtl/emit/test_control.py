"""The emitted file that adds registers to a unit, and what stands beside it."""

import json
import re

import pytest

from rtl.emit import files, verilog
from sim.emission import emitted
from sim.testing.passthrough import PassthroughConfig, iverilog, verilator
from sim.testing.small import PRESETS, small

# All that a unit can have: several inputs, run-time parameters, a load, masks, wide elements.
UNITS = [small("softmax-e2", "plus"),
         pytest.param(small("attention", "conservative", sort="host"), marks=pytest.mark.slow),
         small("layernorm-ai", "paper", channel_parameters="loaded", out_bits=10)]


@pytest.fixture(scope="module", params=UNITS, ids=lambda config: config.name)
def unit(request):
    """A configuration, and the text of its registers."""
    return request.param, verilog.of_control(request.param)


def declared(text, module):
    """Name, direction and width of each port, as the module declares them."""
    body = re.search(rf"(?ms)^module {module}\((.*?)\);$(.*?)^endmodule$", text)
    kinds = {name: (kind, int(width or 0) + 1) for kind, width, name in re.findall(
        r"(?m)^  (input|output) (?:\[(\d+):0\] )?(\w+);$", body[2])}
    return [(name, *kinds[name]) for name in re.findall(r"\w+", body[1])]


def test_tools_have_nothing_to_say(unit, tmp_path):
    config, text = unit
    both = emitted(config) + text
    iverilog(both, tmp_path)
    verilator(both, f"{config.name}_axil", tmp_path)


def test_header(unit, tmp_path):
    """Its table of ports is that of the module, and its instantiation compiles."""
    config, text = unit
    head = [line[3:] for line in text.partition("\n\n`timescale")[0].splitlines()]
    assert all(len(line) <= 97 and line.isascii() for line in head)
    table = [re.match(r"  (\w+) +(input|output) +(\d+)  \S", line) for line in head]
    ports = declared(text, f"{config.name}_axil")
    assert [(row[1], row[2], int(row[3])) for row in table if row] == ports
    registers = verilog.control_of(config).registers.registers
    assert [line.split()[:2] for line in head if line.startswith("  0x")] == \
        [[f"0x{register.offset:03x}", f"{register.name}:"] for register in registers]
    copied = "\n".join(head[head.index("Instantiation") + 2:])
    nets = "".join(f"  {'reg' if kind == 'input' else 'wire'} [{width - 1}:0] {name};\n"
                   for name, kind, width in ports)
    iverilog(f"{emitted(config)}{text}\nmodule bench;\n{nets}{copied}\nendmodule\n", tmp_path)


def test_names(unit):
    """Modules have the unit's name, so that files of two units go together; none is there twice."""
    config, text = unit
    modules = re.findall(r"(?m)^module (\w+)", text)
    assert modules[0] == f"{config.name}_axil"
    assert all(name.startswith(f"{config.name}_axil") for name in modules)
    assert len(re.findall(rf"(?m)^  {config.name}_axis unit", text)) == 1
    assert "\\" not in text.partition("`timescale")[2]


def test_interface_attributes(unit):
    """Every port but ``error`` and its causes belongs to an interface that Vivado knows."""
    config, text = unit
    lines = text.splitlines()
    for name, kind, width in declared(text, f"{config.name}_axil"):
        line = f"  {kind} {f'[{width - 1}:0] ' if width > 1 else ''}{name};"
        before = lines[lines.index(line) - 1]
        assert before.startswith("  (* X_INTERFACE_") == (name not in ("error", "causes")), name


@pytest.mark.parametrize("unit, preset", PRESETS)
def test_every_unit_can_have_registers(unit, preset):
    config = small(unit, preset)
    registers = verilog.control_of(config).registers
    assert registers["CONFIG_HASH"].reset == int(config.hash, 16)
    assert {f"{name.upper()}_BEATS" for name in config.streams} <= \
        {register.name for register in registers.registers}
    assert config.source in config.streams
    bounded = {f"{name.upper()}_LONG" for name, form in config.data_sheet.formats.items()
               if form.most is not None and name != "o"}
    errors = {field.name for field in registers["ERRORS"].fields}
    assert {"UNIT", *bounded} <= errors


def test_files():
    """With registers the file of the unit is the same, and the manifest knows of the others."""
    config = PassthroughConfig(bits=5)
    plain, control = files.unit_files(config), files.unit_files(config, "axi-lite")
    name = config.name
    assert set(control) - set(plain) == {f"{name}_axil.v", f"{name}.rdl", f"{name}.h",
                                         f"{name}_registers.py", f"{name}_registers.md"}
    assert plain[f"{name}.v"] == control[f"{name}.v"] == verilog.of_unit(config)
    before, after = json.loads(plain["manifest.json"]), json.loads(control["manifest.json"])
    assert "registers" not in before and set(after["files"]) == {*control} - {"manifest.json"}
    assert set(after["modules"]) - set(before["modules"]) == {f"{name}_axil"}
    assert [(p["name"], p["direction"], p["width"]) for p in after["modules"][f"{name}_axil"]] == \
        declared(control[f"{name}_axil.v"], f"{name}_axil")
    assert all(port["format"] for port in after["modules"][f"{name}_axil"])
    registers = verilog.control_of(config).registers
    assert [(r["name"], r["offset"], [f["name"] for f in r["fields"]])
            for r in after["registers"]] == \
        [(r.name, r.offset, [f.name for f in r.fields]) for r in registers.registers]


def test_reproducible():
    config = PassthroughConfig()
    assert verilog.of_control(config) == verilog.of_control(config)

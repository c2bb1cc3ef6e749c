"""Header and manifest of an emitted file: they say what the module has, and it can be used so."""

import json
import re

import pytest

import rtl
from rtl.bus import AxiStream
from rtl.emit import header, manifest, ports
from sim.emission import emitted
from sim.testing.passthrough import iverilog
from sim.testing.small import PRESETS, small

# One configuration a unit, with streams of all kinds among them.
UNITS = [small("softmax-e2", "plus"), small("softmax-rexp", "plus", accumulator_bits=20, sink=True),
         small("layernorm-ai", "paper", out_bits=10, channel_parameters="loaded"),
         small("layernorm-exact", "rms", row_length="variable"),
         small("attention", "conservative", sort="host"), small("attention", "reuse")]

# The first preset of each unit is quick.
CASES = [pytest.param(unit, preset, marks=[] if preset == next(iter(rtl.unit(unit).PRESETS))
                      else pytest.mark.slow) for unit, preset in PRESETS]


def comment(text):
    """Lines of the comment at the head, without its slashes."""
    head = text.partition("\n\n`timescale")[0].splitlines()
    assert all(line.startswith("//") and len(line) <= 100 and line.isascii() for line in head)
    return [line[3:] for line in head]


def section(text, title):
    """Lines below a title."""
    lines = comment(text)
    start = lines.index(title)
    assert lines[start + 1] == "-" * len(title)
    rest = lines[start + 2:]
    end = next((n for n, line in enumerate(rest) if line.startswith("---")), len(rest) + 2)
    return rest[:end - 2]


def table(text, module):
    """Name, direction and width of each port, as the header has them."""
    rows = [re.match(r"  (\w+) +(input|output) +(\d+)  \S", line)
            for line in section(text, f"Ports of {module}")]
    return [(row[1], row[2], int(row[3])) for row in rows if row]


def declared(text, module):
    """Name, direction and width of each port, as the module declares them."""
    body = re.search(rf"(?ms)^module {module}\((.*?)\);$(.*?)^endmodule$", text)
    kinds = {name: (kind, int(width or 0) + 1) for kind, width, name in re.findall(
        r"(?m)^  (input|output) (?:\[(\d+):0\] )?(\w+);$", body[2])}
    return [(name, *kinds[name]) for name in re.findall(r"\w+", body[1])]


@pytest.mark.parametrize("unit, preset", CASES)
def test_the_port_tables_are_the_modules_ports(unit, preset):
    config = small(unit, preset)
    text = emitted(config)
    values = json.loads(manifest.manifest(config, {}))
    for module in (config.name, f"{config.name}_axis"):
        assert table(text, module) == declared(text, module)
        assert [(p["name"], p["direction"], p["width"]) for p in values["modules"][module]] == \
            declared(text, module)
        assert all(port["format"] for port in values["modules"][module])


@pytest.mark.parametrize("config", UNITS, ids=lambda config: config.name)
def test_the_instantiation_compiles(config, tmp_path):
    text, module = emitted(config), f"{config.name}_axis"
    copied = "\n".join(section(text, "Instantiation"))
    nets = "".join(f"  {'reg' if kind == 'input' else 'wire'} [{width - 1}:0] {name};\n"
                   for name, kind, width in table(text, module))
    iverilog(f"{text}\nmodule bench;\n{nets}{copied}\nendmodule\n", tmp_path)


def test_what_the_header_says():
    config = rtl.unit("softmax-rexp").preset("plus", lanes=2, max_length=10)
    lines = comment(emitted(config))
    assert lines[0] == "SPDX-License-Identifier: MIT"
    assert lines[2] == f"{config.name}_axis: softmax-rexp behind AXI4-Stream ports"
    assert any(re.fullmatch(rf"Configuration {config.hash}, rtl \S+, Amaranth \S+, Yosys \S+",
                            line) for line in lines)
    words = " ".join(" ".join(lines).split())
    for said in ("exp_step=0.03125", "max_length=10", "arXiv 2111.10770",
                 "y_i = round(s_i * alpha[S] / 2**K)", "S = sum_i exponentials[index_i]",
                 "lane k in bits 8k+7..8k: signed 8 bits, one step = 0.125; logit",
                 f"unsigned 8 bits, one step = {1 / 255!r}; probability",
                 "A row is 1 to 10 elements, 2 a beat",
                 f"Latency at the AXI ports: {config.latency + 1} cycles for a row of one beat, "
                 "and 1 for each further beat of the row",
                 f"Latency of the core: {config.latency} cycles",
                 "Throughput: one beat per cycle"):
        assert said in words, said


def test_what_the_manifest_says():
    config = small("layernorm-ai", "paper", out_bits=10, lanes=3)
    values = json.loads(manifest.manifest(config, {"b.txt": "", "a.txt": "x"}))
    assert values["hash"] == config.hash and values["parameters"]["channels"] == 10
    assert values["latency"]["axi"] == config.latency + 1 == values["latency"]["core"] + 1
    assert values["streams"]["o"] == {"lanes": 3, "width": 10, "signed": True, "scale": 2.0 ** -7,
                                      "meaning": "y", "packet": "row", "least": 10, "most": 10,
                                      "step": 1}
    assert list(values["files"]) == ["a.txt", "b.txt"]
    assert values["tools"] == header.tools()


def test_long_parameters_are_counted():
    config = small("layernorm-ai", "paper", gamma=(3,) * 10)
    assert "gamma=(10 values, in config.json)" in " ".join(comment(emitted(config)))


def test_every_unit_says_its_source():
    """Of the yardstick, which is nobody's method, the algorithm."""
    for unit in rtl.units():
        text = rtl.unit(unit).algorithm()
        assert re.search(r"Sources?:|Algorithm", text), unit
        assert "=" in text and text == text.strip()
        assert not re.search(r"`|:\w+:", header.plain_text(text)), unit


def test_the_shell_adds_a_cycle():
    """The latency at the AXI ports is that of a shell with its default slices."""
    config = small("softmax-e2", "plus")
    shell = AxiStream(config.create())
    slices = list(shell._slices.values())
    assert ports.axi_latency(config) == config.latency + sum(slices)


def test_parameters_of_rows_have_their_bits():
    """TUSER has the mask in its lowest bits, and above it what a row's first beat brings."""
    config = small("softmax-split", "plus", accumulator_bits=20, sink=True)
    found = {port.name: port for port in ports.shell_ports(config, AxiStream(config.create()))}
    assert found["s_axis_tuser"].width == 2 + 16 + 6 + 8 + 8 + 1
    assert found["s_axis_tuser"].meaning.endswith(
        "above, read in a row's first beat: multiplier [17..2], shift [23..18], offset [31..24], "
        "sink [39..32], sink_valid [40]")
    assert found["s_axis_tdata"].width == 2 * 32
    text = " ".join(section(emitted(config), "Framing"))
    assert "saturated to 8 bits" in text and "has no output" in text

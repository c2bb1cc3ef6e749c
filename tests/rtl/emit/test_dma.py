"""The emitted file that brings a unit's streams from memory, and what stands beside it."""

import json

import pytest

import rtl
from rtl.emit import files, verilog
from rtl.generate import main
from sim.testing.passthrough import iverilog, verilator
from sim.testing.small import PRESETS, small

# Beats of any width, up and down; several inputs, loads, masks; with and without TKEEP.
UNITS = [small("softmax-e2", "plus", lanes=3),
         pytest.param(small("attention", "dense"), marks=pytest.mark.slow),
         small("layernorm-ai", "paper", channel_parameters="loaded", out_bits=10)]


@pytest.mark.parametrize("config", UNITS, ids=lambda config: config.name)
def test_tools_have_nothing_to_say(config, tmp_path):
    found = files.unit_files(config, "axi-dma", "memory")
    text = "".join(found[name] for name in files.sources(config, "axi-dma"))
    iverilog(text, tmp_path)
    verilator(text, f"{config.name}_dma", tmp_path)
    listed = [line[3:] for line in found[f"{config.name}_dma.v"].splitlines()
              if line.startswith("//   0x")]
    assert len(listed) == len(verilog.dma_of(config, "memory").registers.registers)


def test_files_and_manifest():
    config = UNITS[0]
    found = files.unit_files(config, "axi-dma", "memory")
    assert found[f"{config.name}.f"].split() == [f"{config.name}.v", f"{config.name}_dma.v"]
    values = json.loads(found["manifest.json"])
    assert values["channels"] == [
        {"name": "DMA_I", "stream": "i", "writes": False, "user": False, "requests": None},
        {"name": "DMA_I_USER", "stream": "i", "writes": False, "user": True, "requests": None},
        {"name": "DMA_O", "stream": "o", "writes": True, "user": False, "requests": None}]
    offsets = {each["name"]: each["offset"] for each in values["registers"]}
    assert [offsets[f"{name}_ADDRESS"] for name in ("DMA_I", "DMA_I_USER", "DMA_O")] == \
        [0x200, 0x220, 0x240]
    ports = {port["name"]: port for port in values["modules"][f"{config.name}_dma"]}
    assert ports["m_axi_rdata"]["width"] == 64 and not any("axis" in name for name in ports)
    assert all(port["format"] for port in ports.values())
    script = found[f"{config.name}_ip.tcl"]
    assert "s_axi m_axi aclk aresetn irq" in script and f"set top {config.name}_dma" in script


def test_interface_attributes():
    """Every port but ``error`` belongs to an interface that Vivado knows."""
    unit = verilog.dma_of(UNITS[0])
    assert [name for name in unit.signature.members
            if "X_INTERFACE_INFO" not in getattr(unit, name).attrs] == ["error"]
    assert unit.aclk.attrs["X_INTERFACE_PARAMETER"] == \
        "ASSOCIATED_BUSIF s_axi:m_axi, ASSOCIATED_RESET aresetn"


@pytest.mark.parametrize("unit, preset", PRESETS)
def test_every_unit_can_have_dma(unit, preset):
    """A channel for each stream, but that of requests: the channel of their answers has them."""
    config = small(unit, preset)
    found = verilog.dma_of(config)
    assert [each.stream for each in found.channels] == \
        [name for name in found.shell.flows if name not in config.memory_ports]
    assert [each.stream for each in found.channels if each.writes] == ["o"]
    assert {each.requests: each.stream for each in found.channels if each.requests} == \
        config.memory_ports
    descriptors = {f"{each.name}_START" for each in found.channels if not each.requests}
    names = {each.name for each in found.registers.registers}
    assert {name for name in names if name.endswith("_START")} == descriptors
    assert {f"{each.name}_ERRORS" for each in found.channels} <= names
    assert not any("axis" in name for name in found.signature.members)


def test_command_for_all_units(capsys, tmp_path, monkeypatch):
    """It takes all of them."""
    wanted = []
    monkeypatch.setattr("rtl.generate._generate_all", lambda configs, *rest, **options:
                        wanted.extend(configs) or [None] * len(configs))
    assert main(["--bits", "8", "--control", "axi-dma", "--user", "memory",
                 "--out", str(tmp_path)]) == 0
    assert "left out" not in capsys.readouterr().err
    assert [config.UNIT for config in wanted] == list(rtl.units())


def test_second_output_for_software(monkeypatch):
    """No unit has one; its rows would have no place in memory."""
    config = small("svd-softmax", "plus")
    monkeypatch.setattr(type(config), "memory_ports", {})
    with pytest.raises(ValueError, match="^Unit must have one stream out .*, not request, o$"):
        verilog.dma_of(config)

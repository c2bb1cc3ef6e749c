"""Markdown of the registers, and the tables of the documentation."""

from pathlib import Path

import rtl
from rtl.bus.registers import RegisterMap
from rtl.emit import verilog
from rtl.emit.formats.page import page, tables
from sim.testing.small import small

DOCS = Path(__file__).parents[4] / "docs"


def test_every_field_has_a_row():
    registers = verilog.control_of(small("attention", "conservative")).registers
    lines = page(registers).splitlines()
    assert lines[0] == f"# Registers of {registers.name}"
    for register, field, _ in registers.fields():
        assert [line for line in lines if line.startswith(f"| 0x{register.offset:03x} | `")]
        assert f"| `{register.name}` | {field.bits} | `{field.name}` | {field.access.value} | " \
               f"{field.meaning} |" in lines
    assert all(line.count("|") - line.count("||") in (0, 5, 6) for line in lines)


def test_the_documentation_is_of_this_map():
    config = rtl.unit("softmax-e2")()
    registers = verilog.control_of(config).registers
    expected = tables(registers)
    for name, word in ("CONFIG_HASH", "hash"), ("VERSION", "version"):
        expected = expected.replace(f"0x{registers[name].reset:x}", word)
    text = (DOCS / "control.md").read_text()
    block = text.partition("<!-- begin registers -->\n")[2].partition("<!-- end registers -->")[0]
    assert block == expected


def test_the_documentation_is_of_these_channels():
    registers = verilog.dma_of(rtl.unit("softmax-e2")()).registers
    own = tuple(each for each in registers.registers if each.name.startswith("DMA_O_"))
    text = (DOCS / "zynq.md").read_text()
    block = text.partition("<!-- begin dma -->\n")[2].partition("<!-- end dma -->")[0]
    assert block == tables(RegisterMap("channel", "Registers of a channel", own))

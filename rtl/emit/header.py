"""Comment at the head of an emitted file: all that is needed to use it without this project."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

import amaranth
from amaranth.lib import wiring

from .. import __version__
from ..bus import AxiStream, ControlledUnit, DmaUnit
from ..config import UnitConfig
from . import yosys
from .ports import Port, axi_latency, core_ports, shell_ports

__all__ = ["LICENSE", "control_header", "dma_header", "header", "plain_text", "tools"]


#: Licence of an emitted file, that of the project, as an SPDX identifier.
LICENSE = "MIT"

WIDTH = 100

# A parameter with more values than these is told by their number.
MOST_VALUES = 8


def header(config: UnitConfig, core: wiring.Component, shell: AxiStream) -> str:
    """Text of the comment, the same for equal configurations and tools: it has no date."""
    name = config.name
    ports = list(shell_ports(config, shell))
    lines = [
        f"SPDX-License-Identifier: {LICENSE}", "",
        *_wrapped(f"{name}_axis: {config.UNIT} behind AXI4-Stream ports", "  "),
        *_wrapped(f"{name}: the core inside, which can be used without them", "  "), "",
        f"Configuration {config.hash}, {', '.join(f'{k} {v}' for k, v in tools().items())}",
        *_wrapped(_parameters(config)),
        *_title("What it computes"), *plain_text(config.algorithm()).splitlines(),
        *_title(f"Ports of {name}_axis"), *_table(ports),
        *_title(f"Ports of {name}"), *_table(list(core_ports(config, core))),
        *_title("Framing"), *_wrapped(config.data_sheet.framing),
        *_title("Timing"), *_timing(config),
        *_title("Instantiation"), *_instantiation(f"{name}_axis", ports),
    ]
    return _comment(lines)


def control_header(config: UnitConfig, control: ControlledUnit) -> str:
    """Text of the comment of the file that adds registers to a unit."""
    return _register_header(config, control, f"{config.name}_axil", [
        f"{config.name}_axil: {config.UNIT} behind AXI4-Stream ports, with registers behind "
        "AXI4-Lite ports",
        f"It is around {config.name}_axis, which is in {config.name}.v, and adds no latency"])


def dma_header(config: UnitConfig, unit: DmaUnit) -> str:
    """Text of the comment of the file that adds registers and DMA to a unit."""
    channels = ", ".join(f"{channel.name} ({'writes' if channel.writes else 'reads'})"
                         for channel in unit.channels)
    return _register_header(config, unit, f"{config.name}_dma", [
        f"{config.name}_dma: {config.UNIT} from memory to memory, with registers behind AXI4-Lite "
        "ports and a 64-bit AXI3 master",
        f"It is around {config.name}_axis, which is in {config.name}.v",
        f"DMA channels: {channels}"])


def _register_header(config: UnitConfig, control: ControlledUnit | DmaUnit, module: str,
                     about: Sequence[str]) -> str:
    """Text of the comment of a file with registers."""
    name = config.name
    ports = list(shell_ports(config, control))
    registers = [f"  0x{register.offset:03x}  {register.name}: {register.meaning}"
                 for register in control.registers.registers]
    lines = [
        f"SPDX-License-Identifier: {LICENSE}", "",
        *(line for text in about for line in _wrapped(text, "  ")),
        "", f"Configuration {config.hash}, {', '.join(f'{k} {v}' for k, v in tools().items())}",
        *_title(f"Ports of {module}"), *_table(ports),
        *_title("Registers"),
        *_wrapped(f"32 bits each, little endian; {name}_registers.md has their fields"),
        *(line for text in registers for line in _wrapped(text, " " * 9)),
        *_title("Instantiation"), *_instantiation(module, ports),
    ]
    return _comment(lines)


def _comment(lines: Iterable[str]) -> str:
    return "".join(f"// {line}".rstrip() + "\n" for line in lines) + "\n"


def tools() -> dict[str, str]:
    """Versions of what makes a file, by name."""
    return {"rtl": __version__, "Amaranth": amaranth.__version__, "Yosys": yosys.version()}


def plain_text(docstring: str) -> str:
    """A docstring without its markup, its prose wrapped to the width of a comment."""
    return "\n\n".join("\n".join(_paragraph(text)) for text in docstring.split("\n\n"))


def _bare(text: str) -> str:
    text = re.sub(r":\w+:`~?(?:[\w.]*\.)?(\w+)`", r"\1", text)
    return re.sub(r"(?m)::$", ":", text.replace("``", ""))


def _paragraph(text: str) -> list[str]:
    """Prose is filled; equations and tables keep their lines, if these are not too long."""
    if text.startswith("=="):
        columns = [match.span() for match in re.finditer("=+ ?", text.partition("\n")[0])]
        return ["".join(_bare(line[start:end].rstrip()).ljust(end - start)
                        for start, end in columns).rstrip() for line in text.splitlines()]
    text = _bare(text)
    if not re.search(r"(?m)^ ", text):
        return _wrapped(" ".join(text.split()))
    return [part for line in text.splitlines()
            for part in _wrapped(line, " " * (len(line) - len(line.lstrip()) + 4))]


def _title(text: str) -> list[str]:
    return ["", text, "-" * len(text)]


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH - 3, subsequent_indent=indent, break_long_words=False,
                         break_on_hyphens=False)


def _parameters(config: UnitConfig) -> str:
    values = config.to_dict()
    del values["unit"]
    return "Parameters: " + ", ".join(
        f"{name}={value}" if not isinstance(value, (tuple, list)) or len(value) <= MOST_VALUES
        else f"{name}=({len(value)} values, in config.json)" for name, value in values.items())


def _table(ports: Sequence[Port]) -> Iterable[str]:
    """Rows of a table: name, direction, width, meaning; a long meaning goes on below itself."""
    name = max(len(port.name) for port in ports)
    width = max(len(str(port.width)) for port in ports)
    for port in ports:
        row = f"  {port.name:{name}}  {port.direction:6}  {port.width:{width}}  {port.meaning}"
        yield from _wrapped(row, " " * (name + width + 14))


def _timing(config: UnitConfig) -> list[str]:
    sheet, further = config.data_sheet, config.passes - 1
    more = f", and {further} for each further beat of the row" if further else ""
    first = " for a row of one beat" if further else ""
    return [
        *_wrapped(f"Latency at the AXI ports: {axi_latency(config)} cycles{first}{more}, "
                  f"{sheet.latency}", "  "),
        *_wrapped(f"Latency of the core: {config.latency} cycles{first}{more}; the shell's output "
                  "register adds one", "  "),
        *_wrapped(f"Throughput: {sheet.throughput}", "  "),
    ]


def _instantiation(module: str, ports: Sequence[Port]) -> list[str]:
    connections = ",\n".join(f"    .{port.name}({port.name})" for port in ports)
    return [f"  {module} u_unit (", *connections.splitlines(), "  );"]

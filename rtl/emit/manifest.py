"""Manifest of an emitted unit: what a build system or a driver has to know, as JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from ..bus import AxiStream, ControlledUnit, DmaUnit
from ..bus.registers import Register
from ..config import UnitConfig
from .header import LICENSE, tools
from .ports import Port, axi_latency, core_ports, shell_ports

__all__ = ["manifest"]


def manifest(config: UnitConfig, files: Mapping[str, str],
             control: ControlledUnit | DmaUnit | None = None) -> str:
    """Return the text of ``manifest.json``, the same for equal arguments.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit.
    files : dict of str to str
        Texts of the files beside it, by name.
    control : ControlledUnit, DmaUnit or None
        The unit with registers, if it is among the files.
    """
    dma = isinstance(control, DmaUnit)
    core = config.create()
    sheet = config.data_sheet
    values = {
        "name": config.name,
        "unit": config.UNIT,
        "hash": config.hash,
        "license": LICENSE,
        "tools": tools(),
        "parameters": {key: value for key, value in config.to_dict().items() if key != "unit"},
        "modules": {
            f"{config.name}_axis": [_port(p) for p in shell_ports(config, AxiStream(core))],
            config.name: [_port(p) for p in core_ports(config, core)],
            **({f"{config.name}_{'dma' if dma else 'axil'}":
                [_port(p) for p in shell_ports(config, control)]} if control else {}),
        },
        "streams": {name: _stream(config, name) for name in config.streams},
        "latency": {
            "axi": axi_latency(config), "core": config.latency,
            "per_further_beat": config.passes - 1, "counted": sheet.latency,
        },
        "throughput": sheet.throughput,
        "framing": sheet.framing,
        "files": {name: {"sha256": hashlib.sha256(text.encode()).hexdigest()}
                  for name, text in sorted(files.items())},
    }
    if config.constants:
        values["constants"] = {name: value for name, (value, _) in config.constants.items()}
    if control:
        values["registers"] = [_register(register) for register in control.registers.registers]
    if dma:
        values["channels"] = [{"name": channel.name, "stream": channel.stream,
                               "writes": channel.writes, "user": channel.user,
                               "requests": channel.requests}
                              for channel in control.channels]
    return json.dumps(values, indent=2) + "\n"


def _port(port: Port) -> dict[str, Any]:
    return {"name": port.name, "direction": port.direction, "width": port.width,
            "stream": port.stream, "format": port.meaning}


def _register(register: Register) -> dict[str, Any]:
    """A register, with its fields from the lowest bit on."""
    return {"name": register.name, "offset": register.offset, "meaning": register.meaning,
            "fields": [{"name": field.name, "low": field.low, "width": field.width,
                        "access": field.access.value, "reset": field.reset,
                        "meaning": field.meaning} for field in register.fields]}


def _stream(config: UnitConfig, name: str) -> dict[str, Any]:
    """Numbers of a stream: elements of a beat, their width and sign, and what a step is worth."""
    layout, form = config.streams[name], config.data_sheet.formats[name]
    return {"lanes": layout.lanes, "width": layout.element.width, "signed": layout.element.signed,
            "scale": form.scale, "meaning": form.meaning, "packet": form.packet,
            "least": form.least, "most": form.most, "step": form.step}

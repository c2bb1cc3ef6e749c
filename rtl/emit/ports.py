"""Ports of a unit's emitted modules, with what each of them is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from amaranth import Shape
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from ..bus import AxiStream, ControlledUnit, DmaUnit, element_bytes
from ..bus.controlled import CHANNELS
from ..bus.dma_unit import MEMORY
from ..config import UnitConfig

__all__ = ["Port", "axi_latency", "core_ports", "shell_ports"]


@dataclasses.dataclass(frozen=True)
class Port:
    """A port of a module.

    Attributes
    ----------
    name : str
        Name in Verilog.
    direction : "input" or "output"
        Direction, seen from the module.
    width : int
        Bits.
    stream : str or None
        Stream of the unit that it is a part of.
    meaning : str
        What it carries, with the order of its bits.
    """

    name: str
    direction: str
    width: int
    stream: str | None
    meaning: str


def axi_latency(config: UnitConfig) -> int:
    """Latency at the AXI ports: that of the core, and a cycle in the shell's output slice."""
    return config.latency + 1


# Shell ------------------------------------------------------------------------------------------

def shell_ports(config: UnitConfig,
                shell: AxiStream | ControlledUnit | DmaUnit) -> Iterator[Port]:
    """Yield the ports of a shell, or of one with registers, in the order of the module's."""
    streams = {bus: stream for stream, bus in shell.buses.items()}
    clocks = {"aclk": "clock, rising edge", "aresetn": "synchronous reset, active low",
              "irq": "interrupt, active high, while an enabled event is pending"}
    further = {**clocks, **config.data_sheet.ports,
               **{f"s_axi_{name}": meaning for name, meaning in CHANNELS.items()},
               **{f"m_axi_{name}": meaning for name, (_, _, meaning) in MEMORY.items()}}
    for name, member in shell.signature.members.items():
        bus, _, signal = name.rpartition("_")
        stream = streams.get(bus)
        meaning = _signal(config, stream, signal) if stream else further.get(name, "")
        yield Port(name, _direction(member.flow), _width(member.shape), stream, meaning)


def _signal(config: UnitConfig, stream: str, signal: str) -> str:
    """What a signal of an AXI4-Stream bus is."""
    layout, form = config.streams[stream], config.data_sheet.formats[stream]
    size = element_bytes(layout.element)
    if signal == "tdata":
        bits, step = layout.element.width, 8 * size
        pad = "" if bits == step else (", sign-extended" if layout.element.signed else
                                       ", zero-extended") + f" to {step} bits"
        return f"lane k in bits {step}k+{step - 1}..{step}k: {element(config, stream)}{pad}"
    if signal == "tkeep":
        return (f"bit k: byte k of TDATA belongs to an element; all ones but in a {form.packet}'s "
                "last beat, where the low lanes have one")
    if signal == "tuser":
        if "use" in layout.members and stream in config.streams_out:
            return "1: the vector is an answer that failed; causes says why"
        if "use" in layout.members:
            return f"what the {form.packet} is for, read with TLAST: {_fields(layout['use'].shape)}"
        if layout["mask"].width == 1 and layout.lanes > 1:
            return "1: the vector takes no part; read in its last beat"
        masks = "bit k = 1 masks lane k: its element takes no part"
        if "row" not in layout.members:
            return masks
        return (f"{masks}; above, read in a {form.packet}'s first beat: "
                f"{_fields(layout['row'].shape, layout['mask'].width)}")
    return {"tlast": f"the beat ends its {form.packet}", "tvalid": "a beat is offered",
            "tready": "the beat is taken, if offered"}[signal]


def element(config: UnitConfig, stream: str) -> str:
    """Width, sign, scale and meaning of a stream's elements."""
    shape, form = config.streams[stream].element, config.data_sheet.formats[stream]
    step = "" if form.scale is None else f", one step = {form.scale!r}"
    return f"{'signed' if shape.signed else 'unsigned'} {shape.width} bits{step}; {form.meaning}"


# Core -------------------------------------------------------------------------------------------

def core_ports(config: UnitConfig, core: wiring.Component) -> Iterator[Port]:
    """Yield the ports of the core of a unit, in the order of the module's."""
    yield Port("clk", "input", 1, None, "clock, rising edge")
    yield Port("rst", "input", 1, None, "synchronous reset, active high")
    for path, member, _ in core.signature.flatten(core):
        stream = str(path[0]) if path[0] in config.streams else None
        if path[-1] == "payload":
            meaning = _fields(config.streams[stream])
        else:
            meaning = config.data_sheet.ports.get(path[-1], "") if stream is None else \
                {"valid": "a beat is offered", "ready": "the beat is taken, if offered"}[path[-1]]
        yield Port("__".join(map(str, path)), _direction(member.flow), _width(member.shape),
                   stream, meaning)


def _fields(layout: data.StructLayout, start: int = 0) -> str:
    """Members of a layout that begins at bit ``start`` with their bits."""
    result = []
    for name, field in layout:
        if isinstance(field.shape, data.StructLayout):
            result.append(_fields(field.shape, start + field.offset))
            continue
        low = start + field.offset
        high = low + field.width - 1
        bits = f"{high}..{low}" if field.width > 1 else f"{high}"
        each = ""
        if isinstance(field.shape, data.ArrayLayout):
            step = field.width // field.shape.length
            each = f" (lane k in {step}k+{step - 1}..{step}k)"
        result.append(f"{name} [{bits}]{each}")
    return ", ".join(result)


def _direction(flow: wiring.Flow) -> str:
    return "input" if flow is In else "output"


def _width(shape: object) -> int:
    return Shape.cast(shape).width

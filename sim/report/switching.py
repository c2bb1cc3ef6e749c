"""Switching activity: how often registers toggle, weighted by what they drive.

An honest proxy for dynamic power, and no more: it knows no wire, no glitch and no clock tree. The
emitted RTL is simulated; each bit of a register (a flip-flop, or the output register of a memory)
that toggles counts as many times as it has loads: the pins of word-level cells that it drives. A
pin of a multiplier counts for the width of the other operand, as so many partial products take it,
and the select of a multiplexer for the width of its words.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from rtl.emit import yosys

from ..runner import Design

__all__ = ["Activity", "changes", "loads", "measure", "recorded"]


@dataclasses.dataclass(frozen=True)
class Activity:
    """Toggles of a run."""

    #: Bits of registers that toggled.
    toggles: int
    #: The same, each with its number of loads.
    loaded: int


def loads(design: Design) -> dict[tuple[str, ...], dict[str, list[int]]]:
    """Loads of every bit of every register, by the path of its instance and its name.

    A path starts with the emitted module's name.
    """
    text = yosys.run(["read_verilog design.v", f"hierarchy -top {design.top}", "proc", "opt_clean",
                      "write_json design.json"], {"design.v": design.verilog})["design.json"]
    modules = json.loads(text)["modules"]
    found = {name: _registers(module) for name, module in modules.items()}
    result = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        result[path] = found[name]
        for instance, cell in modules[name]["cells"].items():
            if cell["type"] in modules:
                visit(cell["type"], (*path, instance))
    visit(design.top, (design.top,))
    return result


def _registers(module: dict) -> dict[str, list[int]]:
    """Loads of every bit of the registers of one module, by name."""
    driven, held = {}, set()
    for cell in module["cells"].values():
        widths = {port: len(bits) for port, bits in cell["connections"].items()}
        for port, bits in cell["connections"].items():
            if "dff" in cell["type"] and port == "Q":
                held.update(bits)
                continue
            if cell["port_directions"].get(port) == "output":
                continue
            weight = 1
            if cell["type"] == "$mul":
                weight = widths["B" if port == "A" else "A"]
            elif cell["type"] in ("$mux", "$pmux") and port == "S":
                weight = widths["Y"]
            for bit in bits:
                driven[bit] = driven.get(bit, 0) + weight
    registers, seen = {}, set()
    # Any name of a register's bits does, but for those that waves leave out: with an underscore.
    for name, net in sorted(module["netnames"].items(), key=lambda item: (item[0][0] in "_$",
                                                                          len(item[0]))):
        new = [bit for bit in net["bits"] if bit in held and bit not in seen]
        if new:
            registers[name] = [driven.get(bit, 0) if bit in new else None for bit in net["bits"]]
            seen.update(new)
    return registers


def changes(path: Path) -> Iterator[tuple[tuple[str, ...], str, int]]:
    """Changed bits of each signal in a file of waves (VCD): instance path, name, mask of bits.

    What a signal starts with is no change.
    """
    values = {}
    with open(path, encoding="utf-8") as file:
        names = _signals(file)
        for line in file:
            line = line.strip()
            if line[:1] == "b":
                bits, _, key = line[1:].partition(" ")
                value = int(bits if bits.isdecimal() else re.sub("[^1]", "0", bits), 2)
            elif line[:1] in ("0", "1", "x", "z"):
                key, value = line[1:], int(line[0] == "1")
            else:
                continue
            before = values.get(key)
            values[key] = value
            if before is not None and before != value:
                for where, name in names.get(key, ()):
                    yield where, name, before ^ value


def recorded(path: Path) -> set[tuple[tuple[str, ...], str]]:
    """Instance paths and names of all signals in a file of waves (VCD)."""
    with open(path, encoding="utf-8") as file:
        return {signal for signals in _signals(file).values() for signal in signals}


def _signals(file: Iterable[str]) -> dict[str, list[tuple[tuple[str, ...], str]]]:
    """Read the head of a file of waves: the signals that each key stands for."""
    scope, names = [], {}
    for line in file:
        match line.split():
            case ["$scope", _, name, *_]:
                scope.append(name)
            case ["$upscope", *_]:
                scope.pop()
            case ["$var", _, _, key, name, *_]:
                names.setdefault(key, []).append((tuple(scope), name))
            case ["$enddefinitions", *_]:
                break
    return names


def measure(design: Design, waves: Path) -> Activity:
    """Activity of a run of a design, from the waves that were recorded."""
    registers = loads(design)
    toggles = loaded = 0
    cache = {}
    for where, name, mask in changes(waves):
        key = where, name
        if key not in cache:
            cache[key] = _weights(registers, where, name)
        weights = cache[key]
        if weights is None:
            continue
        while mask:
            low = mask & -mask
            weight = weights[low.bit_length() - 1]
            if weight is not None:
                toggles += 1
                loaded += weight
            mask ^= low
    return Activity(toggles, loaded)


def _weights(registers: dict, where: tuple[str, ...], name: str) -> list | None:
    """Loads of a signal's bits, or None if it is no register."""
    for start in range(len(where)):
        if where[start:] in registers:
            return registers[where[start:]].get(name)
    return None

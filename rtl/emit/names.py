"""Names of an emitted design: of submodules' ports, and plain identifiers in place of others.

Amaranth joins nets that cross a module's border into ports without regard to signals, and calls a
port that is no signal ``port$<cell>$<bit>``. Here it is called after the signals that it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["NAME", "name_instances", "name_ports", "name_reads", "plain_names", "unescaped"]


# A public name in RTLIL.
NAME = re.compile(r"\\([^\s\"\\]+)")

_MODULE = re.compile(r"(?m)^(?=module )")
_HEAD = re.compile(r"module \\(\S+)")
_WIRE = re.compile(r"(?m)^  wire width (\d+) (?:(?:in|out|inout)(?:put)? \d+ )? *"
                   r"(?:signed )?\\(\S+)$")
_ALIAS = re.compile(r"(?m)^connect \\(\S+) (.*)$")
_CELL = re.compile(r"(?ms)^  cell \\(\S+) \S+\n(.*?)^  end$")
_CONNECTION = re.compile(r"    connect \\(\S+) (.*)")
_SLICE = re.compile(r"\\(\S+) \[(\d+)(?::(\d+))?\]")
_ANONYMOUS = re.compile(r"\$\d+ \[\d+(?::\d+)?\]")
_NUMBERED = re.compile(r"port\$\d+\$\d+")


# Ports of submodules ----------------------------------------------------------------------------

def name_ports(design: str) -> str:
    """RTLIL text with names for the ports that Amaranth numbers.

    A port gets the names of the module's signals that are parts of it, lowest first, or the name
    of the net that the parent connects, or that of a signal which the port is a part of.
    """
    if not _NUMBERED.search(design):
        return design
    # Module, its numbered port: name of what the parent connects. A parent precedes its submodules.
    outer, renamed = {}, {}
    result = []
    for text in _MODULE.split(design):
        head, holders = _HEAD.match(text), None
        if head and _NUMBERED.search(text):
            text = _named(text, outer.get(head[1], {}), renamed.setdefault(head[1], {}))
        for child, body in _CELL.findall(text):
            if connected := [c for c in _CONNECTION.findall(body) if _NUMBERED.fullmatch(c[0])]:
                holders = holders or _holders(text)
                outer[child] = {port: _net(net) or holders.get(net) for port, net in connected}
        result.append(text)
    # The ports of a cell are those of its module, which are all named by now.
    return _CELL.sub(lambda cell: _renamed_cell(cell, renamed), "".join(result))


def _named(text: str, outer: dict[str, str | None], renamed: dict[str, str]) -> str:
    """A module with names for its ports; ``renamed`` gets what they are."""
    wires = {name: int(width) for width, name in _WIRE.findall(text)}
    parts, holders = {}, {}
    for name, value in _ALIAS.findall(text):
        slices = _SLICE.findall(value)
        if "$" in name:
            name = name.partition("$")[0]
        if _NUMBERED.fullmatch(name):
            continue
        if len(slices) == 1 and not value.startswith("{"):
            source, high, low = slices[0]
            if _NUMBERED.fullmatch(source):
                parts.setdefault(source, []).append((int(low or high), int(high), name))
        else:
            for source, *_ in slices:
                if _NUMBERED.fullmatch(source):
                    holders.setdefault(source, name)
    taken = {*wires, *outer}
    for port, width in wires.items():
        if not _NUMBERED.fullmatch(port):
            continue
        base = (_joined(width, parts.get(port, ())) or outer.get(port)
                or holders.get(port) or "part")
        name, number = base, 1
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name)
        renamed[port] = name
    # Numbers in the cells are those of their own modules' ports.
    pieces, end = [], 0
    for cell in _CELL.finditer(text):
        pieces += [_renamed(text[end:cell.start()], renamed),
                   re.sub(r"(?m)^(    connect \\\S+ )(.*)$",
                          lambda line: line[1] + _renamed(line[2], renamed), cell[0])]
        end = cell.end()
    return "".join([*pieces, _renamed(text[end:], renamed)])


def _joined(width: int, parts: Iterable[tuple[int, int, str]]) -> str | None:
    """Names of the parts that make up a port of some width, or no name."""
    names, place = [], 0
    while place < width:
        # Of several signals the widest, and of these the first.
        fitting = [(high, name) for low, high, name in parts if low == place]
        if not fitting:
            return None
        high, name = max(fitting, key=lambda part: part[0])
        names.append(name)
        place = high + 1
    names = list(dict.fromkeys(names))
    return "_".join(names) if len(names) <= 3 else f"{names[0]}_to_{names[-1]}"


def _net(value: str) -> str | None:
    """Name of the net that a connection consists of, if somebody gave it one."""
    slices = _SLICE.fullmatch(value)
    if slices is None or _NUMBERED.fullmatch(slices[1]):
        return None
    return slices[1].partition("$")[0]


def _holders(text: str) -> dict[str, str]:
    """Signal that each anonymous net of a module is a part of, by the net as it is written."""
    holders = {}
    for name, value in _ALIAS.findall(text):
        for net in _ANONYMOUS.findall(value):
            holders.setdefault(net, name.partition("$")[0])
    return holders


def _renamed(text: str, renamed: dict[str, str]) -> str:
    return re.sub(r"\\(port\$\d+\$\d+)", lambda m: "\\" + renamed.get(m[1], m[1]), text)


def _renamed_cell(cell: re.Match[str], renamed: dict[str, dict[str, str]]) -> str:
    names = renamed.get(cell[1])
    if not names:
        return cell[0]
    return re.sub(r"(?m)^    connect \\(port\$\d+\$\d+) ",
                  lambda line: f"    connect \\{names[line[1]]} ", cell[0])


# Instances --------------------------------------------------------------------------------------

_INSTANCE = re.compile(r"(?m)^(  cell \\(\S+) )\\(\S+)$")
_OBJECT = re.compile(r"(?m)^  (?:wire|memory) [^\\\n]*\\(\S+)$")


def name_instances(design: str) -> str:
    """RTLIL text in which no instance is called like a net or memory of its module.

    Such a net would hide the instance; the instance ``queue`` becomes ``u_queue``.
    """
    objects = {}
    for text in _MODULE.split(design):
        if head := _HEAD.match(text):
            objects[head[1]] = set(_OBJECT.findall(text))
    return _INSTANCE.sub(lambda cell: cell[1] + ("\\u_" if cell[3] in objects.get(cell[2], ())
                                                 else "\\") + cell[3], design)


# Identifiers ------------------------------------------------------------------------------------

def plain_names(text: str) -> dict[str, str]:
    """Verilog identifier for each name in an RTLIL text: ``a.b[0]`` becomes ``a_b_0``."""
    names = dict.fromkeys(NAME.findall(text))
    plain = {name: name for name in names if re.fullmatch(r"[A-Za-z_]\w*", name)}
    taken = set(plain)
    for name in names:
        if name not in plain:
            base = re.sub(r"\W+", "_", name).strip("_") or "unnamed"
            plain[name] = _free(base, taken)
            taken.add(plain[name])
    return plain


def _free(base: str, taken: set[str]) -> str:
    candidate, number = base, 1
    while candidate in taken:
        number += 1
        candidate = f"{base}_{number}"
    return candidate


_ESCAPED = re.compile(r"\\(\S+) ")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


def unescaped(text: str) -> str:
    """Verilog with plain names for escaped ones: those of ``autoname``, and keywords.

    Both get underscores.
    """
    taken = set(_IDENTIFIER.findall(text))
    plain = {}
    for name in dict.fromkeys(_ESCAPED.findall(text)):
        candidate = re.sub(r"\W", "", name)
        while candidate in taken or candidate == name:
            candidate += "_"
        taken.add(candidate)
        plain[name] = candidate
    return _ESCAPED.sub(lambda match: plain[match[1]], text)


# Registers of memories' read ports --------------------------------------------------------------

_VERILOG_MODULE = re.compile(r"(?ms)^module .*?^endmodule\n")
_READ = re.compile(r"\b(_\d+_) <= (\w+)\[")


def name_reads(text: str) -> str:
    """Verilog whose registers behind memories are called ``<memory>_read``, not ``_1_``."""
    return _VERILOG_MODULE.sub(_named_reads, text)


def _named_reads(match: re.Match[str]) -> str:
    reads = dict(_READ.findall(match[0]))
    if not reads:
        return match[0]
    taken = set(_IDENTIFIER.findall(match[0]))
    names = {}
    for register, memory in reads.items():
        names[register] = _free(f"{memory}_read", taken)
        taken.add(names[register])
    return re.sub(r"\b_\d+_\b", lambda m: names.get(m[0], m[0]), match[0])

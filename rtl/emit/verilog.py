"""Emission of components as Verilog-2001, byte-identical on every run.

Amaranth's own Verilog keeps combinational processes. A simulator may never start one whose inputs
do not change, and its outputs stay X; here Yosys first turns processes into multiplexers and
registers.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping

from amaranth import ClockSignal, Instance, ResetSignal, Shape
from amaranth.back import rtlil
from amaranth.lib import wiring

from .. import __version__
from ..bus import AxiStream, ControlledUnit, DmaUnit
from ..config import UnitConfig
from . import yosys
from .cleared import LOOP_WORDS, all_cleared, first_words
from .header import control_header, dma_header, header
from .names import NAME, name_instances, name_ports, name_reads, plain_names, unescaped
from .nets import quick_nets

__all__ = ["BlackBox", "control_of", "dma_of", "of_components", "of_control", "of_dma", "of_unit"]


# Attributes of memories and top-level ports to keep: those that tools act on. (An `init` is no
# attribute in Verilog; it becomes the register's initial value.)
MEMORY_ATTRIBUTES = {"ram_style"}
PORT_ATTRIBUTES = {"X_INTERFACE_INFO", "X_INTERFACE_PARAMETER"}

# What Yosys's `proc` does with processes without clocks and latches; Amaranth's have neither.
_PROCESSES = ("proc_clean", "proc_rmdead", "proc_prune", "proc_rom", "proc_mux", "proc_clean",
              "opt_expr -keepdc")

# What Verilator warns of with -Wall, and why it stays.
LINT_OFF = """\
`timescale 1 ns / 1 ps

/* verilator lint_save */
/* verilator lint_off DECLFILENAME */  // One file holds all modules of a unit.
/* verilator lint_off UNUSEDSIGNAL */  // Rounding and tables drop bits; synthesis removes them.

"""
LINT_ON = "\n/* verilator lint_restore */\n"


class BlackBox(wiring.Component):
    """Instance of the module ``name`` in place of a component.

    Has the component's members. A shell is emitted around a core without elaborating the core a
    second time.

    Parameters
    ----------
    component : Component
        Component that the module is emitted from.
    name : str
        Name of the module.
    clocked : bool
        Whether it has the ports ``clk`` and ``rst``, as all but shells do.

    Members
    -------
    <name> : In(shape) or Out(shape)
        Every member of ``component``.
    """

    def __init__(self, component: wiring.Component, name: str, *, clocked: bool = True):
        self._name = name
        self._clocked = clocked
        super().__init__(component.signature)

    def elaborate(self, platform):
        ports = {"i_clk": ClockSignal(), "i_rst": ResetSignal()} if self._clocked else {}
        for path, member, value in self.signature.flatten(self):
            prefix = "i" if member.flow == wiring.In else "o"
            ports[f"{prefix}_{'__'.join(map(str, path))}"] = value
        return Instance(self._name, **ports)


def control_of(config: UnitConfig) -> ControlledUnit:
    """A unit with registers, around its shell as a black box."""
    shell = AxiStream(BlackBox(config.create(), config.name))
    return ControlledUnit(config, shell, __version__,
                          BlackBox(shell, f"{config.name}_axis", clocked=False))


def dma_of(config: UnitConfig, user: str = "constant") -> DmaUnit:
    """A unit from memory to memory, around its shell as a black box."""
    shell = AxiStream(BlackBox(config.create(), config.name))
    return DmaUnit(config, shell, __version__,
                   BlackBox(shell, f"{config.name}_axis", clocked=False), user)


def of_unit(config: UnitConfig) -> str:
    """Verilog text of a unit: the core ``config.name`` and its shell ``<config.name>_axis``.

    The core can be used without the shell. The comment above them says how to use both.
    """
    core, name = config.create(), config.name
    shell = AxiStream(BlackBox(core, name))
    return of_components({name: core, f"{name}_axis": shell}, header=header(config, core, shell))


def of_control(config: UnitConfig) -> str:
    """Verilog text of ``<config.name>_axil``: registers around the shell of :func:`of_unit`.

    The two texts are two files.
    """
    name = config.name
    control = control_of(config)
    return of_components({f"{name}_axil": control}, header=control_header(config, control),
                         others={f"{name}_axis": control.shell})


def of_dma(config: UnitConfig, user: str = "constant") -> str:
    """Verilog text of ``<config.name>_dma``: registers and DMA around the shell of :func:`of_unit`.

    The two texts are two files.
    """
    name = config.name
    unit = dma_of(config, user)
    return of_components({f"{name}_dma": unit}, header=dma_header(config, unit),
                         others={f"{name}_axis": unit.shell})


def of_components(components: Mapping[str, wiring.Component], *, header: str = "",
                  others: Mapping[str, wiring.Component] | None = None) -> str:
    """Verilog text of components.

    Submodules are named ``<name>_<submodule>``, so that files of different units can be used
    together.

    Parameters
    ----------
    components : dict of str to Component
        Components by the name of their module, the top one last. One may hold a
        :class:`BlackBox` of an earlier one.
    header : str
        Text before the modules.
    others : dict of str to Component
        Components whose modules are in other files, by the name of the module.

    Raises
    ------
    YosysError
        If Yosys refuses the design.
    """
    with _no_garbage_collection(), first_words(), quick_nets():
        designs = [_CELL.sub(_even, name_instances(name_ports(_rtlil(name, component))))
                   for name, component in components.items()]
    designs[:0] = [_declaration(name, component) for name, component in (others or {}).items()]
    rename = plain_names("\n".join(designs))
    files = {f"{n}.il": NAME.sub(lambda m: "\\" + rename[m[1]], design)
             for n, design in enumerate(designs)}
    top = list(components)[-1]
    written = yosys.run([*(f"read_rtlil {file}" for file in files),
                         f"hierarchy -check -top {top}",
                         *_PROCESSES, "pmuxtree", "opt_expr -mux_bool -keepdc", "opt_merge",
                         "opt_clean -purge",
                         "opt_dff -nodffe -keepdc", "opt_clean -purge",
                         # A module may have lost its last user; nets get speaking names.
                         f"hierarchy -top {top}", "autoname",
                         "write_verilog out.v"], files)
    return header + LINT_OFF + _tidy(written["out.v"]) + LINT_ON


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Pause the collector: elaboration frees next to nothing, and collections double its time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# RTLIL ------------------------------------------------------------------------------------------

_PORT = re.compile(r"(\s*wire width \d+ (?:input|output|inout)) \d+\s+((?:signed )?)\\(\S+)")


def _rtlil(name: str, component: wiring.Component) -> str:
    """RTLIL of a component: ports in the order of its signature, without superfluous attributes.

    Amaranth numbers ports from 0, which Yosys reads as no number, so ports are renumbered from 1.
    """
    order = ["clk", "rst", *("__".join(map(str, path))
                             for path, _, _ in component.signature.flatten(component))]
    lines, held, top = [], [], None
    for line in rtlil.convert(component, name=name, emit_src=False).splitlines():
        words = line.split()
        if words[:1] == ["attribute"]:
            held.append((words[1][1:], line))
            continue
        keep = set()
        if words[:1] == ["module"]:
            top = words[1] == f"\\{name}"
        elif words[:1] == ["wire"]:
            keep = {"init"}
            if port := _PORT.fullmatch(line):
                if port[3] not in order:
                    order.append(port[3])
                line = f"{port[1]} {order.index(port[3]) + 1} {port[2]}\\{port[3]}"
                keep |= PORT_ATTRIBUTES if top else set()
        elif words[:1] == ["memory"]:
            keep = MEMORY_ATTRIBUTES
        elif words[:1] == ["switch"]:
            keep = {"full_case", "parallel_case"}
        lines += [text for key, text in held if key in keep] + [line]
        held = []
    return "\n".join(lines)


def _declaration(name: str, component: wiring.Component) -> str:
    """RTLIL of a module that is in another file: its ports."""
    lines = []
    for n, (path, member, _) in enumerate(component.signature.flatten(component), 1):
        direction = "input" if member.flow is wiring.In else "output"
        width = Shape.cast(member.shape).width
        lines.append(f"  wire width {width} {direction} {n} \\{'__'.join(map(str, path))}")
    # What nobody reads may be there for what it does: a processor, a pad.
    return "\n".join(["attribute \\blackbox 1", "attribute \\keep 1", f"module \\{name}", *lines,
                      "end"])


_CELL = re.compile(r"(?ms)^  cell \$(\w+) (\S+)\n(.*?)^  end$")
_WIDTHS = re.compile(r"\\([AB]_SIGNED|[ABY]_WIDTH) (\d+)")
_OPERAND = re.compile(r"(?m)^    connect \\([ABY]) (.*)$")


def _even(match: re.Match[str]) -> str:
    """A cell whose operands are as wide as Verilog's rules would make them.

    Sums and comparisons get them extended, or cut; a shift that drops bits gets a wider result.
    """
    kind, name, body = match.groups()
    numbers = {key: int(value) for key, value in _WIDTHS.findall(body)}
    operands = dict(_OPERAND.findall(body))
    before = after = ""
    if constant := re.fullmatch(r"\d+'0*([01]+)", operands.get("A", "")):
        # Yosys drops the leading zeros of a table; so they are dropped before widths are compared.
        if kind in ("shift", "shr"):
            operands["A"] = f"{len(constant[1])}'{constant[1]}"
            numbers["A_WIDTH"] = len(constant[1])
    if kind in ("shift", "shr", "sshr") and numbers["Y_WIDTH"] < numbers["A_WIDTH"]:
        wide, wanted = f"{name}$wide", numbers["Y_WIDTH"]
        before = f"  wire width {numbers['A_WIDTH']} {wide}\n"
        after = f"\n  connect {operands['Y']} {wide} [{wanted - 1}:0]"
        numbers["Y_WIDTH"], operands["Y"] = numbers["A_WIDTH"], wide
    elif kind in ("add", "sub", "eq", "ne", "lt", "le", "gt", "ge"):
        width = numbers["Y_WIDTH"] if kind in ("add", "sub") else \
            max(numbers["A_WIDTH"], numbers["B_WIDTH"])
        for port in "AB":
            operands[port] = _resized(operands[port], numbers[f"{port}_WIDTH"], width,
                                      numbers[f"{port}_SIGNED"])
            numbers[f"{port}_WIDTH"] = width
    else:
        return match[0]
    lines = [*(f"    parameter \\{key} {value}" for key, value in numbers.items()),
             *(f"    connect \\{port} {operand}" for port, operand in operands.items())]
    return before + "\n".join([f"  cell ${kind} {name}", *lines, "  end"]) + after


def _resized(operand: str, width: int, wanted: int, signed: int) -> str:
    """Signal specification of ``wanted`` bits for one of ``width`` bits."""
    if width == wanted:
        return operand
    if width > wanted:
        return f"{operand} [{wanted - 1}:0]"
    if signed:
        return f"{{ {f'{operand} [{width - 1}] ' * (wanted - width)}{operand} }}"
    return f"{{ {wanted - width}'{'0' * (wanted - width)} {operand} }}"


# Verilog ----------------------------------------------------------------------------------------

_ATTRIBUTE = re.compile(r"\s*\(\* (\w+) .*\*\)")
_PORT_WIRE = re.compile(r"(  (?:input|output) )([^;]*;\n)((?:  \(\*[^\n]*\*\)\n)*)  wire \2")
_INITIAL = re.compile(r"  initial begin\n((?:    \w+\[\d+\] = [^;]+;\n)+)  end\n")
_MODULE = re.compile(r"(?ms)^module .*?^endmodule\n")
_START = re.compile(r"(?m)^  (?:output )?reg (?:signed )?(?:\[[^\]]*\] )?(\w+) = ([^;]+);$")
_DECLARATION = re.compile(r"(?m)^  (?:input|output|wire|reg|output reg) (?:signed )?"
                          r"(?:\[(\d+):0\] )?(\w+)(?: = [^;]+)?;$")
# Connections, of which one side has several parts at least.
_JOINT = re.compile(r"(?m)^  assign (?=.*\{)(?:\{ )?([^{}=]+?)(?: \})? = "
                    r"(?:\{ )?([^{}?&|^~+<>-]+?)(?: \})?;\n")
_WORD = re.compile(r"    (\w+)\[(\d+)\] = ([^;]+);")


def _tidy(text: str) -> str:
    """Yosys's Verilog without banner, attributes, double declarations and long initial blocks."""
    text = re.sub(r"\A/\*.*?\*/\n\n?", "", text)
    lines = []
    for line in text.splitlines():
        attribute = _ATTRIBUTE.fullmatch(line)
        if not attribute or attribute[1] in PORT_ATTRIBUTES | MEMORY_ATTRIBUTES:
            lines.append(line)
    text = _PORT_WIRE.sub(r"\1\2", "\n".join(lines) + "\n")
    # Yosys negates vectors logically, which is to say: none of their bits is set.
    text = text.replace(" = ! ", " = ~| ")
    text = all_cleared(name_reads(unescaped(text)))
    return _MODULE.sub(_module, _INITIAL.sub(_short_init, text))


def _module(match: re.Match[str]) -> str:
    """A module without assignments of vectors to themselves, and :func:`_initialised`."""
    widths = {name: int(width or 0) + 1 for width, name in _DECLARATION.findall(match[0])}
    return _initialised(_JOINT.sub(lambda joint: _separate(joint, widths), match[0]))


def _separate(match: re.Match[str], widths: Mapping[str, int]) -> str:
    """An assignment of several parts as one of each bit, if a vector is on both of its sides.

    Verilator takes ``{a[2], b} = {a[1], c}`` for a loop.
    """
    sides = [list(_bits(side.split(", "), widths)) for side in match.groups()]
    names = [{bit.partition("[")[0] for bit in side} for side in sides]
    if not names[0] & names[1]:
        return match[0]
    return "".join(f"  assign {to} = {of};\n" for to, of in zip(*sides, strict=True))


def _bits(parts: Iterable[str], widths: Mapping[str, int]) -> Iterator[str]:
    """Bits of a concatenation, from the highest one on."""
    for part in parts:
        if constant := re.fullmatch(r"(\d+)'h([0-9a-f]+)", part):
            yield from (f"1'h{bit}" for bit in f"{int(constant[2], 16):0{constant[1]}b}")
        elif bits := re.fullmatch(r"(\w+)\[(\d+):(\d+)\]", part):
            yield from (f"{bits[1]}[{k}]" for k in range(int(bits[2]), int(bits[3]) - 1, -1))
        elif widths.get(part, 1) > 1:
            yield from (f"{part}[{k}]" for k in range(widths[part] - 1, -1, -1))
        else:
            yield part


def _initialised(text: str) -> str:
    """A module whose registers start in a block of their own: a declaration is no assignment."""
    values = _START.findall(text)
    if not values:
        return text
    body = "".join(f"    {name} = {value};\n" for name, value in values)
    text = _START.sub(lambda start: start[0].replace(f" = {start[2]};", ";"), text)
    return text.removesuffix("endmodule\n") + f"  initial begin\n{body}  end\nendmodule\n"


def _short_init(match: re.Match[str]) -> str:
    """Initial block of a memory, with runs of equal words as loops."""
    words = [_WORD.fullmatch(line).groups() for line in match[1].splitlines()]
    body, looped = [], False
    for value, run in itertools.groupby(words, key=lambda word: word[2]):
        run = list(run)
        name, first, last = run[0][0], run[0][1], run[-1][1]
        if len(run) >= LOOP_WORDS:
            looped = True
            body.append(f"    for (k = {first}; k <= {last}; k = k + 1) {name}[k] = {value};")
        else:
            body += [f"    {name}[{index}] = {value};" for name, index, _ in run]
    begin = [f"  initial begin : init_{words[0][0]}", "    integer k;"] if looped else \
        ["  initial begin"]
    return "\n".join([*begin, *body, "  end", ""])

"""SystemRDL 2.0 of a register map."""

from __future__ import annotations

from collections.abc import Iterator

from ...bus.registers import WORD, Access, Field, Register, RegisterMap

__all__ = ["systemrdl"]


# Properties of a field, by who writes it and how. A set by hardware comes before a clear.
PROPERTIES = {
    Access.CONSTANT: ("sw = r", "hw = na"),
    Access.READ: ("sw = r", "hw = w"),
    Access.WRITE: ("sw = rw", "hw = r"),
    Access.CLEAR: ("sw = rw", "hw = r", "onwrite = woclr", "hwset", "hwclr", "precedence = hw"),
    Access.PULSE: ("sw = w", "hw = r", "singlepulse"),
}


def systemrdl(registers: RegisterMap) -> str:
    """Return the text of an address map: one of the name of the register map, and nothing else."""
    lines = [
        f"addrmap {registers.name} {{",
        f"  name = {_string(registers.name)};",
        f"  desc = {_string(registers.meaning)};",
        f"  default regwidth = {WORD};",
        "  lsb0;",
        "  littleendian;",
    ]
    for register in registers.registers:
        lines += ["", *(f"  {line}" for line in _register(register))]
    return "\n".join([*lines, "};", ""])


def _register(register: Register) -> Iterator[str]:
    yield "reg {"
    yield f"  name = {_string(register.name)};"
    yield f"  desc = {_string(register.meaning)};"
    for field in register.fields:
        yield from (f"  {line}" for line in _field(field))
    yield f"}} {register.name} @ 0x{register.offset:X};"


def _field(field: Field) -> Iterator[str]:
    yield "field {"
    yield f"  desc = {_string(field.meaning)};"
    yield from (f"  {each};" for each in PROPERTIES[field.access])
    # What hardware drives has no value of its own.
    reset = "" if field.access is Access.READ else f" = {field.width}'h{field.reset:X}"
    yield f"}} {field.name}[{field.low + field.width - 1}:{field.low}]{reset};"


def _string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

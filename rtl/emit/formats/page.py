"""Markdown page of a register map."""

from __future__ import annotations

from collections.abc import Iterator

from ...bus.registers import RegisterMap

__all__ = ["page", "tables"]


def page(registers: RegisterMap) -> str:
    """Return the text of a page: its title, and :func:`tables`."""
    return f"# {registers.meaning}\n\n{tables(registers)}"


def tables(registers: RegisterMap) -> str:
    """Return a table of the registers, and one of their fields."""
    return "\n".join([*_registers(registers), "", *_fields(registers), ""])


def _registers(registers: RegisterMap) -> Iterator[str]:
    yield "| offset | register | after reset | what |"
    yield "| ---: | --- | ---: | --- |"
    for register in registers.registers:
        yield (f"| 0x{register.offset:03x} | `{register.name}` | 0x{register.reset:x} | "
               f"{register.meaning} |")


def _fields(registers: RegisterMap) -> Iterator[str]:
    yield "| register | bits | field | access | what |"
    yield "| --- | ---: | --- | --- | --- |"
    for register, field, _ in registers.fields():
        yield (f"| `{register.name}` | {field.bits} | `{field.name}` | {field.access.value} | "
               f"{field.meaning} |")

"""Names and values of a unit's registers and streams, and their texts in C and in Python."""

from __future__ import annotations

from collections.abc import Iterator

from ...bus import element_bytes
from ...bus.registers import RegisterMap
from ...config import UnitConfig

__all__ = ["c_header", "constants", "python_module"]


def constants(config: UnitConfig, registers: RegisterMap) -> Iterator[tuple[str, int | float, str]]:
    """Yield name, value and meaning of each constant.

    ``<REGISTER>`` is the offset of a register in bytes and ``<REGISTER>_RESET`` its value after
    reset; ``<REGISTER>_<FIELD>_MASK`` the bits of a field in it, ``..._SHIFT`` the lowest of them.
    ``STREAM_<STREAM>_...`` describes the elements of a stream, ``UNIT_<NAME>`` is a further number
    of the unit, of ``config.constants``.
    """
    for register in registers.registers:
        name = register.name
        yield name, register.offset, register.meaning
        yield f"{name}_RESET", register.reset, "value after reset"
        for field in register.fields:
            yield f"{name}_{field.name}_MASK", field.mask, f"{field.access.value}; {field.meaning}"
            yield f"{name}_{field.name}_SHIFT", field.low, "its lowest bit"
    for name, layout in config.streams.items():
        form, prefix = config.data_sheet.formats[name], f"STREAM_{name.upper()}"
        yield f"{prefix}_LANES", layout.lanes, f"elements per beat; element: {form.meaning}"
        yield f"{prefix}_BYTES", element_bytes(layout.element), "bytes of an element"
        yield f"{prefix}_BITS", layout.element.width, "bits of an element"
        yield f"{prefix}_SIGNED", int(layout.element.signed), "1: elements have a sign"
        yield f"{prefix}_LEAST", form.least, f"elements of a {form.packet} at least"
        if form.most is not None:
            yield f"{prefix}_MOST", form.most, f"elements of a {form.packet} at most"
        if form.scale is not None:
            yield f"{prefix}_SCALE", float(form.scale), "real value of one step"
    for name, (value, meaning) in config.constants.items():
        yield f"UNIT_{name}", value, meaning


def c_header(config: UnitConfig, registers: RegisterMap) -> str:
    """Return the text of a C header: macros that start with the name of the configuration."""
    prefix = config.name.upper()
    lines = [f"/* {registers.meaning}, configuration {config.hash}. Offsets are in bytes. */",
             f"#ifndef {prefix}_H", f"#define {prefix}_H", ""]
    for name, value, meaning in constants(config, registers):
        lines.append(f"#define {prefix}_{name} {_number(value)}  /* {meaning} */")
    return "\n".join([*lines, "", "#endif", ""])


def _number(value: int | float) -> str:
    return repr(value) if isinstance(value, float) else f"0x{value:X}u"


def python_module(config: UnitConfig, registers: RegisterMap) -> str:
    """Return the text of a Python module: the constants without a prefix."""
    lines = [f'"""{registers.meaning}, configuration {config.hash}; offsets are in bytes."""', ""]
    for name, value, meaning in constants(config, registers):
        number = repr(value) if isinstance(value, float) else f"0x{value:X}"
        lines.append(f"{name} = {number}  # {meaning}")
    return "\n".join([*lines, ""])

"""Registers of a device by name, as the unit's manifest describes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .transport import Transport

__all__ = ["Registers"]


class Registers:
    """Registers behind a transport.

    Parameters
    ----------
    transport : Transport
        What reaches them.
    registers : sequence of dict
        ``registers`` of the manifest.
    """

    def __init__(self, transport: Transport, registers: list[Mapping[str, Any]]) -> None:
        self._transport = transport
        self._registers = {register["name"]: register for register in registers}

    def __contains__(self, name: str) -> bool:
        return name in self._registers

    def __iter__(self):
        return iter(self._registers)

    def read(self, name: str) -> int:
        """Word of a register."""
        return self._transport.read32(self._registers[name]["offset"])

    def write(self, name: str, value: int) -> None:
        """Write the word of a register."""
        self._transport.write32(self._registers[name]["offset"], value)

    def fields(self, name: str) -> dict[str, int]:
        """Values of a register's fields, read at once."""
        word = self.read(name)
        return {field["name"]: word >> field["low"] & (1 << field["width"]) - 1
                for field in self._registers[name]["fields"]}

    def set(self, name: str, **fields: int) -> None:
        """Write a register: fields that are not named are 0."""
        places = {field["name"]: field["low"] for field in self._registers[name]["fields"]}
        self.write(name, sum(value << places[field] for field, value in fields.items()))

    def reset_of(self, name: str, field: str) -> int:
        """Value of a field after reset; that of a constant."""
        return next(each["reset"] for each in self._registers[name]["fields"]
                    if each["name"] == field)

    def names_of(self, name: str) -> list[str]:
        """Names of a register's fields."""
        return [field["name"] for field in self._registers[name]["fields"]]

    def width_of(self, name: str) -> int:
        """Bits of a register's first field."""
        return self._registers[name]["fields"][0]["width"]

    def errors(self, leave: Collection[str] = ()) -> list[str]:
        """Read and clear all errors; what each of them is, in words.

        Those of the fields of ERRORS that ``leave`` names are left as they are.
        """
        found = []
        for name in self._registers:
            if name != "ERRORS" and not name.endswith("_ERRORS"):
                continue
            word = self.read(name) & ~self._mask(name, leave)
            channel = "" if name == "ERRORS" else f"{name.removesuffix('_ERRORS')}: "
            found += [f"{channel}{field['meaning']}"
                      for field in self._registers[name]["fields"] if word >> field["low"] & 1]
            if word:
                self.write(name, word)
        return found

    def taken(self, fields: Collection[str]) -> list[str]:
        """Clear fields of ERRORS, and return what each that was set is, in words."""
        word = self.read("ERRORS") & self._mask("ERRORS", fields)
        if word:
            self.write("ERRORS", word)
        return [field["meaning"] for field in self._registers["ERRORS"]["fields"]
                if word >> field["low"] & 1]

    def _mask(self, name: str, fields: Collection[str]) -> int:
        return sum((1 << field["width"]) - 1 << field["low"]
                   for field in self._registers[name]["fields"] if field["name"] in fields)

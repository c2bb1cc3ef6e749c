"""Register maps as data: what hardware, drivers and documentation of registers are made from."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Iterator

__all__ = ["WORD", "Access", "Field", "Register", "RegisterMap"]

#: Bits of a register; registers are at multiples of 4 bytes.
WORD = 32

_NAME = re.compile(r"[A-Z][A-Z0-9_]*")


class Access(enum.Enum):
    """How software and hardware meet in a field."""

    #: Software reads a number that never changes.
    CONSTANT = "constant"
    #: Software reads what hardware drives.
    READ = "read only"
    #: Software writes and reads back, hardware reads.
    WRITE = "read, write"
    #: A pulse of hardware sets it, one of hardware or a write of 1 clears it; a set wins.
    CLEAR = "read, write 1 to clear"
    #: A write of 1 gives hardware a pulse of one cycle; reads 0.
    PULSE = "write 1 for a pulse"


@dataclasses.dataclass(frozen=True)
class Field:
    """Bits of a register.

    Attributes
    ----------
    name : str
        Upper-case identifier, unique in the register.
    low : int
        Its lowest bit.
    width : int
        Bits; 1 where it clears or pulses.
    access : Access
        Who writes it, and how.
    meaning : str
        What it is, in a sentence without its full stop.
    reset : int
        Value after reset; that of a constant.
    """

    name: str
    low: int
    width: int
    access: Access
    meaning: str
    reset: int = 0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"Name of a field must be an upper-case identifier, not {self.name!r}")
        if self.low < 0 or self.width < 1 or self.low + self.width > WORD:
            raise ValueError(f"Field {self.name} must be in bits 0..{WORD - 1}, not in "
                             f"{self.low}..{self.low + self.width - 1}")
        if self.access in (Access.CLEAR, Access.PULSE) and self.width > 1:
            raise ValueError(f"Field {self.name} must be 1 bit wide, not {self.width}")
        if self.access in (Access.CLEAR, Access.PULSE, Access.READ) and self.reset:
            raise ValueError(f"Reset of field {self.name} must be 0, not {self.reset}")
        if not 0 <= self.reset < 1 << self.width:
            raise ValueError(f"Reset of field {self.name} must be in 0..{(1 << self.width) - 1}, "
                             f"not {self.reset}")

    @property
    def mask(self) -> int:
        """Its bits, set in a word."""
        return (1 << self.width) - 1 << self.low

    @property
    def bits(self) -> str:
        """Its bits as documentation writes them."""
        return f"{self.low + self.width - 1}..{self.low}" if self.width > 1 else f"{self.low}"


@dataclasses.dataclass(frozen=True)
class Register:
    """A word of 32 bits.

    Attributes
    ----------
    name : str
        Upper-case identifier, unique in the map.
    offset : int
        Address in bytes, a multiple of 4.
    fields : tuple of Field
        Its fields, from the lowest bit on; bits outside them read 0.
    meaning : str
        What it is, in a sentence without its full stop.
    """

    name: str
    offset: int
    fields: tuple[Field, ...]
    meaning: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"Name of a register must be an upper-case identifier, "
                             f"not {self.name!r}")
        if self.offset % 4 or self.offset < 0:
            raise ValueError(f"Offset of register {self.name} must be a multiple of 4, "
                             f"not {self.offset}")
        names = [field.name for field in self.fields]
        if len(set(names)) < len(names) or not names:
            raise ValueError(f"Fields of register {self.name} must have names of their own, not "
                             f"{', '.join(names) or 'be missing'}")
        taken = 0
        for field in self.fields:
            if taken >> field.low:
                raise ValueError(f"Field {field.name} of register {self.name} must be above the "
                                 "fields before it")
            taken |= field.mask

    @property
    def reset(self) -> int:
        """Its value after reset."""
        return sum(field.reset << field.low for field in self.fields)


@dataclasses.dataclass(frozen=True)
class RegisterMap:
    """Registers of a slave.

    Attributes
    ----------
    name : str
        Identifier.
    meaning : str
        What has these registers.
    registers : tuple of Register
        By ascending offset.
    address_bits : int
        Bits of a byte address.
    """

    name: str
    meaning: str
    registers: tuple[Register, ...]
    address_bits: int = 12

    def __post_init__(self) -> None:
        names = [register.name for register in self.registers]
        if len(set(names)) < len(names):
            raise ValueError(f"Registers must have names of their own, not {', '.join(names)}")
        offsets = [register.offset for register in self.registers]
        if offsets != sorted(set(offsets)) or offsets[-1] >= 1 << self.address_bits:
            raise ValueError(f"Offsets must ascend, below {1 << self.address_bits}, not be "
                             f"{', '.join(map(hex, offsets))}")

    def fields(self) -> Iterator[tuple[Register, Field, str]]:
        """Yield each field with its register, and the name of its port, ``<register>_<field>``."""
        for register in self.registers:
            for field in register.fields:
                yield register, field, f"{register.name}_{field.name}".lower()

    def __getitem__(self, name: str) -> Register:
        """Register called ``name``."""
        return next(register for register in self.registers if register.name == name)

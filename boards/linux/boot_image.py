"""Boot image of a Zynq: what bootgen is told."""

from __future__ import annotations

from collections.abc import Sequence

from rtl.config import ConfigError

__all__ = ["description"]


def description(loader: str, bitstream: str, programs: Sequence[str]) -> str:
    """Text of the .bif file of a BOOT.BIN.

    Parameters
    ----------
    loader : str
        First-stage boot loader, an ELF file.
    bitstream : str
        .bit file, which the loader puts into the logic.
    programs : sequence of str
        ELF files that follow, the boot loader of Linux as a rule.
    """
    for path in (loader, bitstream, *programs):
        if any(letter in path for letter in '"{}[]\n'):
            raise ConfigError(f"Path in a boot image must have no quotes and brackets, "
                              f"not {path!r}")
    parts = [f'  [bootloader] "{loader}"', *(f'  "{path}"' for path in (bitstream, *programs))]
    return "\n".join(["the_ROM_image:", "{", *parts, "}", ""])

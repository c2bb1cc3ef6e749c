"""Bitstreams of Xilinx devices: the file that Vivado writes, and the one that Linux takes."""

from __future__ import annotations

import array
import dataclasses
import struct

from rtl.config import ConfigError

__all__ = ["Bitstream", "firmware"]

# What a .bit file begins with: a field of nine bytes, and the number 1.
MAGIC = bytes.fromhex("00090ff00ff00ff00ff0000001")

# A command without effect, and the bytes of which there is a multiple: what bootgen pads, and how.
NOP = bytes.fromhex("20000000")
BLOCK = 32

#: The word that ends the padding before the commands.
SYNC = bytes.fromhex("aa995566")


@dataclasses.dataclass(frozen=True)
class Bitstream:
    """A .bit file.

    Attributes
    ----------
    design, part, date, time : str
        What its header says; the part is without ``xc`` and without the speed.
    data : bytes
        Configuration words, high byte first.
    """

    design: str
    part: str
    date: str
    time: str
    data: bytes

    @classmethod
    def parse(cls, content: bytes) -> Bitstream:
        """Read the content of a .bit file.

        Raises
        ------
        ConfigError
            If it is none, or not whole.
        """
        if not content.startswith(MAGIC):
            raise ConfigError("Bitstream must be a .bit file of a Xilinx device: its header is "
                              "another one")
        place, texts = len(MAGIC), []
        for key in b"abcd":
            text, place = _field(content, place, key, ">H")
            texts.append(text.rstrip(b"\0").decode("latin-1"))
        data, _ = _field(content, place, ord("e"), ">I")
        if len(data) % 4 or SYNC not in data[:1024]:
            raise ConfigError("Bitstream must be whole words with a synchronisation word at the "
                              "beginning")
        return cls(*texts, data)

    def check_part(self, part: str) -> None:
        """Check that it is for a part, named as Vivado does.

        Raises
        ------
        ConfigError
            If it is for another one.
        """
        wanted = part.removeprefix("xc").partition("-")[0]
        if self.part != wanted:
            raise ConfigError(f"Bitstream must be for {wanted}, not for {self.part}")


def _field(content: bytes, place: int, key: int, size: str) -> tuple[bytes, int]:
    """Content of a field that begins at ``place``, and the place behind it."""
    start = place + 1 + struct.calcsize(size)
    if content[place:place + 1] != bytes((key,)) or len(content) < start:
        raise ConfigError(f"Bitstream must have a field {chr(key)!r} at byte {place}")
    length, = struct.unpack_from(size, content, place + 1)
    if len(content) < start + length:
        raise ConfigError(f"Bitstream must have {length} bytes in its field {chr(key)!r}, "
                          f"not {len(content) - start}")
    return content[start:start + length], start + length


def firmware(bitstream: Bitstream) -> bytes:
    """What Linux's FPGA manager takes of a bitstream: its words, low byte first, no header.

    As bootgen does it, with commands without effect up to a multiple of 32 bytes.
    """
    padding = -len(bitstream.data) % BLOCK // len(NOP)
    words = array.array("I", bitstream.data + padding * NOP)
    # A word is 32 bits on everything that Python runs on.
    words.byteswap()
    return words.tobytes()

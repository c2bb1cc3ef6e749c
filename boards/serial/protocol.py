"""Frames of the serial link, as both ends see them.

Bytes travel as 8N1. A frame is its content and a CRC-16 (polynomial 0x1021, initial value 0xFFFF,
high byte first), between two bytes FLAG; FLAG and ESCAPE inside are sent as ESCAPE and the byte
with bit 5 inverted, as in HDLC. So FLAG is never inside a frame, and a receiver that lost its place
has it again at the next one. Frames without content are no frames.

The host asks, the device answers, one at a time:

    request  tag  operation  arguments
    answer   tag  status     result

The tag of a request is 1..255, and its answer has the same one. To a frame that is corrupt, or
comes with bytes missing, the device answers with tag 0 and the status CORRUPT, and does nothing.
What the host sends before it has the answer is lost. Numbers are little-endian.

=========  =======================  ==============================================================
operation  arguments                result
=========  =======================  ==============================================================
HELLO                               version, most bytes of a request's content, inputs, outputs
RESET                               none; the unit, its registers and the FIFOs are reset
READ       address, 2 bytes         word of a register, 4 bytes
WRITE      address, 2; word, 4      none
SEND       input; beats             number of beats taken, a byte
RECEIVE    output; most beats       the beats that are there
=========  =======================  ==============================================================

A beat is the signals TDATA, TKEEP, TUSER and TLAST of its AXI4-Stream bus, those that it has, from
the lowest bit on, in whole bytes. SEND ends with STALLED if the unit takes no beat for a while, as
it does when its outputs are full: receive, and send the rest again.
"""

from __future__ import annotations

import binascii
import enum
from collections.abc import Iterator

__all__ = ["ESCAPE", "FLAG", "INVERT", "LIMIT", "MOST_BEAT", "VERSION", "Deframer", "Operation",
           "Status", "beat_bytes", "frame"]

#: Number of this protocol.
VERSION = 1

#: Bytes of a request's content at most: with the checksum, a memory of 256.
LIMIT = 254

#: Bytes of a beat of an input at most: those of SEND without tag, operation and stream.
MOST_BEAT = LIMIT - 3

FLAG, ESCAPE, INVERT = 0x7E, 0x7D, 0x20


class Operation(enum.IntEnum):
    """What a request asks for."""

    HELLO = 0
    RESET = 1
    READ = 2
    WRITE = 3
    SEND = 4
    RECEIVE = 5


class Status(enum.IntEnum):
    """What became of a request."""

    #: It was done.
    OK = 0
    #: There is no register at the address.
    SLVERR = 1
    #: The unit did not take all beats.
    STALLED = 2
    #: There is no such operation or stream, or arguments are missing or too many.
    MALFORMED = 3
    #: The checksum is wrong, or bytes are missing or too many.
    CORRUPT = 4


def beat_bytes(bits: int) -> int:
    """Bytes of a beat of so many bits."""
    return -(-bits // 8)


def frame(content: bytes) -> bytes:
    """Frame of a content, which is not empty."""
    whole = content + binascii.crc_hqx(content, 0xFFFF).to_bytes(2, "big")
    stuffed = bytearray()
    for byte in whole:
        stuffed += bytes((ESCAPE, byte ^ INVERT)) if byte in (FLAG, ESCAPE) else bytes((byte,))
    return bytes((FLAG, *stuffed, FLAG))


class Deframer:
    """Finds the frames in bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._inside = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """Take bytes, and yield the content of each frame that they end; None if it is corrupt."""
        for byte in data:
            if byte != FLAG:
                self._inside.append(byte)
            elif self._inside:
                yield _content(bytes(self._inside))
                self._inside.clear()


def _content(stuffed: bytes) -> bytes | None:
    """Content of what is between two flags."""
    parts = stuffed.split(bytes((ESCAPE,)))
    if any(not part for part in parts[1:]):
        return None
    whole = parts[0] + b"".join(bytes((part[0] ^ INVERT,)) + part[1:] for part in parts[1:])
    if len(whole) < 3 or binascii.crc_hqx(whole, 0xFFFF):
        return None
    return whole[:-2]

"""Bitstreams of no design: a header as Vivado writes it, and words at random."""

import random
import struct

__all__ = ["bitstream"]


def bitstream(part: str = "7z035ifbg676", words: int = 1000) -> bytes:
    """Return a .bit file: padding, the synchronisation word, and so many words."""
    data = (b"\xff" * 32 + bytes.fromhex("000000bb11220044") + b"\xff" * 8 +
            bytes.fromhex("aa995566") + random.Random(words).randbytes(4 * words))
    content = bytes.fromhex("00090ff00ff00ff00ff0000001")
    texts = "top;UserID=0XFFFFFFFF;Version=2024.1", part, "2026/11/22", "05:00:00"
    for key, text in zip(b"abcd", texts, strict=True):
        content += bytes((key,)) + struct.pack(">H", len(text) + 1) + text.encode() + b"\0"
    return content + b"e" + struct.pack(">I", len(data)) + data

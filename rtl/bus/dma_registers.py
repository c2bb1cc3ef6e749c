"""Registers of DMA channels, a block of 32 bytes each."""

from __future__ import annotations

import dataclasses

from .registers import WORD, Access, Field, Register

__all__ = ["Channel", "channel_registers"]

# Offset of the first channel's registers, and of the next one's from there.
CHANNELS = 0x200
STEP = 0x20

# Descriptors that wait in a channel beside the one it works on.
QUEUE = 4


@dataclasses.dataclass(frozen=True)
class Channel:
    """A DMA channel of a unit.

    Attributes
    ----------
    stream : str
        Stream of the unit.
    writes : bool
        Whether it writes to memory.
    user : bool
        Whether it carries the words beside the stream's beats, TUSER.
    packet : str
        What a row in memory becomes.
    """

    stream: str
    writes: bool
    user: bool
    packet: str

    @property
    def name(self) -> str:
        """Name that its registers start with."""
        return f"DMA_{self.stream.upper()}{'_USER' if self.user else ''}"

    @property
    def compares(self) -> bool:
        """Whether packets that come are compared with the rows of descriptors."""
        return self.writes or self.user


def channel_registers(channels):
    """Yield the registers of DMA channels, by ascending offset.

    Parameters
    ----------
    channels : sequence of Channel
        Channels, in the order of their numbers.
    """
    for n, channel in enumerate(channels):
        yield from _registers(channel, CHANNELS + STEP * n)


def _registers(channel, base):
    name, packet = channel.name, channel.packet
    way = "to" if channel.writes else "from"

    def word(place, what, width, meaning):
        return Register(f"{name}_{what}", base + place, (
            Field("VALUE", 0, width, Access.WRITE, meaning),), f"Descriptor: {meaning}")
    beside = " of TUSER words" if channel.user else ""
    yield word(0x00, "ADDRESS", 32, "physical byte address of the first row, a multiple of 8")
    yield word(0x04, "BYTES", 24, f"bytes of a row{beside}, at least 1")
    yield word(0x08, "ROWS", 16, f"rows, at least 1, a {packet} each")
    yield word(0x0C, "STRIDE", 32, "bytes from a row to the next, a multiple of 8")
    yield Register(f"{name}_START", base + 0x10, (
        Field("START", 0, 1, Access.PULSE, f"queues the descriptor: rows {way} memory"),),
        "Command")
    yield Register(f"{name}_STATUS", base + 0x14, (
        Field("BUSY", 0, 1, Access.READ, "a descriptor is not done"),
        Field("FULL", 1, 1, Access.READ, "no room for a further descriptor")),
        "What the channel does in this cycle")
    yield Register(f"{name}_DONE", base + 0x18, (
        Field("COUNT", 0, WORD, Access.READ, "descriptors done, modulo 2**32"),),
        "Number of descriptors done" + (": memory has answered" if channel.writes else ""))
    errors = [("SLVERR", "a burst was answered SLVERR"), ("DECERR", "a burst was answered DECERR"),
              ("REFUSED", "a descriptor is not aligned, or empty; it was done without effect"),
              ("OVERRUN", "a descriptor was started while the queue was full; it is lost")]
    if channel.writes:
        errors += [("SHORT", f"a {packet} was shorter than its row; the rest is unchanged"),
                   ("LONG", f"a {packet} was longer than its row, and was cut")]
    if channel.user:
        errors += [("SHORT", f"a row has fewer words than its {packet} beats; 0 stands for them"),
                   ("LONG", f"a row has more words than its {packet} beats; they were dropped")]
    yield Register(f"{name}_ERRORS", base + 0x1C, tuple(
        Field(field, k, 1, Access.CLEAR, meaning) for k, (field, meaning) in enumerate(errors)),
        "Errors of the channel since they were cleared")

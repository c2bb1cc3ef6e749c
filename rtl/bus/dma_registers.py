"""Registers of DMA channels, a block of 32 bytes each."""

from __future__ import annotations

import dataclasses

from .registers import WORD, Access, Field, Register

__all__ = ["Channel", "channel_registers"]

# Offset of the first channel's registers, and of the next one's from there.
CHANNELS = 0x200
STEP = 0x20

# Offsets, in a channel's registers, of those that every channel has.
STATUS, DONE, ERRORS = 0x14, 0x18, 0x1C

# Errors that memory answers with.
RESPONSES = (("SLVERR", "a burst was answered SLVERR"), ("DECERR", "a burst was answered DECERR"))

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
    requests : str or None
        Stream of the unit whose read requests the channel answers; None: software gives it
        descriptors.
    """

    stream: str
    writes: bool
    user: bool
    packet: str
    requests: str | None = None

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
    if channel.requests:
        yield from _fetching(channel, base)
        return
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
    yield Register(f"{name}_STATUS", base + STATUS, (
        Field("BUSY", 0, 1, Access.READ, "a descriptor is not done"),
        Field("FULL", 1, 1, Access.READ, "no room for a further descriptor")),
        "What the channel does in this cycle")
    yield Register(f"{name}_DONE", base + DONE, (
        Field("COUNT", 0, WORD, Access.READ, "descriptors done, modulo 2**32"),),
        "Number of descriptors done" + (": memory has answered" if channel.writes else ""))
    errors = [*RESPONSES,
              ("REFUSED", "a descriptor is not aligned, or empty; it was done without effect"),
              ("OVERRUN", "a descriptor was started while the queue was full; it is lost")]
    if channel.writes:
        errors += [("SHORT", f"a {packet} was shorter than its row; the rest is unchanged"),
                   ("LONG", f"a {packet} was longer than its row, and was cut")]
    if channel.user:
        errors += [("SHORT", f"a row has fewer words than its {packet} beats; 0 stands for them"),
                   ("LONG", f"a row has more words than its {packet} beats; they were dropped")]
    yield _errors(name, base, errors)


def _fetching(channel, base):
    """Registers of a channel that the unit drives: those that say what it does, in their places."""
    name = channel.name
    yield Register(f"{name}_STATUS", base + STATUS, (
        Field("BUSY", 0, 1, Access.READ, "a request has not got all of its answer"),),
        f"What the channel does in this cycle; it answers {channel.requests}")
    yield Register(f"{name}_DONE", base + DONE, (
        Field("COUNT", 0, WORD, Access.READ, "requests done, modulo 2**32"),),
        "Number of requests done")
    yield _errors(name, base, [
        *RESPONSES, ("REFUSED", "a request is not aligned, or empty; it has no answer")])


def _errors(name, base, errors):
    return Register(f"{name}_ERRORS", base + ERRORS, tuple(
        Field(field, k, 1, Access.CLEAR, meaning) for k, (field, meaning) in enumerate(errors)),
        "Errors of the channel since they were cleared")

"""Rows of bytes through a device: by its DMA channels, or packet by packet."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from typing import Self

import numpy as np

from .errors import TransferError, TransferTimeout
from .registers import Registers
from .transport import MemoryTransport, StreamTransport, Transport, TransportError

__all__ = ["ALIGNMENT", "MOST_BYTES", "MOST_ROWS", "Rows", "batch", "batch_bytes", "dma",
           "exchange"]

#: Of a descriptor: rows at most, bytes of a row at most, and what its address is a multiple of.
MOST_ROWS = (1 << 16) - 1
MOST_BYTES = (1 << 24) - 1
ALIGNMENT = 8


@dataclasses.dataclass(frozen=True)
class Rows:
    """Packets of a stream.

    Attributes
    ----------
    stream : str
        Stream.
    rows : array of uint8, shape (packets, bytes)
        Bytes.
    user : array of uint8, shape (packets, bytes), or None
        Words of TUSER; None: 0.
    share : int
        Packets that belong to one packet of the output.
    """

    stream: str
    rows: np.ndarray
    user: np.ndarray | None = None
    share: int = 1

    def part(self, start: int, count: int) -> Self:
        """Return the packets of some packets of the output."""
        some = slice(start * self.share, (start + count) * self.share)
        return dataclasses.replace(self, rows=self.rows[some],
                                   user=None if self.user is None else self.user[some])


# Packets ----------------------------------------------------------------------------------------

def exchange(transport: StreamTransport, registers: Registers, inputs: Sequence[Rows],
             size: int | None, timeout: float, leave: Collection[str] = ()) -> np.ndarray | None:
    """Send a packet of each input, receive one of ``size`` bytes, and so on; None: receive none.

    ``leave`` as of :meth:`Registers.errors`.
    """
    received = []
    for n in range(len(inputs[0].rows)):
        try:
            for each in inputs:
                transport.send(each.stream, each.rows[n].tobytes(),
                               None if each.user is None else each.user[n].tobytes())
            if size is not None:
                received.append(transport.receive("o", size, timeout))
        except TransportError as error:
            found = registers.errors(leave)
            if found:
                raise TransferError("; ".join(found)) from error
            raise TransferTimeout(str(error)) from error
    if found := registers.errors(leave):
        raise TransferError("; ".join(found))
    return None if size is None else np.frombuffer(b"".join(received), np.uint8).reshape(-1, size)


# DMA --------------------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class _Area:
    """Rows in memory: a descriptor of a channel. ``offset`` is where the first one begins."""

    channel: str
    offset: int
    bytes: int
    rows: int

    @property
    def stride(self) -> int:
        return -(-self.bytes // ALIGNMENT) * ALIGNMENT

    @property
    def end(self) -> int:
        return self.offset + self.stride * self.rows

    def view(self, memory: np.ndarray) -> np.ndarray:
        """Bytes of the rows, shape (rows, bytes)."""
        return memory[self.offset:self.end].reshape(self.rows, self.stride)[:, :self.bytes]


def dma(transport: MemoryTransport, registers: Registers, inputs: Sequence[Rows],
        size: int | None, timeout: float) -> np.ndarray | None:
    """Rows through DMA channels; as many at a time as the memory holds."""
    total = len(inputs[0].rows)
    share = batch_bytes([each.part(0, 1) for each in inputs], size and (1, size))
    count = min(total, len(transport.memory.data) // share,
                MOST_ROWS // max(each.share for each in inputs))
    if not count:
        raise ValueError(f"DMA memory must have at least {share} bytes for a row, not "
                         f"{len(transport.memory.data)}")
    received = None if size is None else np.empty((total, size), np.uint8)
    for start in range(0, total, count):
        some = [each.part(start, count) for each in inputs]
        rows = len(some[0].rows)
        # A channel is done before the unit has taken everything: a row must not overtake a load.
        found = batch(transport, registers, some, size and (rows, size), timeout,
                      taken=size is None)
        if received is not None:
            received[start:start + rows] = found
    return received


def batch_bytes(inputs: Sequence[Rows], output: tuple[int, int] | None) -> int:
    """Bytes of memory that :func:`batch` needs.

    Raises
    ------
    ValueError
        If a row, or their number, is too large for a descriptor.
    """
    areas = _areas(inputs, output)
    for area in areas:
        if area.bytes > MOST_BYTES:
            raise ValueError(f"Bytes of a row must be at most {MOST_BYTES}, not {area.bytes}")
        if area.rows > MOST_ROWS:
            raise ValueError(f"Rows of a stream must be at most {MOST_ROWS} at a time, not "
                             f"{area.rows}")
    return areas[-1].end


def batch(transport: MemoryTransport, registers: Registers, inputs: Sequence[Rows],
          output: tuple[int, int] | None, timeout: float, *, taken: bool = True,
          leave: Collection[str] = ()) -> np.ndarray | None:
    """Rows through DMA channels, all of them at once.

    Parameters
    ----------
    transport, registers
        The device.
    inputs : sequence of Rows
        What is sent, any number of rows into each stream.
    output : (int, int) or None
        Rows that come, and bytes of each.
    timeout : float
        Seconds that it may take.
    taken : bool
        Whether to wait until the unit has taken all inputs, and not only the channels.
    leave : collection of str
        As of :meth:`Registers.errors`.

    Returns
    -------
    array of uint8, shape ``output``, or None
        What came, in the memory itself: the next transfer overwrites it.
    """
    areas = _areas(inputs, output)
    memory = np.frombuffer(transport.memory.data, np.uint8)
    views = {area.channel: area.view(memory) for area in areas}
    for each in inputs:
        name = f"DMA_{each.stream.upper()}"
        views[name][:] = each.rows
        if each.user is not None:
            views[f"{name}_USER"][:] = each.user
    used = areas[-1].end
    transport.flush(0, used)
    counters = {f"{area.channel}_DONE": 1 for area in areas}
    if taken:
        counters |= {f"{each.stream.upper()}_PACKETS": len(each.rows) for each in inputs}
    wanted = {name: registers.read(name) + count for name, count in counters.items()}
    # What was found since the last transfer stays.
    registers.set("IRQ_PENDING", OUTPUT=1, WRITTEN=1)
    registers.set("IRQ_ENABLE", **({"ERROR": 1, "WRITTEN": 1} if transport.interrupts else {}))
    # The output first, so that no row waits for its place.
    for area in reversed(areas):
        address = transport.memory.address + area.offset
        for what, value in (("ADDRESS", address), ("BYTES", area.bytes), ("ROWS", area.rows),
                            ("STRIDE", area.stride)):
            registers.write(f"{area.channel}_{what}", value)
        registers.set(f"{area.channel}_START", START=1)
    _wait(transport, registers, wanted, output is not None, timeout, leave)
    if output is None:
        return None
    transport.invalidate(0, used)
    return views["DMA_O"]


def _areas(inputs: Sequence[Rows], output: tuple[int, int] | None) -> list[_Area]:
    """Areas of the channels, one behind the other."""
    wanted = [(f"DMA_{each.stream.upper()}", *each.rows.shape) for each in inputs]
    wanted += [(f"DMA_{each.stream.upper()}_USER", *each.user.shape)
               for each in inputs if each.user is not None]
    if output is not None:
        wanted.append(("DMA_O", *output))
    areas, place = [], 0
    for channel, rows, size in wanted:
        areas.append(_Area(channel, place, size, rows))
        place = areas[-1].end
    return areas


def _wait(transport: Transport, registers: Registers, wanted: dict[str, int], writes: bool,
          timeout: float, leave: Collection[str]) -> None:
    """Wait until each counter has come to what is wanted, or errors are found."""
    start, silent = transport.now(), False
    # There is an event for what is written only.
    interrupts = transport.interrupts and writes
    while True:
        left = start + timeout - transport.now()
        if interrupts:
            silent = not transport.wait_interrupt(max(left, 0.0))
        else:
            transport.pause()
        # Before the counters, so that no event is lost.
        registers.set("IRQ_PENDING", OUTPUT=1, WRITTEN=1)
        missing = [name for name, count in wanted.items()
                   if (registers.read(name) - count) & 0x80000000]
        if registers.fields("IRQ_PENDING")["ERROR"]:
            registers.set("IRQ_PENDING", ERROR=1)
            if found := registers.errors(leave):
                raise TransferError("; ".join(found))
        # What is written is there: the rest is polled for.
        interrupts = interrupts and "DMA_O_DONE" in missing
        if not missing and not silent:
            return
        if not missing:
            raise TransferTimeout("Transfer is done, but its interrupt never came: check the "
                                  "interrupt of the device tree")
        if silent or left <= 0:
            status = [name for name, value in registers.fields("STATUS").items() if value]
            raise TransferTimeout(f"Transfer does not end within {timeout} s: STATUS has "
                                  f"{', '.join(status) or 'nothing set'}; too low are "
                                  f"{', '.join(missing)}")

"""Rows of bytes through a device: by its DMA channels, or packet by packet."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from .registers import Registers
from .transport import MemoryTransport, StreamTransport, Transport, TransportError

__all__ = ["ALIGNMENT", "MOST_BYTES", "MOST_ROWS", "Rows", "TransferError", "TransferTimeout",
           "arm", "dma", "exchange", "start_rows", "wait"]

#: Limits of a descriptor: rows, bytes of a row, and what its address is a multiple of.
MOST_ROWS = (1 << 16) - 1
MOST_BYTES = (1 << 24) - 1
ALIGNMENT = 8


class TransferError(RuntimeError):
    """The device found errors in what it was given, or memory answered with some."""


class TransferTimeout(TransferError):
    """A transfer does not end."""


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
    """

    stream: str
    rows: np.ndarray
    user: np.ndarray | None = None


# Packets ----------------------------------------------------------------------------------------

def exchange(transport: StreamTransport, registers: Registers, inputs: Sequence[Rows],
             size: int | None, timeout: float) -> np.ndarray | None:
    """Send a packet of each input, receive one of ``size`` bytes, and so on; None: receive none."""
    received = []
    for n in range(len(inputs[0].rows)):
        try:
            for each in inputs:
                transport.send(each.stream, each.rows[n].tobytes(),
                               None if each.user is None else each.user[n].tobytes())
            if size is not None:
                received.append(transport.receive("o", size, timeout))
        except TransportError as error:
            found = registers.errors()
            if found:
                raise TransferError("; ".join(found)) from error
            raise TransferTimeout(str(error)) from error
    if found := registers.errors():
        raise TransferError("; ".join(found))
    return None if size is None else np.frombuffer(b"".join(received), np.uint8).reshape(-1, size)


# DMA --------------------------------------------------------------------------------------------

@dataclasses.dataclass(frozen=True)
class _Area:
    """Rows in memory: a descriptor of a channel.

    The area of so many rows begins at so many times ``offset``.
    """

    channel: str
    offset: int
    bytes: int
    stride: int


def dma(transport: MemoryTransport, registers: Registers, inputs: Sequence[Rows],
        size: int | None, timeout: float) -> np.ndarray | None:
    """Rows through DMA channels; as many at a time as the memory holds."""
    total = len(inputs[0].rows)
    areas = _areas(inputs, size)
    share = sum(area.stride for area in areas)
    for area in areas:
        if area.bytes > MOST_BYTES:
            raise ValueError(f"Bytes of a row must be at most {MOST_BYTES}, not {area.bytes}")
    count = min(total, len(transport.memory.data) // share, MOST_ROWS)
    if not count:
        raise ValueError(f"DMA memory must have at least {share} bytes for a row, not "
                         f"{len(transport.memory.data)}")
    received = None if size is None else np.empty((total, size), np.uint8)
    for start in range(0, total, count):
        rows = min(count, total - start)
        _pass(transport, registers, areas, inputs, start, rows, received, timeout)
    return received


def _areas(inputs: Sequence[Rows], size: int | None) -> list[_Area]:
    """Areas of one row of each channel, one behind the other."""
    wanted = [(f"DMA_{each.stream.upper()}", each.rows.shape[1]) for each in inputs]
    wanted += [(f"DMA_{each.stream.upper()}_USER", each.user.shape[1])
               for each in inputs if each.user is not None]
    if size is not None:
        wanted.append(("DMA_O", size))
    areas, place = [], 0
    for channel, bytes in wanted:
        stride = -(-bytes // ALIGNMENT) * ALIGNMENT
        areas.append(_Area(channel, place, bytes, stride))
        place += stride
    return areas


def _pass(transport: MemoryTransport, registers: Registers, areas: Sequence[_Area],
          inputs: Sequence[Rows], start: int, rows: int, received: np.ndarray | None,
          timeout: float) -> None:
    """Some of the rows: into memory, through the device, and back."""
    memory = np.frombuffer(transport.memory.data, np.uint8)
    views = {area.channel: memory[area.offset * rows:][:area.stride * rows].reshape(
        rows, area.stride)[:, :area.bytes] for area in areas}
    for each in inputs:
        name = f"DMA_{each.stream.upper()}"
        views[name][:] = each.rows[start:start + rows]
        if each.user is not None:
            views[f"{name}_USER"][:] = each.user[start:start + rows]
    used = sum(area.stride for area in areas) * rows
    transport.flush(0, used)
    counters = {f"{area.channel}_DONE": 1 for area in areas}
    if received is None:
        # A channel is done before the unit has taken everything: a row must not overtake a load.
        counters |= {f"{each.stream.upper()}_PACKETS": rows for each in inputs}
    wanted = arm(transport, registers, counters)
    # The output first, so that no row waits for its place.
    for area in reversed(areas):
        start_rows(registers, area.channel, transport.memory.address + area.offset * rows,
                   area.bytes, rows, area.stride)
    wait(transport, registers, wanted, received is not None, timeout)
    if received is not None:
        transport.invalidate(0, used)
        received[start:start + rows] = views["DMA_O"]


def arm(transport: Transport, registers: Registers, counters: Mapping[str, int]) -> dict[str, int]:
    """Counters that a transfer is to raise by so much, as they are to be then; interrupts on."""
    wanted = {name: registers.read(name) + count for name, count in counters.items()}
    registers.write("IRQ_PENDING", 0xFFFFFFFF)
    registers.set("IRQ_ENABLE", **({"ERROR": 1, "WRITTEN": 1} if transport.interrupts else {}))
    return wanted


def start_rows(registers: Registers, channel: str, address: int, size: int, rows: int,
               stride: int) -> None:
    """Start a descriptor of a channel: so many rows of ``size`` bytes, ``stride`` bytes apart."""
    for what, value in (("ADDRESS", address), ("BYTES", size), ("ROWS", rows),
                        ("STRIDE", stride)):
        registers.write(f"{channel}_{what}", value)
    registers.set(f"{channel}_START", START=1)


def wait(transport: Transport, registers: Registers, wanted: dict[str, int], writes: bool,
         timeout: float) -> None:
    """Wait until each counter has come to what is wanted, or errors are found."""
    start, silent = transport.now(), False
    # There is an event for what is written only.
    interrupts = transport.interrupts and writes
    while True:
        left = start + timeout - transport.now()
        if interrupts:
            silent = not transport.wait_interrupt(max(left, 0.0))
            registers.write("IRQ_PENDING", registers.read("IRQ_PENDING"))
        else:
            transport.pause()
        missing = [name for name, count in wanted.items()
                   if (registers.read(name) - count) & 0x80000000]
        if found := registers.errors():
            raise TransferError("; ".join(found))
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

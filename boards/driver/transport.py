"""How a driver reaches a device: its registers, and memory or streams for the data."""

from __future__ import annotations

import abc
import dataclasses
import time
from types import TracebackType
from typing import Self

__all__ = ["Buffer", "MemoryTransport", "StreamTransport", "Transport", "TransportError"]


class TransportError(OSError):
    """The device can not be reached; the message is one line."""


@dataclasses.dataclass(frozen=True)
class Buffer:
    """Memory that both the processor and the device reach.

    Attributes
    ----------
    address : int
        Physical address of the first byte, a multiple of 8.
    data : memoryview
        The bytes, writable.
    """

    address: int
    data: memoryview

    def __post_init__(self) -> None:
        if self.address % 8:
            raise TransportError(f"Address of a DMA buffer must be a multiple of 8, not "
                                 f"0x{self.address:08x}")
        if not 0 <= self.address <= (1 << 32) - len(self.data):
            raise TransportError(f"DMA buffer must be below 4 GiB, not at 0x{self.address:x} with "
                                 f"{len(self.data)} bytes")


class Transport(abc.ABC):
    """Registers of a device. A context manager that closes itself."""

    #: Whether :meth:`wait_interrupt` works; a driver polls otherwise.
    interrupts = False

    @abc.abstractmethod
    def read32(self, offset: int) -> int:
        """Read the register at a byte offset."""

    @abc.abstractmethod
    def write32(self, offset: int, value: int) -> None:
        """Write the register at a byte offset."""

    def wait_interrupt(self, timeout: float) -> bool:
        """Wait for an interrupt for so many seconds; False if none came."""
        raise NotImplementedError

    def now(self) -> float:
        """Time in seconds that timeouts are measured in."""
        return time.monotonic()

    def pause(self) -> None:
        """Wait between two polls."""
        time.sleep(20e-6)

    def close(self) -> None:  # noqa: B027 - a device need not be given back
        """Give the device back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()


class MemoryTransport(abc.ABC):
    """What a :class:`Transport` to a device with DMA channels is, too: data goes through memory."""

    @property
    @abc.abstractmethod
    def memory(self) -> Buffer:
        """Memory for DMA; one driver at a time uses it."""

    def flush(self, offset: int, size: int) -> None:  # noqa: B027 - there may be no cache
        """Hand bytes of the memory over to the device, after the processor wrote them."""

    def invalidate(self, offset: int, size: int) -> None:  # noqa: B027 - as before
        """Take bytes of the memory back, before the processor reads what the device wrote."""


class StreamTransport(abc.ABC):
    """What a :class:`Transport` to a device without memory is, too: packets, one at a time."""

    @abc.abstractmethod
    def send(self, stream: str, packet: bytes, user: bytes | None = None) -> None:
        """Send a packet into a stream: its bytes are those of TDATA, lowest first.

        TLAST is set on its last beat, TKEEP by its length. ``user`` has ``ceil(TUSER bits / 8)``
        bytes for each beat, lowest first; None: TUSER is 0.
        """

    @abc.abstractmethod
    def receive(self, stream: str, size: int, timeout: float) -> bytes:
        """Receive a packet of ``size`` bytes.

        Raises
        ------
        TransportError
            If none comes in so many seconds, or one of another length.
        """

    def poll(self, stream: str) -> bytes | None:
        """Next packet of a stream, of any length, or None if there is none yet.

        Needed by units that read memory by themselves.
        """
        raise NotImplementedError

    def reset(self) -> None:  # noqa: B027 - there may be nothing
        """Drop what is on its way to and from the unit, which is reset by a register."""

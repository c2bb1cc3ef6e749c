"""Transport on a board with Linux: registers by UIO, memory by u-dma-buf."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import pathlib
import select
import struct

from .transport import Buffer, MemoryTransport, Transport, TransportError

__all__ = ["Uio"]

# Bytes of the register window.
WINDOW = 4096

# For u-dma-buf: what sync_for_device and sync_for_cpu take besides offset and size.
_BIDIRECTIONAL = 0


class Uio(Transport, MemoryTransport):
    """Registers of ``/dev/<uio>``, memory of ``/dev/<dma>``.

    The HP ports of a Zynq-7000 are not coherent with the caches: u-dma-buf cleans and invalidates
    on request. The device is locked as long as the transport is open, so that a second process is
    refused.

    Parameters
    ----------
    uio : str
        Name of the UIO device.
    dma : str
        Name of the u-dma-buf.
    root : path
        Where ``dev`` and ``sys`` are; another one than ``/`` for tests.
    """

    interrupts = True

    def __init__(self, uio: str = "uio0", dma: str = "udmabuf0",
                 root: str | os.PathLike[str] = "/") -> None:
        root = pathlib.Path(root)
        self._sys = root / "sys/class/u-dma-buf" / dma
        self._files: list[int] = []
        self._maps: list[mmap.mmap] = []
        try:
            self._uio = self._open(root / "dev" / uio)
            self._lock(root / "dev" / uio)
            self._window = self._map(self._uio, WINDOW, uio)
            # Reads and writes of whole words: a byte-wise copy would be several accesses.
            self._words = memoryview(self._window).cast("I")
            size, address = (self._number(name) for name in ("size", "phys_addr"))
            self._memory = Buffer(address, memoryview(self._map(
                self._open(root / "dev" / dma), size, dma)))
        except BaseException:
            self.close()
            raise

    def _open(self, path: pathlib.Path) -> int:
        try:
            file = os.open(path, os.O_RDWR)
        except OSError as error:
            hint = {errno.ENOENT: "; is the device-tree overlay applied?",
                    errno.EACCES: "; run as root, or allow it by a udev rule"}
            raise TransportError(f"Device {path} can not be opened: {error.strerror}"
                                 f"{hint.get(error.errno, '')}") from None
        self._files.append(file)
        return file

    def _lock(self, path: pathlib.Path) -> None:
        try:
            fcntl.flock(self._uio, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TransportError(f"Device {path} is in use by another process") from None

    def _map(self, file: int, size: int, name: str) -> mmap.mmap:
        try:
            self._maps.append(mmap.mmap(file, size))
        except (OSError, ValueError) as error:
            raise TransportError(f"Device {name} can not be mapped with {size} bytes: "
                                 f"{error}") from None
        return self._maps[-1]

    def _number(self, name: str) -> int:
        try:
            return int((self._sys / name).read_text(), 0)
        except (OSError, ValueError) as error:
            raise TransportError(f"Size and address of the DMA buffer can not be read from "
                                 f"{self._sys / name}: {error}") from None

    def read32(self, offset: int) -> int:
        return self._words[offset // 4]

    def write32(self, offset: int, value: int) -> None:
        self._words[offset // 4] = value

    def wait_interrupt(self, timeout: float) -> bool:
        # UIO masks the interrupt when it comes; a write enables it again.
        os.write(self._uio, struct.pack("=I", 1))
        ready, _, _ = select.select([self._uio], [], [], timeout)
        if ready:
            os.read(self._uio, 4)
        return bool(ready)

    @property
    def memory(self) -> Buffer:
        return self._memory

    def flush(self, offset: int, size: int) -> None:
        self._sync("sync_for_device", offset, size)

    def invalidate(self, offset: int, size: int) -> None:
        self._sync("sync_for_cpu", offset, size)

    def _sync(self, name: str, offset: int, size: int) -> None:
        """One write: offset, size, direction and a 1 to start, as u-dma-buf packs them."""
        word = offset << 32 | (size + 15) & ~15 | _BIDIRECTIONAL << 2 | 1
        try:
            (self._sys / name).write_text(f"0x{word:016X}")
        except OSError as error:
            raise TransportError(f"Caches can not be synchronised by {self._sys / name}: "
                                 f"{error.strerror}") from None

    def close(self) -> None:
        for name in ("_words", "_memory"):
            self.__dict__.pop(name, None)
        while self._maps:
            self._maps.pop()
        while self._files:
            os.close(self._files.pop())

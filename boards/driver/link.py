"""A device that is what its manifest says, and packets through it."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .errors import AnswerError, DeviceError, TransferError, TransferTimeout
from .packing import Stream
from .registers import Registers
from .resident import Step
from .transfer import Rows, batch, batch_bytes, dma, exchange
from .transport import MemoryTransport, StreamTransport, Transport

__all__ = ["Link"]

# What the registers of every unit have, and the arrangements that this driver knows.
MAGIC = 0x5452544C
STREAMS, DMA = 1, 2


class Link:
    """A unit behind a transport, checked before its first use: packets in and out.

    Parameters as those of :class:`boards.driver.Device`.

    Attributes
    ----------
    transport : Transport
        What reaches the device.
    manifest : dict
        Manifest of the unit.
    timeout : float
        Seconds that a transfer may take.
    registers : Registers
        All registers.
    streams : dict of str to Stream
        Streams of the unit.
    """

    def __init__(self, transport: Transport, manifest: str | os.PathLike[str] | Mapping[str, Any],
                 *, timeout: float = 1.0) -> None:
        if not isinstance(manifest, Mapping):
            manifest = _read(manifest)
        if "registers" not in manifest:
            raise DeviceError(f"Unit {manifest['name']} must have registers: generate it with "
                              "--control axi-lite or axi-dma")
        self.transport, self.manifest, self.timeout = transport, manifest, timeout
        self.registers = Registers(transport, manifest["registers"])
        self.streams = {name: Stream(name, **{key: each[key] for key in Stream.KEYS})
                        for name, each in manifest["streams"].items()}
        # Bytes of a word of TUSER, by the stream that has a channel for them.
        ports = manifest["modules"][f"{manifest['name']}_axis"]
        widths = {port["stream"]: port["width"] for port in ports
                  if port["name"].endswith("_tuser")}
        self._users = {each["stream"]: -(-widths[each["stream"]] // 8)
                       for each in manifest.get("channels", ()) if each["user"]}
        self._check()
        # Fields of ERRORS that say that an answer has a mark.
        self._marks = [each for each in self.registers.names_of("ERRORS")
                       if each.endswith("_MARKED")]

    def _check(self) -> None:
        """Compare the registers that never change with the manifest."""
        registers, name = self.registers, self.manifest["name"]
        found = registers.read("ID")
        if found != MAGIC:
            raise DeviceError(f"Register ID must be 0x{MAGIC:08x}, not 0x{found:08x}: no unit of "
                              "this generator is at this address")
        arrangement = registers.fields("VERSION")["MAP"]
        wanted = registers.reset_of("VERSION", "MAP")
        if arrangement != wanted or wanted not in (STREAMS, DMA):
            raise DeviceError(f"Arrangement of the registers must be {wanted}, as the manifest of "
                              f"{name} says, not {arrangement}: load the bitstream made with it")
        found = registers.read("CONFIG_HASH")
        if found != int(self.manifest["hash"], 16):
            raise DeviceError(f"Configuration must be {self.manifest['hash']} ({name}), not "
                              f"{found:08x}: the bitstream holds another unit")
        kind = MemoryTransport if wanted == DMA else StreamTransport
        if not isinstance(self.transport, kind):
            raise DeviceError(f"Transport must be a {kind.__name__} for {name} "
                              f"{'with' if wanted == DMA else 'without'} DMA, not "
                              f"{type(self.transport).__name__}")
        self.reset()

    def reset(self) -> None:
        """Empty the unit, and clear errors and interrupts."""
        registers, transport = self.registers, self.transport
        if isinstance(transport, StreamTransport):
            transport.reset()
        registers.set("CONTROL", RESET=1)
        start = transport.now()
        while registers.fields("STATUS").get("DRAINING"):
            if transport.now() - start > self.timeout:
                raise TransferTimeout("Memory does not answer what the device asked for; only a "
                                      "new configuration of the device helps")
            transport.pause()
        registers.set("CONTROL", CLEAR_ERRORS=1)
        registers.write("IRQ_PENDING", 0xFFFFFFFF)

    def _require(self, family: str) -> None:
        unit = self.manifest["unit"]
        if unit.partition("-")[0] != family:
            raise DeviceError(f"Device must hold a unit of {family}, not {unit}")

    def _require_user(self, stream: str) -> None:
        if isinstance(self.transport, MemoryTransport) and stream not in self._users:
            raise DeviceError("Masks must come from memory: generate the unit with --user memory")

    # Transfers ---------------------------------------------------------------------------------

    def _transfer(self, inputs: Mapping[str, np.ndarray], users: Mapping[str, np.ndarray],
                  size: int | None) -> np.ndarray | None:
        """Send rows of bytes, and receive rows of ``size`` bytes, one for each of the first input.

        Of every input there are as many rows, or a multiple.
        """
        sets = len(next(iter(inputs.values())))
        run = dma if isinstance(self.transport, MemoryTransport) else exchange
        try:
            return run(self.transport, self.registers,
                       [Rows(name, rows, self._words(name, rows, users), len(rows) // sets)
                        for name, rows in inputs.items()], size, self.timeout)
        except (TransferError, TransferTimeout):
            self.reset()
            raise

    def _steps(self, steps: Sequence[Step]) -> np.ndarray | None:
        """Run steps one behind the other; rows of bytes that come, of as many bytes each.

        Raises
        ------
        AnswerError
            If one of them has a mark.
        """
        rows = [[Rows(name, each, self._words(name, each, step.users))
                 for name, each in step.inputs.items()] for step in steps]
        try:
            found = self._batched(steps, rows)
        except (TransferError, TransferTimeout):
            self.reset()
            raise
        if marked := self.registers.taken(self._marks):
            raise AnswerError("; ".join(marked))
        return found

    def _batched(self, steps: Sequence[Step], rows: Sequence[Sequence[Rows]]) -> np.ndarray | None:
        """Run steps in one transfer, where all of them have room and rows of as many bytes."""
        sizes = [step.size for step in steps if step.size]
        if isinstance(self.transport, MemoryTransport):
            output = (len(sizes), sizes[0]) if sizes else None
            room = len(self.transport.memory.data)
            if _alike(rows) and batch_bytes(inputs := _joined(rows), output) <= room:
                found = batch(self.transport, self.registers, inputs, output, self.timeout,
                              leave=self._marks)
                return None if found is None else found.copy()
            # Before anything is sent.
            least = max(batch_bytes(each, (1, step.size) if step.size else None)
                        for step, each in zip(steps, rows, strict=True))
            if least > room:
                raise ValueError(f"DMA memory must have at least {least} bytes for a command, not "
                                 f"{room}")
            found = [self._batched([step], [each]) for step, each in zip(steps, rows, strict=True)]
        else:
            found = [exchange(self.transport, self.registers, each, step.size or None,
                              self.timeout, self._marks)
                     for step, each in zip(steps, rows, strict=True)]
        return np.concatenate([each for each in found if each is not None]) if sizes else None

    def _words(self, name: str, rows: np.ndarray,
               users: Mapping[str, np.ndarray]) -> np.ndarray | None:
        """Words of TUSER of a stream's rows; a channel for them needs some, if only zeros."""
        if name in users or name not in self._users:
            return users.get(name)
        stream = self.streams[name]
        beats = -(-rows.shape[1] // (stream.lanes * stream.size))
        return np.zeros((len(rows), beats * self._users[name]), np.uint8)


def _alike(rows: Sequence[Sequence[Rows]]) -> bool:
    """Whether the rows of several steps for a stream have as many bytes each."""
    sizes = {(each.stream, each.rows.shape[1]) for step in rows for each in step}
    return len(sizes) == len({stream for stream, _ in sizes})


def _joined(rows: Sequence[Sequence[Rows]]) -> list[Rows]:
    """Rows of several steps, together for each stream."""
    streams: dict[str, list[Rows]] = {}
    for step in rows:
        for each in step:
            streams.setdefault(each.stream, []).append(each)
    return [Rows(name, np.concatenate([one.rows for one in each]),
                 None if each[0].user is None else np.concatenate([one.user for one in each]))
            for name, each in streams.items()]


def _read(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    try:
        return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise DeviceError(f"Manifest {path} can not be read: {error.strerror}") from None
    except ValueError as error:
        raise DeviceError(f"Manifest {path} is not valid JSON: {error}") from None

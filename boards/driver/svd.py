"""Hidden vectors through a unit of SVD-softmax, whose output matrix is an image in memory."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import struct
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .errors import TransferError, TransferTimeout
from .packing import Stream, within
from .registers import Registers
from .transfer import ALIGNMENT, MOST_BYTES, MOST_ROWS, Rows, batch
from .transport import MemoryTransport, StreamTransport, Transport, TransportError
from .verification import compared, image_of, model_of

__all__ = ["SvdHead", "SvdImageFile", "SvdOutput"]

# Of an image's header: its bytes, its fields of 32 bits, and the first one of them.
HEADER = struct.Struct("<16I")
FIELDS = ("magic", "hash", "vocabulary", "columns", "count", "shift", "preview", "tail", "basis",
          "size", "crc")
MAGIC = int.from_bytes(b"SVDS", "little")

# What an image's address is a multiple of; its address where there is no memory.
PAGE = 4096

# Words of a setup, and of an output: index, probability, logit, log-partition.
SETUP = struct.Struct("<4I")
WORDS = 4
SELECTED = 1 << 31


class SvdOutput(NamedTuple):
    """Outputs of hidden vectors, as those of :class:`sim.model.svd.softmax.SvdOutput`.

    Attributes
    ----------
    index : int32 array (..., N)
        Words of the full view, in rising order.
    probability : int32 array (..., N)
        Their probabilities.
    logit : int32 array (..., N)
        Their logits.
    log_partition : int64 array (...,)
        Logarithm of the sum of all exponentials.
    mixed, probabilities : int32 array (..., V) or None
        Logits and probabilities of all words, from a unit with ``whole``.
    """

    index: np.ndarray
    probability: np.ndarray
    logit: np.ndarray
    log_partition: np.ndarray
    mixed: np.ndarray | None = None
    probabilities: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class SvdImageFile:
    """An image (``image.bin`` of ``python -m sim.svd``) that fits a unit.

    Attributes
    ----------
    content : bytes
        The image.
    vocabulary, columns, count : int
        V and W that it was made for, and N that it is recommended with.
    """

    content: bytes
    vocabulary: int
    columns: int
    count: int

    @classmethod
    def read(cls, image: bytes | str | os.PathLike[str],
             manifest: Mapping[str, Any]) -> SvdImageFile:
        """Check an image, or the file that holds it, against the manifest of a unit.

        Raises
        ------
        ValueError
            If it can not be read, is damaged, or was made for another configuration.
        """
        if isinstance(image, (str, os.PathLike)):
            try:
                image = pathlib.Path(image).read_bytes()
            except OSError as error:
                raise ValueError(f"Image {image} can not be read: {error.strerror}") from None
        content = bytes(image)
        if len(content) < HEADER.size:
            raise ValueError(f"Image must have at least {HEADER.size} bytes, not {len(content)}")
        header = dict(zip(FIELDS, HEADER.unpack_from(content), strict=False))
        if header["magic"] != MAGIC:
            raise ValueError(f"Image must start with 0x{MAGIC:08x}, not 0x{header['magic']:08x}: "
                             "it is no image of this generator")
        wanted = manifest["constants"]["IMAGE_HASH"]
        if header["hash"] != wanted:
            raise ValueError(f"Image must have the hash {wanted:08x}, not {header['hash']:08x}: it "
                             f"was made for another configuration than {manifest['name']}")
        if header["size"] != len(content):
            raise ValueError(f"Image must have {header['size']} bytes, as its header says, not "
                             f"{len(content)}")
        crc = zlib.crc32(content[HEADER.size:])
        if header["crc"] != crc:
            raise ValueError(f"Image must have the CRC {header['crc']:08x}, as its header says, "
                             f"not {crc:08x}: it is damaged")
        for name, most in (("vocabulary", "max_vocab"), ("columns", "max_preview")):
            bound = manifest["parameters"][most]
            if not 1 <= header[name] <= bound:
                raise ValueError(f"Number {name} of the image must be in 1..{bound} ({most}), "
                                 f"not {header[name]}")
        return cls(content, *(header[name] for name in ("vocabulary", "columns", "count")))


class SvdHead:
    """The unit behind a transport.

    With DMA the image stays at the end of the DMA memory; vectors and outputs are before it. With
    streams the host answers the unit's read requests, vector by vector.

    Parameters
    ----------
    transport : Transport
        What reaches the unit.
    registers : Registers
        Its registers.
    manifest : dict
        Its manifest.
    streams : dict of str to Stream
        Its streams.
    """

    def __init__(self, transport: Transport, registers: Registers, manifest: Mapping[str, Any],
                 streams: Mapping[str, Stream]) -> None:
        self._transport, self._registers, self._manifest = transport, registers, manifest
        self._streams = streams
        self._parameters = manifest["parameters"]
        self._image: SvdImageFile | None = None
        # Byte of the memory that the image starts at: those before it are free.
        self._start = 0

    @property
    def image(self) -> SvdImageFile:
        """The image that is loaded.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self._image is None:
            raise ValueError("Image must be loaded before hidden vectors: "
                             "device.load_image(\"image.bin\")")
        return self._image

    def load(self, image: bytes | str | os.PathLike[str]) -> None:
        """Put an image into the memory; see :meth:`SvdImageFile.read`."""
        checked = SvdImageFile.read(image, self._manifest)
        if isinstance(self._transport, MemoryTransport):
            memory, size = self._transport.memory, len(checked.content)
            end = memory.address + len(memory.data)
            start = (end - size) // PAGE * PAGE - memory.address
            if start < SETUP.size:
                raise ValueError(f"DMA memory must have at least {SETUP.size + size + PAGE} bytes "
                                 f"for this image, not {len(memory.data)}")
            # What was there is lost, whatever happens now.
            self._image, self._start = None, start
            memory.data[start:start + size] = checked.content
            self._transport.flush(start, size)
        self._image = checked

    def run(self, x: np.ndarray, vocabulary: int | None, count: int | None,
            timeout: float) -> SvdOutput:
        """Outputs of hidden vectors (..., dim); see :meth:`~boards.driver.Device.svd_softmax`."""
        image, dim = self.image, self._parameters["dim"]
        x = np.asarray(x)
        if x.ndim == 0 or x.shape[-1] != dim:
            raise ValueError(f"Hidden vectors must have the shape (..., {dim}), not {x.shape}")
        rows = self._streams["h"].rows(x)
        vocabulary = image.vocabulary if vocabulary is None else \
            within("Number vocabulary", vocabulary, 1, image.vocabulary)
        most = min(vocabulary, self._parameters["max_count"])
        count = min(image.count, most) if count is None else \
            within("Number count", count, 1, most)
        words = vocabulary if self._parameters["whole"] else count
        setup = vocabulary, image.columns, count
        run = self._by_dma if isinstance(self._transport, MemoryTransport) else self._by_streams
        found = run(rows, setup, 4 * WORDS * words, timeout)
        return self._output(found.view("<u4").reshape(len(rows), words, WORDS), x.shape[:-1], count)

    def verified(self, y: SvdOutput, x: np.ndarray, vocabulary: int | None) -> SvdOutput:
        """Return the outputs of ``x``, if they are those of :mod:`sim.model.svd`."""
        image = image_of(self._manifest, self.image.content)
        expected = model_of(self._manifest, {})(
            np.asarray(x), image, whole=True, vocabulary=vocabulary, count=y.index.shape[-1])
        for name, value in y._asdict().items():
            if value is not None:
                compared(value, getattr(expected, name))
        return y

    def _output(self, found: np.ndarray, shape: tuple[int, ...], count: int) -> SvdOutput:
        """Words of the outputs (vectors, outputs, 4), as arrays of the vectors' shape."""
        index, probability, logit, log = (found[..., k] for k in range(WORDS))
        chosen = (index & SELECTED).astype(bool)
        if not (chosen.sum(axis=1) == count).all():
            raise TransferError(f"Outputs must have {count} words of the full view a vector, not "
                                f"{chosen.sum(axis=1).tolist()}")

        def selected(values: np.ndarray) -> np.ndarray:
            return values[chosen].reshape(*shape, count)
        probability, logit = probability.astype(np.int32), logit.view("<i4").astype(np.int32)
        every = (logit, probability) if self._parameters["whole"] else ()
        return SvdOutput(
            selected((index & ~np.uint32(SELECTED)).astype(np.int32)), selected(probability),
            selected(logit), log[:, 0].view("<i4").astype(np.int64).reshape(shape),
            *(values.reshape(*shape, -1) for values in every))

    # DMA ---------------------------------------------------------------------------------------

    def _by_dma(self, rows: np.ndarray, setup: tuple[int, int, int], size: int,
                timeout: float) -> np.ndarray:
        """Batches of as many vectors as the memory and a descriptor hold."""
        if size > MOST_BYTES:
            raise ValueError(f"Bytes of a vector's outputs must be at most {MOST_BYTES}, not "
                             f"{size}")
        share = rows.shape[1] + size
        room = self._start - SETUP.size - ALIGNMENT
        most = min(room // share, MOST_BYTES // rows.shape[1], MOST_ROWS)
        if most < 1:
            raise ValueError(f"DMA memory must have at least {share + SETUP.size + ALIGNMENT} "
                             f"bytes before the image for a vector, not {self._start}")
        words = SETUP.pack(self._transport.memory.address + self._start, *setup)
        setups = Rows("setup", np.frombuffer(words, np.uint8)[None])
        found = np.empty((len(rows), size), np.uint8)
        for first in range(0, len(rows), most):
            some = rows[first:first + most]
            found[first:first + len(some)] = batch(
                self._transport, self._registers, [setups, Rows("h", some.reshape(1, -1))],
                (len(some), size), timeout)
        return found

    # Streams -----------------------------------------------------------------------------------

    def _by_streams(self, rows: np.ndarray, setup: tuple[int, int, int], size: int,
                    timeout: float) -> np.ndarray:
        """A setup for each vector: the unit takes it once its requests have been answered."""
        transport, found = self._transport, []
        words = SETUP.pack(PAGE, *setup)
        for row in rows:
            try:
                transport.send("setup", words)
                self._serve(HEADER.size, None, timeout)
                transport.send("h", row.tobytes())
                found.append(self._serve(None, size, timeout))
            except TransportError as error:
                if faults := self._registers.errors():
                    raise TransferError("; ".join(faults)) from error
                raise TransferTimeout(str(error)) from error
        if faults := self._registers.errors():
            raise TransferError("; ".join(faults))
        return np.frombuffer(b"".join(found), np.uint8).reshape(len(rows), size)

    def _serve(self, least: int | None, size: int | None, timeout: float) -> bytes | None:
        """Answer requests until ``least`` bytes were asked for, or a packet of outputs comes."""
        transport: StreamTransport = self._transport
        width, answered, last = self._parameters["port_bits"] // 8, 0, transport.now()
        while least is None or answered < least:
            if (request := transport.poll("request")) is not None:
                address, beats = struct.unpack("<2I", request)
                part = self.image.content[address - PAGE:][:beats * width]
                transport.send("response", part.ljust(beats * width, b"\0"))
                answered, last = answered + len(part), transport.now()
            elif size is not None and (packet := transport.poll("o")) is not None:
                if len(packet) != size:
                    raise TransportError(f"Packet of o must have {size} bytes, not {len(packet)}")
                return packet
            elif transport.now() - last > timeout or self._registers.read("STATUS") >> 1 & 1:
                raise TransportError(f"Unit asked for nothing and gave nothing in {timeout:g} s, "
                                     f"with {answered} bytes read")
        return None

"""Image of a factored output matrix in the memory of the SVD-softmax engine: arrays to bytes.

The layout is that of :mod:`rtl.svd.image`. What is in the arrays is anybody's choice: this module
packs and checks integers, and knows nothing of factorisations or scales.
"""

from __future__ import annotations

import dataclasses
import struct
import zlib

import numpy as np

from rtl.fixed import signed_range
from rtl.svd.config import (
    BASIS_BITS,
    BASIS_SHIFT_BITS,
    BIAS_BITS,
    OFFSET_BITS,
    SHIFT_BITS,
    SvdSoftmaxConfig,
)
from rtl.svd.image import HEADER, HEADER_BYTES, MAGIC

__all__ = ["SvdImage"]


@dataclasses.dataclass(frozen=True, eq=False)
class SvdImage:
    """Integers of an image: V words, D columns, W of them in the preview.

    Attributes
    ----------
    preview : integers (V, W)
        Weights ``B[:, :W]``, of ``config.bits`` bits, signed.
    tail : integers (V, D) with ``config.residual``, (V, D - W) without it
        Weights ``T`` of the full view, of ``config.full_bits`` bits, signed.
    bias : integers (V,)
        Biases in steps of the preview's sums, 32 bits, signed.
    shift : int
        Right shift from the preview's sums to logits, 0..31.
    count : int
        N that the image is recommended with.
    basis : integers (D, D) or None
        Rows ``R`` of the transform, 16 bits, signed; None with ``transform="supplied"``, as the two
        next.
    offset : integers (D,) or None
        Offsets ``o``, 48 bits, signed.
    basis_shift : integers (D,) or None
        Right shifts ``r`` from a row's sum to ``h``, 0..63.
    """

    preview: np.ndarray
    tail: np.ndarray
    bias: np.ndarray
    shift: int
    count: int
    basis: np.ndarray | None = None
    offset: np.ndarray | None = None
    basis_shift: np.ndarray | None = None

    @property
    def vocabulary(self) -> int:
        """Words V."""
        return len(self.bias)

    @property
    def columns(self) -> int:
        """Columns W of the preview."""
        return self.preview.shape[1]

    @classmethod
    def unpack(cls, config: SvdSoftmaxConfig, content: bytes) -> SvdImage:
        """Return the arrays of an image as it lies in the memory, the other way of :meth:`pack`.

        Raises
        ------
        ValueError
            If it is no image of this configuration, or does not have the bytes that its header
            says.
        """
        header = dict(zip(HEADER, struct.unpack_from(f"<{len(HEADER)}I", content.ljust(
            HEADER_BYTES, b"\0")), strict=True))
        for name, value in (("magic", MAGIC), ("hash", config.image_hash),
                            ("size", len(content))):
            if header[name] != value:
                raise ValueError(f"Field {name} of the image must be 0x{value:x}, not "
                                 f"0x{header[name]:x}")
        layout, size = config.image, config.port_bytes
        words, columns = header["vocabulary"], header["preview_columns"]
        data, end = np.frombuffer(content, np.uint8), header["preview"]

        def section(rows: int, row_bytes: int) -> np.ndarray:
            nonlocal end
            start, end = end, end + rows * row_bytes
            return data[start:end].reshape(rows, row_bytes)
        blocks = section(-(-words // layout.block_rows), layout.block_words(columns) * size)
        bias = blocks[:, :size].copy().view("<i4").reshape(-1)[:words]
        preview = blocks[:, size:].reshape(-1, layout.row_words(columns) * size)
        behind = layout.tail_columns(columns)
        tail = section(words, layout.tail_words(columns) * size)
        kind = "<i1" if layout.tail_bytes == 1 else "<i2"
        basis = {}
        if layout.with_basis:
            rows = section(config.dim, layout.basis_row_words * size)
            packed = rows[:, :8].copy().view("<i8").reshape(-1)
            basis = {"basis": _elements(rows[:, size:], "<i2", config.dim),
                     "offset": packed >> 8, "basis_shift": packed & 0xFF}
        return cls(_elements(preview, "<i1", columns)[:words], _elements(tail, kind, behind),
                   bias.astype(np.int64), header["shift"], header["count"], **basis)

    def check(self, config: SvdSoftmaxConfig) -> None:
        """Refuse an image that does not fit a configuration.

        Raises
        ------
        ValueError
            In one line, with the array's name.
        """
        words, columns = self.preview.shape
        if not 1 <= words <= config.max_vocab:
            raise ValueError(f"Image must have 1..{config.max_vocab} words, not {words}")
        if not 1 <= columns <= config.max_preview:
            raise ValueError(f"Image must have 1..{config.max_preview} preview columns, not "
                             f"{columns}")
        if not 1 <= self.count <= min(words, config.max_count):
            raise ValueError(f"Image must have a count in 1..{min(words, config.max_count)}, not "
                             f"{self.count}")
        if not 0 <= self.shift < 1 << SHIFT_BITS:
            raise ValueError(f"Image must have a shift in 0..{(1 << SHIFT_BITS) - 1}, not "
                             f"{self.shift}")
        dim = config.dim
        shapes = {"preview": (words, columns, config.bits),
                  "tail": (words, config.image.tail_columns(columns), config.full_bits),
                  "bias": (words, BIAS_BITS)}
        if config.transform == "engine":
            shapes |= {"basis": (dim, dim, BASIS_BITS), "offset": (dim, OFFSET_BITS)}
        for name, (*shape, bits) in shapes.items():
            array = getattr(self, name)
            if array is None or array.shape != tuple(shape):
                raise ValueError(f"Array {name} of the image must have the shape {tuple(shape)}, "
                                 f"not {None if array is None else array.shape}")
            low, high = signed_range(bits)
            if array.size and not low <= int(array.min()) <= int(array.max()) <= high:
                raise ValueError(f"Array {name} of the image must be in {low}..{high}, not "
                                 f"{int(array.min())}..{int(array.max())}")
        if config.transform == "engine" and not (
                self.basis_shift is not None and self.basis_shift.shape == (dim,)
                and ((self.basis_shift >= 0)
                     & (self.basis_shift < 1 << BASIS_SHIFT_BITS)).all()):
            raise ValueError(f"Array basis_shift of the image must be {dim} integers in "
                             f"0..{(1 << BASIS_SHIFT_BITS) - 1}")

    def pack(self, config: SvdSoftmaxConfig) -> bytes:
        """Return the image as it lies in the memory.

        Raises
        ------
        ValueError
            If it does not fit the configuration.
        """
        self.check(config)
        layout, size = config.image, config.port_bytes
        words, columns = self.preview.shape
        body = [self._preview(layout, size)]
        if layout.tail_columns(columns):
            body.append(_rows(self.tail, "<i1" if layout.tail_bytes == 1 else "<i2", size))
        if layout.with_basis:
            records = np.zeros((config.dim, size), np.uint8)
            packed = (self.offset.astype(np.int64) << 8) | self.basis_shift.astype(np.int64)
            records[:, :8] = packed.astype("<i8").view(np.uint8).reshape(-1, 8)
            body.append(np.concatenate([records, _rows(self.basis, "<i2", size)], axis=1))
        content = b"".join(array.tobytes() for array in body)
        places = layout.addresses(words, columns)
        fields = {"magic": MAGIC, "hash": config.image_hash, "vocabulary": words,
                  "preview_columns": columns, "count": self.count, "shift": self.shift,
                  **places, "crc": zlib.crc32(content)}
        header = struct.pack(f"<{len(HEADER)}I", *(fields[name] for name in HEADER))
        image = header.ljust(HEADER_BYTES, b"\0") + content
        assert len(image) == places["size"]
        return image

    def _preview(self, layout, size: int) -> np.ndarray:
        """Blocks of biases and rows, shape (blocks, bytes)."""
        per, words = layout.block_rows, self.vocabulary
        blocks = -(-words // per)
        bias = np.zeros(blocks * per, "<i4")
        bias[:words] = self.bias
        rows = _rows(self.preview, "<i1", size)
        rows = np.pad(rows, ((0, blocks * per - words), (0, 0)))
        return np.concatenate([bias.view(np.uint8).reshape(blocks, size),
                               rows.reshape(blocks, -1)], axis=1)


def _elements(rows: np.ndarray, kind: str, count: int) -> np.ndarray:
    """First elements of rows of bytes, shape (rows, count)."""
    size = np.dtype(kind).itemsize
    return rows[:, :count * size].copy().view(kind).astype(np.int64)


def _rows(array: np.ndarray, kind: str, size: int) -> np.ndarray:
    """Bytes of the rows of an array, each filled up to a multiple of ``size``."""
    rows = np.ascontiguousarray(array.astype(kind)).view(np.uint8).reshape(len(array), -1)
    return np.pad(rows, ((0, 0), (0, -rows.shape[1] % size)))

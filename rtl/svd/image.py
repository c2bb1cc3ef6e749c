"""Layout of the image of a factored output matrix in the memory of the SVD-softmax engine.

All numbers are little endian and two's complement. Addresses are bytes from the image's start,
which is a multiple of 4096 in the memory. ``P`` is the number of bytes of a word of the memory
port; every section, and every row in it, starts on a multiple of ``P``, filled up with zeros::

    header    64 bytes: sixteen 32-bit fields, HEADER
    preview   blocks of P / 4 words of the vocabulary, one block behind the other:
                one port word:  P / 4 biases b_i, 32 bits each
                P / 4 rows:     B[i, 0..W-1], a byte each, filled up to ceil(W / P) port words
              the last block is filled up with rows and biases of 0
    tail      V rows: T[i, 0..D-1] with residual, T[i, W..D-1] without it, a byte each, or two
              with full_bits above 8, filled up to ceil(columns * bytes / P) port words; no rows
              for W = D without residual
    basis     with transform="engine" only, D rows:
                one port word:  64 bits, (o_j << 8) | r_j; zeros behind
                the row:        R[j, 0..D-1], two bytes each, filled up to ceil(2 * D / P) words

The preview is one sequence of addresses. Row i of the tail is at ``tail + i * tail_words * P``.
"""

import dataclasses

__all__ = ["HEADER", "HEADER_BYTES", "MAGIC", "ImageLayout"]

#: First field of a header: the bytes ``SVDS``.
MAGIC = int.from_bytes(b"SVDS", "little")

#: Bytes of a header.
HEADER_BYTES = 64

#: Fields of a header in their order, 32 bits each; those after the last one are 0. ``hash``:
#: :attr:`~rtl.svd.config.SvdSoftmaxConfig.image_hash`. ``vocabulary``, ``preview_columns``: V and
#: W that the image was made for. ``count``: N that it is recommended with, which is not checked.
#: ``shift``: right shift from the preview's sums to logits, 0..31. ``preview``, ``tail``,
#: ``basis``: addresses of the sections, 0 for one that is not there. ``size``: bytes of the image.
#: ``crc``: CRC-32 of all bytes behind the header, for the host; the engine does not check it.
HEADER = ("magic", "hash", "vocabulary", "preview_columns", "count", "shift", "preview", "tail",
          "basis", "size", "crc")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageLayout:
    """Sizes of an image's sections, in words of the memory port.

    Attributes
    ----------
    dim : int
        Columns of the matrix.
    port_bytes : int
        Bytes of a port word, a multiple of 8.
    tail_bytes : int
        Bytes of a weight of the tail.
    with_basis : bool
        Whether there is a basis.
    residual : bool
        Whether a row of the tail has all columns, and not only those behind the preview.
    """

    #: Number of this layout. It is part of :attr:`~rtl.svd.config.SvdSoftmaxConfig.image_hash`.
    VERSION = 1

    dim: int
    port_bytes: int
    tail_bytes: int
    with_basis: bool
    residual: bool

    @property
    def header_words(self):
        """Port words of the header."""
        return HEADER_BYTES // self.port_bytes

    @property
    def block_rows(self):
        """Words of the vocabulary in a block of the preview."""
        return self.port_bytes // 4

    def row_words(self, preview):
        """Port words of a row of the preview of so many columns."""
        return -(-preview // self.port_bytes)

    def block_words(self, preview):
        """Port words of a block of the preview."""
        return 1 + self.block_rows * self.row_words(preview)

    def preview_words(self, vocabulary, preview):
        """Port words of the preview."""
        return -(-vocabulary // self.block_rows) * self.block_words(preview)

    def tail_columns(self, preview):
        """Columns of a row of the tail."""
        return self.dim if self.residual else self.dim - preview

    def tail_words(self, preview):
        """Port words of a row of the tail."""
        return -(-self.tail_columns(preview) * self.tail_bytes // self.port_bytes)

    @property
    def basis_row_words(self):
        """Port words of a row of the basis, its record included."""
        return 1 + -(-2 * self.dim // self.port_bytes)

    def addresses(self, vocabulary, preview):
        """Addresses of the sections ``preview``, ``tail`` and ``basis``, and the ``size``."""
        size = self.port_bytes
        start = HEADER_BYTES
        tail = start + self.preview_words(vocabulary, preview) * size
        basis = tail + vocabulary * self.tail_words(preview) * size
        end = basis + self.with_basis * self.dim * self.basis_row_words * size
        return {"preview": start, "tail": tail if self.tail_columns(preview) else 0,
                "basis": basis if self.with_basis else 0, "size": end}

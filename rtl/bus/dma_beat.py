"""Beats between a DMA and a unit."""

from amaranth import Cat, Const, unsigned
from amaranth.lib import data

from .dma_bursts import BYTES

__all__ = ["ByteBeat", "tail_mask"]


class ByteBeat(data.StructLayout):
    """Bytes of a row.

    Parameters
    ----------
    size : int
        Bytes of a beat.

    Members
    -------
    data : unsigned(8 * size)
        Bytes, the one of the lowest address lowest.
    keep : unsigned(size)
        Bit k set: byte k belongs to the row. All ones except in the last beat of a row, where the
        low bytes are kept.
    last : unsigned(1)
        The beat ends its row.
    """

    def __init__(self, size=BYTES):
        super().__init__({"data": unsigned(8 * size), "keep": unsigned(size),
                          "last": unsigned(1)})


def tail_mask(tail):
    """Bytes that a row's last beat has: the lowest ``tail + 1``."""
    return Cat(Const(1, 1), *(tail >= k for k in range(1, BYTES)))

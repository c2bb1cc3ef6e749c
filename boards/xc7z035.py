"""An XC7Z035 in its FFG676 package, on any board: the design has no pins."""

from amaranth.vendor import XilinxPlatform

from .board import ZynqBoard

__all__ = ["BOARD", "Xc7z035Platform"]


class Xc7z035Platform(XilinxPlatform):
    """The device alone."""

    device, package, speed = "xc7z035", "ffg676", "2"
    resources, connectors = [], []


BOARD = ZynqBoard(
    name="xc7z035-ffg676", title="Any board with an XC7Z035-2FFG676", platform=Xc7z035Platform,
    source="no pins", part="xc7z035ffg676-2", idcode=0x03732093,
    free_vivado=False, open_route=False)

"""Analog Devices ADRV9361-Z7035, a module with an XC7Z035, on a carrier with LEDs and buttons."""

from amaranth.build import Attrs, Pins, Resource
from amaranth.vendor import XilinxPlatform

from .board import ZynqBoard

__all__ = ["BOARD", "Adrv9361Z7035Platform"]


class Adrv9361Z7035Platform(XilinxPlatform):
    """Pins of the module that a carrier brings out, as far as they are of use here.

    The logic has no oscillator of its own: its clock is FCLK0 of the processor.
    """

    device, package, speed = "xc7z035", "ifbg676", "2L"
    connectors = []
    resources = [
        Resource("led", 0, Pins("A8", dir="o"), Attrs(IOSTANDARD="LVCMOS18")),
        Resource("led", 1, Pins("W14", dir="o"), Attrs(IOSTANDARD="LVCMOS25")),
        Resource("led", 2, Pins("W17", dir="o"), Attrs(IOSTANDARD="LVCMOS25")),
        Resource("button", 0, Pins("J3", dir="i"), Attrs(IOSTANDARD="LVCMOS18")),
    ]


BOARD = ZynqBoard(
    name="adrv9361-z7035", title="Analog Devices ADRV9361-Z7035, XC7Z035",
    platform=Adrv9361Z7035Platform, part="xc7z035ifbg676-2L", idcode=0x03732093,
    source="constraints in github.com/analogdevicesinc/hdl, projects/adrv9361z7035/common, "
           "ccbob_constr.xdc and ccfmc_constr.xdc: LED_GPIO_0 to LED_GPIO_2, PB_GPIO_0",
    # LED_GPIO_0 is a switch on the carriers ccbox and ccpackrf, which name nothing at the others.
    free_vivado=False, open_route=False, leds=(("led", 1), ("led", 2)))

"""The boards as data: what they say of themselves fits the device and the pins."""

import pytest

from boards.board import Ecp5Board, ZynqBoard
from boards.catalog import BOARDS, board
from rtl.config import ConfigError

ZYNQ = [each for each in BOARDS.values() if isinstance(each, ZynqBoard)]


def test_names():
    assert {"ulx3s", "arty-z7-20", "adrv9361-z7035", "xc7z035-ffg676"} <= set(BOARDS)
    assert all(board(name).name == name and board(name).title for name in BOARDS)


def test_unknown_board():
    with pytest.raises(ConfigError, match="Board must be one of ulx3s, .*, not 'arty-z7'; "
                                          "did you mean 'arty-z7-20'"):
        board("arty-z7")


@pytest.mark.parametrize("each", ZYNQ, ids=lambda each: each.name)
def test_zynq(each):
    """Part and platform are the same device; no tool is promised that does not have it."""
    platform = each.platform
    assert each.part == f"{platform.device}{platform.package}-{platform.speed}"
    assert each.idcode & 0xFFF == 0x093
    large = platform.device == "xc7z035"
    assert (each.free_vivado, each.open_route, bool(each.loader)) == (not large,) * 3


def test_pins_of_the_adrv9361():
    """Amaranth knows the device and takes the pins as they are declared."""
    platform = board("adrv9361-z7035").platform()
    found = {}
    for name, number in ("led", 0), ("led", 1), ("led", 2), ("button", 0):
        resource = platform.lookup(name, number)
        found[name, number] = (resource.ios[0].names, dict(resource.attrs)["IOSTANDARD"])
    assert found == {("led", 0): (["A8"], "LVCMOS18"), ("led", 1): (["W14"], "LVCMOS25"),
                     ("led", 2): (["W17"], "LVCMOS25"),
                     ("button", 0): (["J3"], "LVCMOS18")}
    assert platform.family == "series7"


def test_ecp5():
    each = board("ulx3s")
    assert isinstance(each, Ecp5Board)
    platform = each.platform()
    assert platform.device == "LFE5U-85F" and platform.default_clk_frequency == 25e6
    assert {"rx", "tx"} <= {io.name for io in platform.lookup(each.uart).ios}

"""Bitstreams: read, refused, and converted as Debian's bootgen does it, byte for byte."""

import shutil
import subprocess

import pytest

from boards.linux.bitstream import Bitstream, firmware
from boards.testing.bitstream import bitstream
from rtl.config import ConfigError


def test_header():
    parsed = Bitstream.parse(bitstream(words=5))
    assert (parsed.design, parsed.part) == ("top;UserID=0XFFFFFFFF;Version=2024.1", "7z035ifbg676")
    assert (parsed.date, parsed.time) == ("2026/11/22", "05:00:00")
    assert len(parsed.data) == 52 + 20 and bitstream(words=5).endswith(parsed.data)


@pytest.mark.parametrize("words", [1000, 1001, 1003, 1005, 20000])
def test_bootgen(words, tmp_path):
    """Sizes of every kind of padding, and one with more than a page."""
    if shutil.which("bootgen") is None:
        pytest.skip("bootgen is not installed: apt-get install xilinx-bootgen")
    content = bitstream(words=words)
    (tmp_path / "top.bit").write_bytes(content)
    (tmp_path / "top.bif").write_text("all:\n{\n  top.bit\n}\n")
    subprocess.run(["bootgen", "-image", "top.bif", "-arch", "zynq", "-process_bitstream", "bin",
                    "-w"], cwd=tmp_path, check=True, capture_output=True)
    assert firmware(Bitstream.parse(content)) == (tmp_path / "top.bit.bin").read_bytes()


@pytest.mark.parametrize("change, message", [
    (lambda whole: b"", "must be a .bit file"), (lambda whole: whole[1:], "must be a .bit file"),
    (lambda whole: whole[:60], "must have 13 bytes in its field 'b', not 4"),
    (lambda whole: whole[:-1], "must have "),
    (lambda whole: whole.replace(bytes.fromhex("aa995566"), bytes(4)), "synchronisation word"),
    (lambda whole: whole[:53], "must have a field 'b' at byte 53"),
], ids=["empty", "shifted", "field", "cut", "no words", "header"])
def test_damaged(change, message):
    with pytest.raises(ConfigError, match=message):
        Bitstream.parse(change(bitstream()))


def test_part():
    parsed = Bitstream.parse(bitstream("7z020clg400"))
    parsed.check_part("xc7z020clg400-1")
    with pytest.raises(ConfigError, match="must be for 7z035ifbg676, not for 7z020clg400"):
        parsed.check_part("xc7z035ifbg676-2L")

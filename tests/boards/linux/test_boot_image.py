"""Boot images: what bootgen makes of the description."""

import shutil
import struct
import subprocess

import pytest

from boards.linux import boot_image
from boards.testing.bitstream import bitstream
from rtl.config import ConfigError


def elf(entry):
    """A program of the Arm that jumps to itself, at an address."""
    code = bytes.fromhex("feffffea") * 16
    header = b"\x7fELF\1\1\1" + bytes(9) + struct.pack(
        "<HHIIIIIHHHHHH", 2, 40, 1, entry, 52, 0, 0x05000000, 52, 32, 1, 40, 0, 0)
    return header + struct.pack("<8I", 1, 84, entry, entry, len(code), len(code), 5, 4) + code


def test_bootgen(tmp_path):
    """A boot header, the loader, the words of the bitstream, and U-Boot."""
    if shutil.which("bootgen") is None:
        pytest.skip("bootgen is not installed: apt-get install xilinx-bootgen")
    content = bitstream()
    for name, data in (("fsbl.elf", elf(0)), ("u-boot.elf", elf(0x04000000)),
                       ("top.bit", content)):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "boot.bif").write_text(
        boot_image.description("fsbl.elf", "top.bit", ["u-boot.elf"]))
    subprocess.run(["bootgen", "-image", "boot.bif", "-arch", "zynq", "-w", "-o", "BOOT.BIN"],
                   cwd=tmp_path, check=True, capture_output=True)
    image = (tmp_path / "BOOT.BIN").read_bytes()
    assert image[0x20:0x28] == bytes.fromhex("665599aa") + b"XNLX"
    swapped = b"".join(content[-4000:][n:n + 4][::-1] for n in range(0, 4000, 4))
    assert swapped in image
    assert image.count(bytes.fromhex("feffffea") * 16) == 2


def test_path_that_is_no_word():
    with pytest.raises(ConfigError, match="must have no quotes and brackets, not 'a\\]b'"):
        boot_image.description("fsbl.elf", "a]b", [])

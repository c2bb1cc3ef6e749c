"""Transport of a board with Linux, on files in place of its devices."""

import subprocess
import sys

import pytest

from boards.driver import Device, DeviceError, TransportError, Uio


@pytest.fixture
def root(tmp_path):
    """Devices as Linux has them: a register window, a DMA buffer and its attributes."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/uio0").write_bytes(bytes(4096))
    (tmp_path / "dev/udmabuf0").write_bytes(bytes(8192))
    attributes = tmp_path / "sys/class/u-dma-buf/udmabuf0"
    attributes.mkdir(parents=True)
    (attributes / "size").write_text("8192\n")
    (attributes / "phys_addr").write_text("0x1f000000\n")
    for name in "sync_for_device", "sync_for_cpu":
        (attributes / name).write_text("")
    return tmp_path


def test_registers_and_memory(root):
    with Uio(root=root) as transport:
        transport.write32(0x20C, 0x89ABCDEF)
        assert transport.read32(0x20C) == 0x89ABCDEF
        assert (root / "dev/uio0").read_bytes()[0x20C:0x210] == bytes.fromhex("EFCDAB89")
        memory = transport.memory
        assert (memory.address, len(memory.data)) == (0x1F000000, 8192)
        memory.data[5:8] = b"abc"
        assert (root / "dev/udmabuf0").read_bytes()[5:8] == b"abc"
        # Offset in the upper half, size in units of 16 bytes, and the start.
        transport.flush(0x40, 33)
        transport.invalidate(0, 4096)
        attributes = root / "sys/class/u-dma-buf/udmabuf0"
        assert (attributes / "sync_for_device").read_text() == "0x0000004000000031"
        assert (attributes / "sync_for_cpu").read_text() == "0x0000000000001001"


@pytest.mark.parametrize("missing, message", [
    ("dev/uio0", "^Device .*/dev/uio0 can not be opened: No such file or directory; is the "),
    ("dev/udmabuf0", "^Device .*/dev/udmabuf0 can not be opened: No such file"),
    ("sys/class/u-dma-buf/udmabuf0/size", "^Size and address of the DMA buffer can not be read")])
def test_missing_device(root, missing, message):
    place = root / missing
    content = place.read_bytes()
    place.unlink()
    with pytest.raises(TransportError, match=message):
        Uio(root=root)
    place.write_bytes(content)
    # What was locked on the way is free.
    Uio(root=root).close()


def test_two_processes(root):
    """The second one is refused as long as the first one has the device."""
    code = (f"from boards.driver import Uio, TransportError\n"
            f"try:\n    Uio(root={str(root)!r}).close()\n    print('free')\n"
            f"except TransportError as error:\n    print(error)\n")

    def other():
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    with Uio(root=root):
        assert other() == f"Device {root}/dev/uio0 is in use by another process\n"
    assert other() == "free\n"


def test_device_without_a_unit(root):
    """Registers that read 0 are not those of a unit."""
    manifest = {"name": "none", "hash": "00000000", "streams": {}, "registers": [
        {"name": "ID", "offset": 0, "fields": []}], "modules": {"none_axis": []}}
    with Uio(root=root) as transport, \
            pytest.raises(DeviceError, match="^Register ID must be 0x5452544c, not 0x00000000: "):
        Device(transport, manifest)


def test_address_beyond_32_bits(root):
    (root / "sys/class/u-dma-buf/udmabuf0/phys_addr").write_text("0x100000000\n")
    with pytest.raises(TransportError, match="^DMA buffer must be below 4 GiB, not at 0x100000000"):
        Uio(root=root)

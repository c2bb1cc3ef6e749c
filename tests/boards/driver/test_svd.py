"""Images and outputs of SVD-softmax in the driver: what is refused, and how words are read.

The call itself runs over the emitted top (tests/boards/zynq7) and over a serial line
(tests/boards/serial).
"""

import dataclasses
import json
import re
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

import boards.driver
from boards.driver import Buffer, Device, DeviceError, MemoryTransport, Transport
from rtl.emit import files, verilog
from rtl.emit.manifest import manifest
from rtl.svd.image import HEADER
from sim import model
from sim.stimuli.svd import random_image, random_vectors
from sim.testing.small import small
from sim.testing.svd import Batch, expected

CONFIG = small("svd-softmax", "plus", max_preview=3, max_count=5)
UNIT = verilog.dma_of(CONFIG)
MANIFEST = json.loads(manifest(CONFIG, {}, UNIT))
FOLDER = Path(boards.driver.__file__).parent


class Registers(Transport, MemoryTransport):
    """Registers that hold what they hold after reset, and memory that nobody reads."""

    def __init__(self, unit=UNIT, size=8192, address=0x1F000F00):
        self.words = {each.offset: each.reset for each in unit.registers.registers}
        self.memory_ = Buffer(address, memoryview(bytearray(size)))
        self.flushed = []

    memory = property(lambda self: self.memory_)

    def read32(self, offset):
        return self.words[offset]

    def write32(self, offset, value):
        pass

    def flush(self, offset, size):
        self.flushed.append((offset, size))


@pytest.fixture
def image():
    return random_image(CONFIG, np.random.default_rng(1), 9, 3).pack(CONFIG)


def changed(image, **fields):
    """The image with other fields in its header."""
    content = bytearray(image)
    for name, value in fields.items():
        struct.pack_into("<I", content, 4 * HEADER.index(name), value)
    return bytes(content)


def test_image_at_the_end_of_the_memory(image, tmp_path):
    """On a multiple of 4096, however the memory lies; from a file, too."""
    (tmp_path / "image.bin").write_bytes(image)
    for given in image, bytearray(image), tmp_path / "image.bin", str(tmp_path / "image.bin"):
        transport = Registers()
        Device(transport, MANIFEST).load_image(given)
        (offset, size), = transport.flushed
        assert (transport.memory.address + offset) % 4096 == 0 and size == len(image)
        assert offset + 4096 + size > len(transport.memory.data)
        assert bytes(transport.memory.data[offset:offset + size]) == image


@pytest.mark.parametrize("make, message", [
    (lambda x: x[:40], "Image must have at least 64 bytes, not 40"),
    (lambda x: changed(x, magic=7), "Image must start with 0x53445653, not 0x00000007: it is no"),
    (lambda x: changed(x, hash=1), f"Image must have the hash {CONFIG.image_hash:08x}, not 00000001"
                                   ": it was made for another configuration than "),
    (lambda x: x[:-8], r"Image must have \d+ bytes, as its header says, not \d+"),
    (lambda x: x[:-1] + bytes([x[-1] ^ 1]), "Image must have the CRC .* it is damaged"),
    (lambda x: changed(x, vocabulary=10), r"Number vocabulary of the image must be in 1..9 "),
    (lambda x: changed(x, preview_columns=0), r"Number columns of the image must be in 1..3 "),
    (lambda x: "/nowhere/image.bin", "Image /nowhere/image.bin can not be read: No such file")])
def test_images_that_are_refused(image, make, message):
    """By one line, before anything is written."""
    transport = Registers()
    with pytest.raises(ValueError, match=f"^{message}"):
        Device(transport, MANIFEST).load_image(make(image))
    assert not transport.flushed and not any(transport.memory.data)


def test_memory_without_room(image):
    device = Device(Registers(size=4096, address=0x1F001008), MANIFEST)
    with pytest.raises(ValueError, match=f"^DMA memory must have at least {len(image) + 4112} "
                                         "bytes for this image, not 4096$"):
        device.load_image(image)
    # The image fits, and no vector beside it.
    device = Device(Registers(size=4096 + len(image), address=0x1F001000 - 64), MANIFEST)
    device.load_image(image)
    with pytest.raises(ValueError, match="^DMA memory must have at least 112 bytes before the "
                                         "image for a vector, not 64$"):
        device.svd_softmax(np.zeros((1, 4), int))


def test_calls_that_are_refused(image):
    device = Device(Registers(), MANIFEST)
    x = np.zeros((2, 4), int)
    with pytest.raises(ValueError, match="^Image must be loaded before hidden vectors: device."):
        device.svd_softmax(x)
    device.load_image(image)
    for call, kind, message in (
            (lambda: device.svd_softmax(x[:, :3]), ValueError,
             r"Hidden vectors must have the shape \(..., 4\), not \(2, 3\)"),
            (lambda: device.svd_softmax(x / 2), TypeError, "Elements of h must be integers, not"),
            (lambda: device.svd_softmax(x + 2048), ValueError,
             "Elements of h must be in -2048..2047, not 2048..2048"),
            (lambda: device.svd_softmax(x, vocabulary=10), ValueError,
             "Number vocabulary must be in 1..9, not 10"),
            (lambda: device.svd_softmax(x, count=6), ValueError,
             "Number count must be in 1..5, not 6"),
            (lambda: device.svd_softmax(x, vocabulary=3, count=4), ValueError,
             "Number count must be in 1..3, not 4"),
            (lambda: device.send("h", x), DeviceError, "Device must hold another unit than svd-"),
            (lambda: device.softmax(x), DeviceError, "Device must hold a unit of softmax, not")):
        with pytest.raises(kind, match=f"^{message}"):
            call()
    other = small("softmax-e2", "plus")
    unit = verilog.dma_of(other)
    device = Device(Registers(unit), json.loads(manifest(other, {}, unit)))
    for call in (lambda: device.svd_softmax(x), lambda: device.load_image(image)):
        with pytest.raises(DeviceError, match="^Device must hold a unit of svd, not softmax-e2$"):
            call()


@pytest.mark.parametrize("whole", [False, True])
def test_outputs(whole):
    """Words of outputs, as the bench expects them of the hardware, are the arrays of the model."""
    config = dataclasses.replace(CONFIG, whole=whole)
    unit = verilog.dma_of(config)
    random = np.random.default_rng(2)
    image = random_image(config, random, 9, 3)
    x = random_vectors(config, random, 2)
    device = Device(Registers(unit), json.loads(manifest(config, {}, unit)))
    words = np.array(expected(config, Batch(x, image)), np.uint32)
    found, wanted = device._head._output(words, (2,), 5), model.run(config, x, image, whole=whole)
    assert [each is None for each in found] == [False] * 4 + [not whole] * 2
    for name, value in found._asdict().items():
        if value is not None:
            assert np.array_equal(value, getattr(wanted, name)), name
            assert value.dtype == getattr(wanted, name).dtype, name


# In C -------------------------------------------------------------------------------------------

PROGRAM = r"""
#include <stdio.h>
#include <string.h>
#include "transformer_rtl_svd.h"
#include "%(name)s.h"

static uint32_t window[1024], header[16], words[4];

int main(void)
{
    static const trtl_svd_unit unit = TRTL_SVD_UNIT(%(macro)s);
    trtl device;
    trtl_svd_image image;
    int status;
    memset(&device, 0, sizeof device);
    memset(&image, 0, sizeof image);
    device.polls = 10;
    window[0] = TRTL_MAGIC;
    window[1] = TRTL_MAP << 24;
    window[2] = unit.hash;
    puts(trtl_svd_message(trtl_open(&device, window, unit.hash)));
    puts(trtl_svd_message(trtl_svd_run(&device, &unit, &image, words, 8, 64, 128, 1)));
    puts(trtl_svd_message(trtl_svd_open(&device, &unit, &image, header, 4096)));
    header[0] = TRTL_SVD_MAGIC;
    header[TRTL_SVD_HASH] = unit.image_hash;
    header[TRTL_SVD_VOCABULARY] = unit.vocabulary;
    header[TRTL_SVD_COLUMNS] = unit.columns + 1;
    header[TRTL_SVD_COUNT] = unit.vocabulary;
    puts(trtl_svd_message(trtl_svd_open(&device, &unit, &image, header, 4096)));
    header[TRTL_SVD_COLUMNS] = unit.columns;
    puts(trtl_svd_message(trtl_svd_open(&device, &unit, &image, header, 4104)));
    puts(trtl_svd_message(trtl_svd_open(&device, &unit, &image, header, 8192)));
    puts(trtl_svd_message(trtl_svd_run(&device, &unit, &image, words, 8, 64, 128, 0)));
    puts(trtl_svd_message(trtl_svd_run(&device, &unit, &image, words, 8, 64, 132, 1)));
    puts(trtl_svd_message(trtl_svd_run(&device, &unit, &image, words, 8, 64, 128, 3)));
    for (status = 0; status < 4; status++)
        printf("%%u ", (unsigned)words[status]);
    for (status = 0; status < 4; status++)
        printf("%%u ", (unsigned)window[unit.h / 4 + status]);
    for (status = 0; status < 4; status++)
        printf("%%u ", (unsigned)window[unit.o / 4 + status]);
    window[(unit.response + TRTL_CHANNEL_ERRORS) / 4] = TRTL_SLVERR_MASK;
    puts(trtl_svd_message(trtl_svd_run(&device, &unit, &image, words, 8, 64, 128, 3)));
    printf("%%d\n", device.channel == unit.response);
    image.count = unit.count + 1;
    puts(trtl_svd_message(trtl_svd_run(&device, &unit, &image, words, 8, 64, 128, 1)));
    return 0;
}
"""


@pytest.mark.parametrize("standard", ["c89", "c++"])
def test_header(standard, tmp_path):
    name, registers = CONFIG.name, UNIT.registers
    (tmp_path / f"{name}.h").write_text(files.constants.c_header(CONFIG, registers))
    (tmp_path / "program.c").write_text(PROGRAM % {"name": name, "macro": name.upper()})
    compiler = ["g++", "-x", "c++"] if standard == "c++" else ["gcc", f"-std={standard}"]
    subprocess.run([*compiler, "-Wall", "-Wextra", "-Werror", "-pedantic", "-I", FOLDER,
                    "program.c", "-o", "program"], cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "program"], check=True, capture_output=True, text=True)
    none = "no image is loaded: there is none at this address, or trtl_svd_open was not called"
    number = "the words, or those of the full view, are 0 or too many, or there are no vectors"
    assert printed.stdout.splitlines() == [
        "done", none, none,
        "the image was made for another configuration, or is too large for the unit",
        "the address of the image is not a multiple of 4096", "done", number,
        "an address is not a multiple of 8", "transfer does not end; the unit was reset",
        "8192 9 3 5 64 24 1 24 128 80 3 80 memory answered a burst with SLVERR", "1", number]


def test_constants_of_the_header():
    text = (FOLDER / "transformer_rtl_svd.h").read_text()
    places = dict(re.findall(r"(?m)^#define TRTL_SVD_(\w+) (\d+)$", text))
    assert {name: int(value) for name, value in places.items()} == {
        "HASH": HEADER.index("hash"), "VOCABULARY": HEADER.index("vocabulary"),
        "COLUMNS": HEADER.index("preview_columns"), "COUNT": HEADER.index("count"),
        "SIZE": HEADER.index("size")}
    assert boards.driver.svd.FIELDS == tuple(
        {"preview_columns": "columns"}.get(name, name) for name in HEADER)

"""Image of a factored matrix: byte by byte of a small one, and what is refused."""

import dataclasses
import zlib

import numpy as np
import pytest

import rtl
from sim.data.svd_image import SvdImage
from sim.stimuli.svd import random_image

Config = rtl.unit("svd-softmax")


def small(config, words=3, columns=2):
    """An image whose numbers say where they are."""
    dim = config.dim
    numbers = np.arange(1, words * dim + 1).reshape(words, dim)
    return SvdImage(numbers[:, :columns], -numbers[:, columns:], 1000 + np.arange(words), 5, 2,
                    *([300 + np.arange(dim * dim).reshape(dim, dim), -1 - np.arange(dim),
                       7 + np.arange(dim)] if config.transform == "engine" else []))


def test_every_byte():
    config = Config(dim=4, port_bits=64, lanes=1, max_vocab=9, full_bits=8)
    packed = small(config).pack(config)

    def number(place, size=4):
        return int.from_bytes(packed[place:place + size], "little", signed=True)

    assert packed[:4] == b"SVDS"
    assert number(4) & 0xFFFFFFFF == config.image_hash
    assert [number(place) for place in range(8, 40, 4)] == [
        3, 2, 2, 5, 64, 64 + 48, 112 + 24, 136 + 64]
    assert number(40) & 0xFFFFFFFF == zlib.crc32(packed[64:]) and not any(packed[44:64])
    assert len(packed) == 200
    # Two blocks of two words: biases, then a row a port word; the last row is none.
    assert [number(64 + 4 * k) for k in (0, 1, 6, 7)] == [1000, 1001, 1002, 0]
    assert [packed[k:k + 8] for k in (72, 80, 96, 104)] == [
        bytes([1, 2, *[0] * 6]), bytes([5, 6, *[0] * 6]), bytes([9, 10, *[0] * 6]), bytes(8)]
    assert [packed[k:k + 8] for k in (112, 120, 128)] == [
        bytes([256 - a, 256 - a - 1, *[0] * 6]) for a in (3, 7, 11)]
    # Records and rows of the basis.
    for row in range(4):
        place = 136 + 16 * row
        assert number(place, 8) == ((-1 - row) << 8) + 7 + row
        assert [number(place + 8 + 2 * k, 2) for k in range(4)] == [
            300 + 4 * row + k for k in range(4)]


def test_residual_rows_have_all_columns():
    config = Config(dim=4, port_bits=64, lanes=1, max_vocab=9, transform="supplied")
    image = dataclasses.replace(small(config), tail=np.arange(12).reshape(3, 4) - 700)
    packed = image.pack(config)
    assert config.residual and len(packed) == 64 + 48 + 3 * 8
    assert np.array_equal(np.frombuffer(packed[112:], "<i2").reshape(3, 4), image.tail)


@pytest.mark.parametrize("words, parameters", [
    (3, {"full_bits": 8}), (4, {"transform": "supplied"}), (9, {"port_bits": 128})])
def test_unpacked(words, parameters):
    """The arrays that were packed; negative ones, and the widest that there are."""
    config = Config(**{"dim": 4, "port_bits": 64, "lanes": 1, "max_vocab": 9, **parameters})
    random = np.random.default_rng(words)
    image = random_image(config, random, words, 3)
    if config.transform == "engine":
        image = dataclasses.replace(image, offset=np.array([-1 << 47, (1 << 47) - 1, -1, 0]))
    content = image.pack(config)
    found = SvdImage.unpack(config, content)
    for field in dataclasses.fields(image):
        assert np.array_equal(getattr(found, field.name), getattr(image, field.name)), field.name
    with pytest.raises(ValueError, match="^Field size of the image must be 0x"):
        SvdImage.unpack(config, content[:-8])
    other = dataclasses.replace(config, hidden_bits=7)
    with pytest.raises(ValueError, match="^Field hash of the image must be 0x"):
        SvdImage.unpack(other, content)
    with pytest.raises(ValueError, match="^Field magic of the image must be 0x53445653, not 0x0$"):
        SvdImage.unpack(config, b"")


@pytest.mark.parametrize("change, message", [
    ({"preview": np.full((3, 2), 128)}, r"Array preview of the image must be in -128\.\.127, not "
                                        r"128\.\.128"),
    ({"tail": np.zeros((3, 3), int)}, r"Array tail of the image must have the shape \(3, 2\), not "
                                      r"\(3, 3\)"),
    ({"bias": np.zeros(2, int)}, r"Array bias of the image must have the shape \(3,\), not \(2,\)"),
    ({"basis": None}, r"Array basis of the image must have the shape \(4, 4\), not None"),
    ({"basis_shift": np.full(4, 64)}, r"Array basis_shift of the image must be 4 integers in "
                                      r"0\.\.63"),
    ({"shift": 32}, r"Image must have a shift in 0\.\.31, not 32"),
    ({"count": 0}, r"Image must have a count in 1\.\.3, not 0"),
    ({"count": 4}, r"Image must have a count in 1\.\.3, not 4"),
])
def test_refusals(change, message):
    config = Config(dim=4, port_bits=64, lanes=1, max_vocab=9, full_bits=8)
    with pytest.raises(ValueError, match=f"^{message}$"):
        dataclasses.replace(small(config), **change).pack(config)


def test_too_many_words_and_columns():
    config = Config(dim=4, port_bits=64, lanes=1, max_vocab=2, max_preview=1, full_bits=8)
    with pytest.raises(ValueError, match=r"^Image must have 1\.\.2 words, not 3$"):
        small(config).pack(config)
    with pytest.raises(ValueError, match=r"^Image must have 1\.\.1 preview columns, not 2$"):
        small(config, words=2).pack(config)

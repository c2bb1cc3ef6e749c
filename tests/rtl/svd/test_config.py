"""Configuration of the SVD-softmax engine: refusals, numbers, and the layout of the image."""

import pytest

import rtl
from rtl.svd.image import ImageLayout
from sim.testing.refusal import refused

Config = rtl.unit("svd-softmax")


@pytest.mark.parametrize("parameters, message", [
    ({"dim": 0}, "Parameter dim must be an integer in 1..1024, not 0"),
    ({"max_vocab": (1 << 20) + 1}, "Parameter max_vocab must be an integer in 1..1048576, not "
                                   "1048577"),
    ({"dim": 20, "max_preview": 21}, "Parameter max_preview must be at most dim (20), not 21"),
    ({"max_vocab": 9, "max_count": 10}, "Parameter max_count must be at most max_vocab (9), not "
                                        "10"),
    ({"lanes": 16, "port_bits": 64}, "Parameter lanes must be at most port_bits / 8 (8), not 16"),
    ({"burst": 64, "queue": 32}, "Parameter burst must be at most queue (32), not 64"),
    ({"burst": 128, "port_bits": 512}, "Parameter burst must be at most 64, which are 4 KiB, not "
                                       "128"),
    ({"logit_scale": 1.0}, "Parameter logit_scale must be 2^-14 to 1/4, not 1.0"),
    ({"softmax": "softmax-split"}, "Parameter softmax must be one of one pass: softmax-e2, "
     "softmax-softermax, softmax-rexp:online or softmax-lut2d:online, not 'softmax-split'"),
    ({"softmax": "softmax-e2,lanes=2"}, "Parameter softmax must leave lanes to the engine, not say "
                                        "'lanes=2'"),
])
def test_refusals(parameters, message):
    with refused(message):
        Config(**parameters)


def test_widths_hold_the_extremes():
    for parameters in ({}, {"full_bits": 16, "hidden_bits": 16, "dim": 1024}, {"bits": 4},
                       {"transform": "supplied", "full_bits": 8}):
        config = Config(**parameters)
        low, high = config.hidden_range
        weight, fine = -(1 << config.bits - 1), -(1 << config.full_bits - 1)
        z = config.max_preview * weight * low + (1 << 31) - 1
        assert z < 1 << config.preview_bits - 1
        f = (z << config.tail_shift) + config.dim * fine * low
        assert f < 1 << config.full_view_bits - 1
        assert max(z, f) < 1 << config.value_bits - 1
        widest = max(1 << config.weight_bits - 1, -fine)
        assert config.dim * widest * -low < 1 << config.row_bits - 1


def test_roundings():
    """Half up, and saturated."""
    config = Config(tail_shift=4)
    assert [config.preview_logit(z, 2) for z in (1, 2, -2, -3, 1 << 30, -1 << 30)] == [
        0, 1, 0, -1, 32767, -32768]
    assert config.full_logit(2 << 4, 2) == config.preview_logit(2, 2) == 1
    assert config.full_logit((2 << 4) - 1, 2) == 0
    assert [config.hidden(total, 3) for total in (4, 3, -4, -5, 1 << 20)] == [1, 0, 0, -1, 2047]


def test_hash_is_that_of_the_layout():
    """What an image depends on changes it, and nothing else."""
    usual = Config()
    for same in ({"lanes": 4}, {"burst": 2}, {"queue": 16}, {"max_vocab": 99, "max_count": 9},
                 {"max_preview": 9}, {"softmax": "softmax-softermax"}, {"whole": True},
                 {"out_bits": 8}):
        assert Config(**same).image_hash == usual.image_hash, same
    others = [{"bits": 7}, {"full_bits": 13}, {"hidden_bits": 11}, {"tail_shift": 5}, {"dim": 383},
              {"port_bits": 256}, {"logit_scale": 0.003}, {"transform": "supplied"},
              {"residual": False}]
    assert len({usual.image_hash, *(Config(**other).image_hash for other in others)}) == 10


def test_sections_follow_each_other():
    layout = ImageLayout(dim=20, port_bytes=8, tail_bytes=1, with_basis=True, residual=False)
    # Blocks of two words: a port word of biases, and a row of one port word each.
    assert layout.block_words(7) == 3 and layout.preview_words(5, 7) == 9
    # Rows of 13 bytes; rows of the basis of 40 bytes behind a record.
    assert layout.tail_words(7) == 2 and layout.basis_row_words == 6
    places = layout.addresses(5, 7)
    assert places == {"preview": 64, "tail": 64 + 72, "basis": 136 + 5 * 16,
                      "size": 216 + 20 * 48}
    assert layout.addresses(5, 20)["tail"] == 0


def test_requests_hold_what_comes_at_once():
    """The words of a job have room in its register."""
    for config in (Config(), Config(max_vocab=1, dim=1024), Config(max_vocab=1 << 20),
                   Config(max_vocab=1, dim=1, lanes=1, port_bits=64)):
        layout = config.image
        for words in (layout.header_words, layout.tail_words(1),
                      layout.preview_words(config.max_vocab, config.max_preview),
                      config.dim * layout.basis_row_words):
            assert words < 1 << config.job_bits

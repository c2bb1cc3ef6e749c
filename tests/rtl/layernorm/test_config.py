"""Configurations of the LayerNorm units: what they refuse, what they derive, names and files."""

import math

import pytest

import rtl
from rtl import ConfigError, UnitConfig
from rtl.tables import newton_words, root, rsqrt_words

AI = rtl.unit("layernorm-ai")
Exact = rtl.unit("layernorm-exact")


def test_registered():
    assert {"layernorm-ai", "layernorm-exact"} <= set(rtl.units())


@pytest.mark.parametrize("cls", [AI, Exact])
@pytest.mark.parametrize("parameters, message", [
    ({"bits": 1}, r"bits must be an integer in 2..1[06], not 1"),
    ({"bits": 8.0}, r"bits must be an integer in 2..1[06], not 8.0"),
    ({"signed_input": 1}, "signed_input must be true or false, not 1"),
    ({"bits": 6, "zero_point": 64}, "zero_point must be an integer in 0..63, not 64"),
    ({"zero_point": 256}, "zero_point must be an integer in 0..255, not 256"),
    ({"zero_point": 1 << 20}, "zero_point must be an integer in -32768..65535, not 1048576"),
    ({"zero_point": 128, "signed_input": True},
     "zero_point must be an integer in -128..127, not 128"),
    ({"alpha_bits": 4}, "alpha_bits must be an integer in 0..3, not 4"),
    ({"out_bits": 3}, "out_bits must be an integer in 4..16, not 3"),
    ({"output_scale": 0}, "output_scale must be a positive number .* not 0"),
    ({"lanes": 65}, "lanes must be an integer in 1..64, not 65"),
    ({"channels": 0}, "channels must be an integer in 1..4096, not 0"),
    ({"row_length": "any"}, "row_length must be one of fixed, variable, not 'any'"),
    ({"rms": "no"}, "rms must be true or false, not 'no'"),
    ({"epsilon": -1e-5}, r"epsilon must be a number from 0 up to 2\^64, not -1e-05"),
    ({"epsilon": math.nan}, r"epsilon must be a number from 0 up to 2\^64, not nan"),
    ({"mean_fraction_bits": 9}, "mean_fraction_bits must be an integer in 0..8, not 9"),
    ({"gamma_bits": 17}, "gamma_bits must be an integer in 2..16, not 17"),
    ({"gamma_fraction_bits": 13}, "gamma_fraction_bits must be an integer in -12..12, not 13"),
    ({"beta_bits": 1}, "beta_bits must be an integer in 2..20, not 1"),
    ({"beta_fraction_bits": 9}, "beta_fraction_bits must be an integer in 0..8, not 9"),
    ({"beta_fraction_bits": 8, "gamma_fraction_bits": -12},
     "beta_fraction_bits must be at most [0-7] with gamma_fraction_bits -12, not 8"),
    ({"channel_parameters": "none"}, "channel_parameters must be one of fixed, loaded"),
    ({"channel_parameters": "loaded", "gamma_bits": 16, "beta_bits": 16},
     "channel_parameters must be fixed for parameters of more than 32 bits .* not loaded for 34"),
    ({"memory": "ultra"}, "memory must be one of auto, block, distributed, not 'ultra'"),
    ({"rsqrt_index_bits": 1}, "rsqrt_index_bits must be an integer in 2..10, not 1"),
    ({"rsqrt_bits": 3}, "rsqrt_bits must be an integer in 4..1[25], not 3"),
    # Per channel.
    ({"channels": 4, "alpha": (0, 1, 2)}, "alpha must be 4 integers, one per channel, not 3"),
    ({"channels": 2, "gamma": (1, 2, 3)}, "gamma must be 2 integers, one per channel, not 3"),
    ({"channels": 2, "beta": (1,)}, "beta must be 2 integers, one per channel, not 1"),
    ({"channels": 2, "alpha": (0, 8)}, r"alpha must be a list of integers in 0..7, not \(0, 8\)"),
    ({"channels": 2, "alpha": (0, 4)}, "alpha must be integers in 0..3, not 4"),
    ({"channels": 2, "alpha": (0, 2), "alpha_bits": 1}, "alpha must be integers in 0..1, not 2"),
    ({"channels": 2, "gamma": (127, 128)}, "gamma must be integers in -128..127, not 128"),
    ({"channels": 2, "beta": (-129, 0)}, "beta must be integers in -128..127, not -129"),
    ({"channels": 2, "gamma": "12"}, "gamma must be a list of integers in .* not '12'"),
    ({"channels": 2, "gamma": (1.0, 2.0)}, "gamma must be a list of integers in"),
    ({"channels": 2, "gamma": 7}, "gamma must be a list of integers in .* not 7"),
    ({"channels": 2, "beta": (1, 2), "rms": True}, "beta must be empty if rms is true, not 2"),
])
def test_wrong_parameter(cls, parameters, message):
    with pytest.raises(ConfigError, match=f"^Parameter {message}"):
        cls(**parameters)


@pytest.mark.parametrize("parameters, message", [
    ({"code_bits": 7}, "code_bits must be an integer in 2..6, not 7"),
    ({"threshold": 0}, "threshold must be an integer in 1..1023, not 0"),
    ({"low_shift": 9}, "low_shift must be an integer in 0..8, not 9"),
    ({"high_shift": 1}, "high_shift must be at least low_shift, which is 2, not 1"),
    ({"low_shift": 8, "high_shift": 8, "bits": 4, "zero_point": 8},
     "low_shift must be small enough for a code above 0, not 8"),
    ({"gamma_fraction_bits": -12, "bits": 2, "zero_point": 0, "alpha_bits": 0, "low_shift": 0,
      "rms": True}, "gamma_fraction_bits must be at least -[0-9]+ for inputs as narrow"),
    ({"compression": "up"}, "compression must be one of half-even, half-up, truncate, not 'up'"),
])
def test_wrong_compression(parameters, message):
    with pytest.raises(ConfigError, match=f"^Parameter {message}"):
        AI(**parameters)


@pytest.mark.parametrize("cls", [AI, Exact])
def test_files(cls):
    config = cls(channels=3, alpha=[1, 0, 3], gamma=[5, -6, 7], beta=[0, 1, -2], lanes=2)
    assert config.alpha == (1, 0, 3)
    assert UnitConfig.from_json(config.to_json()) == config
    assert UnitConfig.from_toml(config.to_toml()) == config
    assert config != cls(channels=3, alpha=[1, 0, 2], gamma=[5, -6, 7], beta=[0, 1, -2], lanes=2)


@pytest.mark.parametrize("cls", [AI, Exact])
def test_names(cls):
    names = set()
    for parameters in ({}, {"rms": True}, {"zero_point": -5, "signed_input": True},
                       {"gamma_fraction_bits": -3}, {"channels": 2, "gamma": (1, 2)},
                       {"channels": 2, "gamma": (2, 1)}, {"epsilon": 0.5}, {"epsilon": 0.3}):
        name = cls(**parameters).name
        assert name.isidentifier(), name
        names.add(name)
    assert len(names) == 8


@pytest.mark.parametrize("cls", [AI, Exact])
def test_presets(cls):
    first, *_ = cls.PRESETS
    assert cls.preset(first) == cls()
    assert cls.preset("rms").rms


def test_derived():
    config = AI(channels=768, lanes=32, alpha=(0, 3) * 384)
    assert config.max_beats == 24
    assert config.least_length == config.max_length == 768
    assert config.value_range == (-1024, 1016)
    # Operands of the multipliers fit a DSP block: 25 and 18 bits, signed.
    assert config.difference_width <= 25 and config.factor_width + 1 <= 18
    assert config.normal_width <= 25
    assert config.gammas == (64,) * 768
    assert AI(channels=5, row_length="variable").least_length == 1
    exact = Exact(channels=1024, alpha=(0, 3) * 512)
    assert exact.difference_width <= 18 and exact.factor_width + 1 <= 25
    assert exact.normal_width <= 25


@pytest.mark.parametrize("lanes, most", [(1, 24), (4, 24), (8, 24), (32, 24)])
def test_latency(lanes, most):
    alpha, gamma = (0, 1, 2, 3) * 192, tuple(range(-128, 128)) * 3
    assert AI(lanes=lanes, alpha=alpha, gamma=gamma).latency <= most


def test_streams():
    fixed, loaded = AI(), AI(channel_parameters="loaded")
    assert tuple(fixed.streams) == ("i", "o")
    assert tuple(loaded.streams) == ("i", "load", "o")
    assert "mask" not in fixed.input_layout.members
    layout = loaded.load_layout
    assert layout.size == 8 * (8 + 8 + 2) + 1
    element = layout.pack(gamma=-1, beta=5, alpha=2)
    assert element == 0xff | 5 << 8 | 2 << 16


# Defaults that follow other parameters

@pytest.mark.parametrize("cls", [AI, Exact])
def test_derived_defaults(cls):
    assert [cls(bits=bits).zero_point for bits in (2, 6, 8, 10)] == [2, 32, 128, 512]
    signed = cls(signed_input=True)
    assert (signed.zero_point, signed.raw_range) == (0, (-128, 127))
    for bits in 4, 8, 12, 16:
        config = cls(out_bits=bits)
        # The range is that of 4 deviations, and 1.0 is exact.
        assert config.output_scale * 2 ** (bits - 1) == 4
        assert config.gammas[0] * 2.0 ** -config.gamma_fraction_bits == 1 / config.output_scale
        assert config.gammas[0] == 1 << (config.gamma_bits - 2)
        loaded = cls(out_bits=bits, channel_parameters="loaded")
        assert loaded.load_layout.element.width <= 32
    fine = cls(output_scale=2.0 ** -9)
    assert fine.gammas[0] * 2.0 ** -fine.gamma_fraction_bits == 512
    # A value that is given stays, and the name says it.
    assert cls(bits=6, zero_point=5).zero_point == 5
    assert cls(bits=6, zero_point=32) == cls(bits=6)
    assert "_z" not in cls(bits=6).name and "_z5" in cls(bits=6, zero_point=5).name
    assert UnitConfig.from_dict({"unit": cls.UNIT, "bits": 6}).zero_point == 32
    assert UnitConfig.from_json(cls(bits=6).to_json()) == cls(bits=6)


def test_derived_compression():
    """Four bits of code reach the same part of the range at every width; the published at 8."""
    shifts = {bits: (AI(bits=bits).low_shift, AI(bits=bits).high_shift, AI(bits=bits).threshold)
              for bits in (4, 6, 8, 10)}
    assert shifts == {4: (0, 0, 16), 6: (0, 2, 16), 8: (2, 4, 64), 10: (4, 6, 256)}
    for bits in 5, 6, 8, 10:
        config = AI(bits=bits)
        # None is clipped by more than a rounding.
        assert config.compressed((1 << bits) - 1)[0] << config.high_shift >= \
            (1 << (bits - 1)) - (1 << config.high_shift)
    assert (AI(code_bits=6).low_shift, AI(low_shift=5).high_shift) == (0, 5)


# Tables

def test_codes():
    """Thresholds, shifts and clipping of the published compression."""
    config = AI(zero_point=0)
    codes = dict(enumerate(config.codes))
    assert [codes[a] for a in (0, 1, 2, 3, 5, 6, 7)] == [
        (0, 0), (0, 0), (0, 0), (1, 0), (1, 0), (2, 0), (2, 0)]
    # 62 and 63 would be 16, and so would 248 and more.
    assert [codes[a] for a in (61, 62, 63)] == [(15, 0)] * 3
    assert [codes[a] for a in (64, 72, 88, 246, 247, 248, 255)] == [
        (4, 1), (4, 1), (6, 1), (15, 1), (15, 1), (15, 1), (15, 1)]
    up, truncated = AI(zero_point=0, compression="half-up"), \
        AI(zero_point=0, compression="truncate")
    assert up.codes[2] == (1, 0) and up.codes[72] == (5, 1)
    assert truncated.codes[3] == (0, 0) and truncated.codes[79] == (4, 1)
    # The sign does not matter.
    middle = AI(zero_point=128)
    assert all(middle.codes[128 + a] == middle.codes[128 - a] for a in range(128))
    assert middle.codes[0] == codes[128]


@pytest.mark.parametrize("index_bits, bits", [(6, 8), (4, 8), (8, 12), (2, 4)])
def test_rsqrt_words(index_bits, bits):
    words = rsqrt_words(index_bits, bits, 1)
    half = 1 << (index_bits - 1)
    assert len(words) == 2 * half
    for k, word in enumerate(words):
        octave, part = divmod(k, half)
        ends = [2.0 ** octave * (1 + (part + end) / half) for end in (0, 1)]
        # Between the values at the ends, but for rounding.
        assert ends[1] ** -0.5 - 0.5 ** (bits + 1) <= word / 2 ** bits
        assert word / 2 ** bits <= ends[0] ** -0.5 + 0.5 ** (bits + 1)
    assert list(words) == sorted(words, reverse=True)


def test_rsqrt_words_at_the_top():
    assert max(rsqrt_words(6, 8, 1.999)) <= 511


def test_newton_words():
    """The error of one step is 3/2 of the squared relative error of the guess."""
    worst = 0.0
    words = newton_words(7, 20, 16, 1)
    for k, (offset, slope) in enumerate(words):
        octave, part = divmod(k, 64)
        for place in (0.0, 0.25, 0.5, 0.75, 0.999):
            m = 2.0 ** octave * (1 + (part + place) / 64)
            worst = max(worst, abs((offset / 2 ** 20 - slope / 2 ** 16 * m) * m ** 0.5 - 1))
    assert worst < 1.5 * (1 / 256) ** 2 * 1.2 + 2 ** -15


def test_root():
    assert root(49) == 7
    assert abs(float(root(2)) - 2 ** 0.5) < 1e-15
    assert root(0.25) == 0.5


@pytest.mark.parametrize("cls", [AI, Exact])
@pytest.mark.parametrize("parameters", [{}, {"rms": True}, {"bits": 4, "zero_point": 3},
                                        {"epsilon": 7.0}, {"mean_fraction_bits": 0}])
def test_scales(cls, parameters):
    """The reciprocal of a length and what the root of a radicand is divided into."""
    config = cls(channels=300, row_length="variable", **parameters)
    for length, scale in config.scales.items():
        value = scale.reciprocal / 2.0 ** (16 + scale.shift)
        assert abs(value * length - 1) < 2 ** -16
        assert 1 <= scale.root < 2
        unit = 4.0 ** (config.radicand_bits // 2 - 1)
        deviation = math.sqrt(config.variance_weight(length) / unit)
        assert math.isclose(float(scale.root) * 2.0 ** -scale.exponent, deviation, rel_tol=1e-12)
        assert scale.epsilon == round(config.epsilon * config.variance_weight(length))
        # No row's reciprocal is below the least that the shift can give.
        squares = length * config.top_square
        largest = (squares << config.square_shift if cls is AI else
                   squares * (1 if config.rms else length)) + scale.epsilon
        zeros = (config.radicand_bits - largest.bit_length()) // 2
        assert zeros + config.exponent_offset(length) >= 0

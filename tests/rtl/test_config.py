"""Configurations: what is allowed, what is said when it is not, names, hashes and files."""

import dataclasses
import json
import re

import pytest

import rtl
from rtl import ConfigError, UnitConfig
from rtl.parameter import Choice, Flag, Integer, PositiveReal, kind_of
from sim.testing.refusal import refused

E2 = rtl.unit("softmax-e2")


def test_units():
    assert "softmax-e2" in rtl.units()
    assert E2.UNIT == "softmax-e2"


def test_unknown_unit():
    with refused("Unit 'softmax-e3' does not exist; did you mean 'softmax-e2'?"):
        rtl.unit("softmax-e3")


def test_unknown_unit_far_from_all():
    with pytest.raises(ConfigError, match=r"^Unit 'xyz' does not exist; known are: .*softmax-e2"):
        rtl.unit("xyz")


@pytest.mark.parametrize("name", ["bits", "out_bits", "lanes", "max_length", "max_rows",
                                  "code_bits", "code_fraction_bits", "sum_fraction_bits"])
def test_integers(name):
    kind = kind_of(E2.parameters()[name])
    for value in (kind.low - 1, kind.high + 1, 8.0, "8", True, None):
        with refused(f"Parameter {name} must be an integer in {kind.low}..{kind.high}, "
                     f"not {value!r}"):
            E2(**{name: value})


def test_ranges_are_those_of_the_contract():
    ranges = {name: (kind_of(E2.parameters()[name]).low, kind_of(E2.parameters()[name]).high)
              for name in ("bits", "out_bits", "lanes", "max_length")}
    assert ranges == {"bits": (2, 16), "out_bits": (4, 16), "lanes": (1, 64),
                      "max_length": (1, 1 << 20)}


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), "1", True, 2.0 ** 65])
def test_scale(value):
    with refused("Parameter input_scale must be a positive number between 2^-64 and 2^64, "
                 f"not {value!r}"):
        E2(input_scale=value)


@pytest.mark.parametrize("name, allowed", [
    ("memory", "auto, block, distributed"), ("codes", "octave, input"),
    ("code_rounding", "round, truncate"), ("correction", "incremental, absolute"),
    ("output_rounding", "truncate, round")])
def test_choices(name, allowed):
    with refused(f"Parameter {name} must be one of {allowed}, not 'other'"):
        E2(**{name: "other"})


def test_divider_constants():
    for value in (1, 3, 16, 2.0):
        with refused(f"Parameter divider_constants must be one of 0, 2, 4, 8, not {value!r}"):
            E2(divider_constants=value)


@pytest.mark.parametrize("parameters, message", [
    ({"code_bits": 6}, "Parameter code_bits must be 2..5 for octave codes, not 6"),
    ({"code_fraction_bits": 1}, "Parameter code_fraction_bits must be 0 for octave codes, not 1"),
    ({"divider_constants": 0}, "Parameter divider_constants must be 2, 4 or 8 for octave codes, "
                               "not 0"),
])
def test_octave_codes(parameters, message):
    with refused(message):
        E2.preset("paper", **parameters)


@pytest.mark.parametrize("parameters, message", [
    ({"code_bits": 4}, "Parameter code_bits must be at least 5 for input codes with 2 fraction "
                       "bits, not 4"),
    ({"divider_constants": 4}, "Parameter divider_constants must be 0 for input codes, not 4"),
    ({"correction": "incremental"}, "Parameter correction must be absolute for input codes, not "
                                    "'incremental'"),
    ({"input_scale": 17}, "Parameter input_scale must be at most 16, not 17.0"),
])
def test_input_codes(parameters, message):
    with refused(message):
        E2.preset("plus", **parameters)


def test_rows_of_two_passes_are_shorter():
    assert E2(max_length=1 << 20).sum_bits == ((1 << 20) * E2().one_term).bit_length()
    rtl.unit("softmax-split")(max_length=4096)
    with refused("Parameter max_length must be at most 4096 for a method of two passes, not 4097"):
        rtl.unit("softmax-split")(max_length=4097)


def test_presets():
    assert E2() == E2.preset("plus")
    assert list(E2.PRESETS)[0] == "plus"
    with refused("Preset 'plsu' of softmax-e2 does not exist; did you mean 'plus'?"):
        E2.preset("plsu")


def test_frozen_and_keyword_only():
    with pytest.raises(dataclasses.FrozenInstanceError):
        E2().bits = 4
    with pytest.raises(TypeError):
        E2(8)


def test_repr_is_the_constructor():
    config = E2.preset("plus", input_scale=0.3)
    assert eval(repr(config), {"E2SoftmaxConfig": E2}) == config


def test_numpy_integers_are_integers():
    import numpy as np
    config = E2(bits=np.int64(6))
    assert config == E2(bits=6) and type(config.bits) is int
    assert json.loads(config.to_json())["bits"] == 6


@pytest.mark.parametrize("correction", ["incremental", "absolute"])
def test_octave_codes_of_coarse_steps(correction):
    """Codes of a step of more octaves than any logit has were wrong, or no integers at all."""
    for scale in (17.0, 2.0 ** 20, 2.0 ** 55, 2.0 ** 64):
        with refused(f"Parameter input_scale must be at most 16, not {scale}"):
            E2.preset("paper", correction=correction, input_scale=scale)


@pytest.mark.parametrize("parameters", [{}, {"correction": "absolute"}])
def test_octave_codes_of_fine_steps(parameters):
    """All logits of the least scale there is are alike."""
    import numpy as np

    from sim import model
    for bits in 2, 16:
        low, high = -(1 << bits - 1), (1 << bits - 1) - 1
        for scale in 2.0 ** -64, 1.5 * 2.0 ** -64, 2.0 ** -45:
            config = E2.preset("paper", bits=bits, input_scale=scale, **parameters)
            assert len(set(model.run(config, np.array([low, high, 0])).tolist())) == 1


# Names and hashes ------------------------------------------------------------------------------

def test_names():
    assert E2().name == "softmax_e2_b8o8l8n512_plus"
    assert E2.preset("paper", lanes=16).name == "softmax_e2_b8o8l16n512_paper"
    assert E2.preset("paper", divider_constants=8, input_scale=0.25).name == \
        "softmax_e2_b8o8l8n512_paper_s2em2_d8"
    assert E2(input_scale=0.1).name == "softmax_e2_b8o8l8n512_plus_s0p1"


def test_names_are_unique_identifiers():
    values = {"bits": (7, 9), "lanes": (3,), "input_scale": (0.1, 1e-7, 3.0, 2.0 ** -40, 12.5),
              "memory": ("block", "distributed"), "max_rows": (64,), "code_bits": (3, 5),
              "code_rounding": ("truncate",), "correction": ("absolute",),
              "sum_fraction_bits": (12,), "divider_constants": (4, 8),
              "output_rounding": ("round",)}
    configs = [E2.preset("paper"), E2.preset("plus")]
    configs += [E2.preset("paper", **{name: value}) for name, options in values.items()
                for value in options]
    configs += [E2.preset("plus", **{name: value}) for name, options in values.items()
                if name not in ("correction", "divider_constants", "code_bits", "output_rounding")
                for value in options]
    assert len({config.name for config in configs}) == len(configs)
    assert len({config.hash for config in configs}) == len(configs)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", config.name) for config in configs)


def test_long_names_end_in_a_hash():
    config = E2.preset("paper", bits=16, lanes=64, max_length=4096, input_scale=0.0123456789,
                       max_rows=4096, memory="distributed", correction="absolute",
                       code_rounding="truncate")
    assert config.name == f"softmax_e2_b16o8l64n4096_paper_x{config.hash}"


def test_hash_does_not_change():
    # Bitstreams in the field carry it.
    assert re.fullmatch(r"[0-9a-f]{8}", E2().hash)
    assert E2().hash == E2.from_json(E2().to_json()).hash


# Files -----------------------------------------------------------------------------------------

CONFIGS = [E2.preset("paper"), E2.preset("plus", lanes=5, input_scale=1 / 3),
           E2(max_length=1, memory="block")]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_round_trips(config, tmp_path):
    assert UnitConfig.from_json(config.to_json()) == config
    assert UnitConfig.from_toml(config.to_toml()) == config
    for suffix, text in ((".json", config.to_json()), (".toml", config.to_toml())):
        path = tmp_path / f"c{suffix}"
        path.write_text(text)
        assert UnitConfig.load(path) == config


def test_defaults_follow_what_is_on_top_of_a_file(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('unit = "layernorm-ai"\nlanes = 4\n', encoding="utf-8")
    assert UnitConfig.load(path, bits=6) == rtl.unit("layernorm-ai")(lanes=4, bits=6)


def test_preset_in_a_file():
    text = 'unit = "softmax-e2"\npreset = "plus"\nlanes = 4\n'
    assert UnitConfig.from_toml(text) == E2.preset("plus", lanes=4)


@pytest.mark.parametrize("text, message", [
    ('{"bits": 8}', 'A configuration must name its unit: unit = "softmax-e2"'),
    ("[]", "A configuration must be a table of parameters, not []"),
    ('{"unit": "softmax-e2", "lane": 4}',
     "Parameter 'lane' of softmax-e2 does not exist; did you mean 'lanes'?"),
    ('{"unit": "softmax-e2", "bits": "8"}',
     "Parameter bits must be an integer in 2..16, not '8'"),
    ('{"unit": "softmax-2e"}', "Unit 'softmax-2e' does not exist; did you mean 'softmax-e2'?"),
])
def test_bad_json(text, message):
    with refused(message):
        UnitConfig.from_json(text)


def test_malformed_files(tmp_path):
    with pytest.raises(ConfigError, match=r"^Configuration is not valid JSON: "):
        UnitConfig.from_json("{")
    with pytest.raises(ConfigError, match=r"^Configuration is not valid TOML: "):
        UnitConfig.from_toml("bits")
    path = tmp_path / "missing.toml"
    with refused(f"Configuration file {str(path)!r} can not be read: No such file or directory"):
        UnitConfig.load(path)
    binary = tmp_path / "binary.json"
    binary.write_bytes(b"\xff\xfe")
    with refused(f"Configuration file {str(binary)!r} can not be read: it is not UTF-8 text"):
        UnitConfig.load(binary)
    other = tmp_path / "config.yaml"
    other.write_text("")
    with refused(f"Configuration file must end in .toml or .json, not {str(other)!r}"):
        UnitConfig.load(other)


# Kinds -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("kind, text, value", [
    (Integer(0, 9), "7", 7), (Choice(("a", "b")), "b", "b"), (Choice((1, 2)), "2", 2),
    (Flag(), "true", True), (Flag(), "false", False), (PositiveReal(), "0.25", 0.25),
    (PositiveReal(), "1/3", 1 / 3)])
def test_parse(kind, text, value):
    assert kind.normalise(kind.parse(text)) == value


@pytest.mark.parametrize("kind, text", [
    (Integer(0, 9), "x"), (Integer(0, 9), "1.0"), (Flag(), "yes"), (PositiveReal(), "a"),
    (PositiveReal(), "1/0"), (Choice((1, 2)), "b")])
def test_parse_refuses(kind, text):
    with pytest.raises(ValueError):
        kind.parse(text)

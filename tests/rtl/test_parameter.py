"""Kinds of parameters: values and files that are refused, tags, and what a message shows."""

from __future__ import annotations

import math
import re

import pytest

import rtl
from rtl import ConfigError, UnitConfig
from rtl.options import ArgumentParser, add_parameters, configs
from rtl.parameter import LONGEST_FILE, Choice, Flag, Integer, Words, kind_of, shown
from sim.testing.refusal import refused


def choices(cls):
    return {name: kind_of(field).values for name, field in cls.parameters().items()
            if isinstance(kind_of(field), Choice)}


@pytest.mark.parametrize("name", rtl.units())
def test_names_with_every_choice_are_identifiers(name):
    """Every value of every choice by itself, allowed in a configuration or not."""
    cls = rtl.unit(name)
    default = cls()
    for parameter, values in choices(cls).items():
        seen = set()
        for value in values:
            config = object.__new__(cls)
            config.__dict__.update(vars(default) | {parameter: value})
            assert re.fullmatch(r"[a-z][a-z0-9_]*", config.name), config.name
            seen.add(kind_of(cls.parameters()[parameter]).tag(value))
        assert len(seen) == len(values), parameter


def test_name_of_a_choice_with_a_hyphen():
    config = rtl.unit("layernorm-ai").preset("paper", compression="half-up")
    assert config.name == "layernorm_ai_b8o8l8_paper_rhalfup"


@pytest.mark.parametrize("value", [10 ** 400, -10 ** 400, math.nan])
def test_number_beyond_floats(value):
    with pytest.raises(ConfigError, match=r"^Parameter input_scale must be a positive number "):
        rtl.unit("softmax-e2")(input_scale=value)


def test_long_values_are_cut():
    with pytest.raises(ConfigError) as caught:
        rtl.unit("softmax-rexp")(exp_words=[255] * 1000 + [-1])
    assert len(str(caught.value)) < 200 and str(caught.value).endswith("255, 255,...")
    assert shown(10 ** 5000) == "a number of thousands of digits"
    assert shown(True) == "True"


@pytest.mark.parametrize("text, message", [
    ("{" + '"unit": "softmax-e2", "bits": 1' + "0" * 5000 + "}",
     "Configuration is not valid JSON: Exceeds the limit"),
    ("[" * 100_000, "Configuration is not valid JSON: it is nested too deeply")])
def test_json_that_python_refuses(text, message):
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        UnitConfig.from_json(text)


def test_preset_with_an_unknown_parameter():
    with refused("Parameter 'lane' of softmax-e2 does not exist; did you mean 'lanes'?"):
        rtl.unit("softmax-e2").preset("plus", lane=16)


@pytest.mark.parametrize("preset", [["plus"], None, {}])
def test_preset_of_another_kind(preset):
    with pytest.raises(ConfigError, match="^Preset .* of softmax-e2 does not exist; "):
        rtl.unit("softmax-e2").preset(preset)


# Files of words

def words(path):
    """Parse a file of words as the command line does; the error's message."""
    parser = ArgumentParser()
    parser.add_argument("unit", nargs="*")
    for option in "--config", "--preset":
        parser.add_argument(option)
    add_parameters(parser)
    args = parser.parse_args(["softmax-rexp", "--exp-words", str(path)])
    with pytest.raises(ConfigError) as caught:
        configs(args)
    return str(caught.value)


def test_missing_words(tmp_path):
    path = str(tmp_path / "none")
    assert words(path) == (f"Parameter exp_words must be a file of integers of at least 0, not "
                           f"{path!r}, which can not be read: No such file or directory")


def test_words_without_an_end():
    assert words("/dev/zero") == (
        "Parameter exp_words must be a file of integers of at least 0, not '/dev/zero', which has "
        f"more than {LONGEST_FILE} characters")


@pytest.mark.parametrize("text", ["1 two", "[1, 2", "[" * 100_000, '{"a": 1}'])
def test_file_that_holds_no_words(tmp_path, text):
    path = tmp_path / "words"
    path.write_text(text)
    assert words(path).startswith("Parameter exp_words must be a list of integers of at least 0")


def test_configuration_without_an_end(tmp_path):
    path = tmp_path / "endless.json"
    path.symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="can not be read: it has more than "):
        UnitConfig.load(path)


def test_words_of_a_file(tmp_path):
    (tmp_path / "words").write_text("255, 100\n3 0")
    assert Words().parse(str(tmp_path / "words")) == [255, 100, 3, 0]


def test_values_that_start_with_a_minus():
    parser = ArgumentParser()
    parser.add_argument("unit", nargs="*")
    parser.add_argument("--list", action="store_true")
    for option in "--config", "--preset":
        parser.add_argument(option)
    add_parameters(parser)
    args = parser.parse_args(["layernorm-ai", "--channels", "2", "--gamma", "-1,2", "--beta",
                              "-3,-4"])
    (config,), _ = configs(args)
    assert (config.gamma, config.beta) == ((-1, 2), (-3, -4))
    with pytest.raises(ConfigError):
        parser.parse_args(["--list", "-1,2"])


# What the engine says of its softmax

@pytest.mark.parametrize("parameters, message", [
    ({"logit_scale": 40.0},
     "Parameter logit_scale must be at most 16 for softmax 'softmax-e2:plus', not 40.0"),
    ({"softmax": "softmax-split:plus,reciprocal=table", "weight_bits": 13},
     "Parameter softmax must be one that can be built with logit_bits 10, logit_scale 0.03125, "
     "weight_bits 13, lanes 1, max_keys 320, not 'softmax-split:plus,reciprocal=table', whose "
     "reciprocal must be divider for more than 12 output bits, not 'table'"),
    ({"softmax": "softmax-e2:plus,code_bits=11"},
     "Parameter softmax must be one that can be built with logit_bits 10, logit_scale 0.03125, "
     "weight_bits 12, lanes 1, max_keys 320, not 'softmax-e2:plus,code_bits=11', whose code_bits "
     "must be an integer in 2..10, not 11")])
def test_softmax_of_an_engine(parameters, message):
    """The parameters that it names are those that the user set."""
    with refused(message):
        rtl.unit("attention")(**parameters)


def test_kinds_of_the_registry_are_known():
    """The test of the names sees choices of strings and of integers."""
    kinds = {type(kind_of(field)) for name in rtl.units()
             for field in rtl.unit(name).parameters().values()}
    assert {Choice, Flag, Integer, Words} <= kinds

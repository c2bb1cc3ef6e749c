"""Presets: what each says, to the last parameter, and what its unit makes of fixed inputs.

Who changes a preset or a default on purpose changes the literal and the stored digest here:
``python -m pytest tests/rtl/test_presets.py`` says in each failure what it found.
"""

import dataclasses
import hashlib
import json

import numpy as np
import pytest

import rtl
from rtl import ConfigError
from rtl.parameter import derived_of
from sim import model
from sim.data.svd_image import SvdImage

LITERALS = {
    "softmax-e2": {
        "plus": {"bits": 8, "input_scale": 0.125, "out_bits": 8, "lanes": 8, "max_length": 512,
            "memory": "auto", "max_rows": 0, "accumulator_bits": 0, "sink": False,
            "codes": "input", "code_bits": 6,
            "code_fraction_bits": 2, "code_rounding": "round", "correction": "absolute",
            "sum_fraction_bits": 8, "divider_constants": 0, "partial_sums": 1, "pipeline": "short",
            "output_rounding": "round"},
        "paper": {"bits": 8, "input_scale": 0.125, "out_bits": 8, "lanes": 8, "max_length": 512,
            "memory": "auto", "max_rows": 0, "accumulator_bits": 0, "sink": False,
            "codes": "octave", "code_bits": 4,
            "code_fraction_bits": 0, "code_rounding": "round", "correction": "incremental",
            "sum_fraction_bits": 15, "divider_constants": 2, "partial_sums": 1, "pipeline": "short",
            "output_rounding": "truncate"},
    },
    "softmax-lut2d": {
        "plus": {"bits": 8, "input_scale": 0.125, "out_bits": 8, "lanes": 8, "max_length": 512,
            "memory": "auto", "max_rows": 0, "accumulator_bits": 0, "sink": False,
            "exp_step": 0.03125, "exp_entries": 0,
            "exp_words": (), "exp_index": "round", "sum_index": "floating",
            "sum_rounding": "truncate", "sum_fraction_bits": 0, "sum_mantissa_bits": 3,
            "reference": "final", "code_fraction_bits": 0, "partial_sums": 1, "pipeline": "short",
            "rows": 16, "row_index": "round", "row_spacing": "logarithmic", "columns": 0,
            "sigma_memory": "block", "sigma_words": ()},
        "online": {"bits": 8, "input_scale": 0.125, "out_bits": 8, "lanes": 8, "max_length": 512,
            "memory": "auto", "max_rows": 0, "accumulator_bits": 0, "sink": False,
            "exp_step": 0.03125, "exp_entries": 0,
            "exp_words": (),
            "exp_index": "round", "sum_index": "floating", "sum_rounding": "truncate",
            "sum_fraction_bits": 0, "sum_mantissa_bits": 3, "reference": "running",
            "code_fraction_bits": 2, "partial_sums": 1, "pipeline": "short", "rows": 16,
            "row_index": "round", "row_spacing": "logarithmic", "columns": 0,
            "sigma_memory": "block", "sigma_words": ()},
        "paper": {"bits": 8, "input_scale": 0.125, "out_bits": 8, "lanes": 8, "max_length": 512,
            "memory": "auto", "max_rows": 0, "accumulator_bits": 0, "sink": False,
            "exp_step": 0.1, "exp_entries": 101, "exp_words": (),
            "exp_index": "truncate", "sum_index": "linear", "sum_rounding": "truncate",
            "sum_fraction_bits": 0, "sum_mantissa_bits": 0, "reference": "final",
            "code_fraction_bits": 0, "partial_sums": 1, "pipeline": "short", "rows": 11,
            "row_index": "truncate", "row_spacing": "linear", "columns": 60,
            "sigma_memory": "block", "sigma_words": ()},
    },
    "softmax-rexp": {
        "plus": {"bits": 8, "input_scale": 0.125, "out_bits": 8, "lanes": 8, "max_length": 512,
            "memory": "auto", "max_rows": 0, "accumulator_bits": 0, "sink": False,
            "exp_step": 0.03125, "exp_entries": 0,
            "exp_words": (), "exp_index": "round", "sum_index": "floating",
            "sum_rounding": "truncate", "sum_fraction_bits": 0, "sum_mantissa_bits": 4,
            "reference": "final", "code_fraction_bits": 0, "partial_sums": 1, "pipeline": "short",
            "exp_guard_bits": 1, "alpha_entries": 0, "alpha_words": (), "scaling": "exact",
            "multiplier": "dsp"},
        "online": {"bits": 8, "input_scale": 0.125, "out_bits": 8, "lanes": 8, "max_length": 512,
            "memory": "auto", "max_rows": 0, "accumulator_bits": 0, "sink": False,
            "exp_step": 0.03125, "exp_entries": 0,
            "exp_words": (),
            "exp_index": "round", "sum_index": "floating", "sum_rounding": "truncate",
            "sum_fraction_bits": 0, "sum_mantissa_bits": 4, "reference": "running",
            "code_fraction_bits": 2, "partial_sums": 1, "pipeline": "short", "exp_guard_bits": 1,
            "alpha_entries": 0, "alpha_words": (), "scaling": "exact", "multiplier": "dsp"},
        "paper": {"bits": 8, "input_scale": 0.125, "out_bits": 8, "lanes": 8, "max_length": 512,
            "memory": "auto", "max_rows": 0, "accumulator_bits": 0, "sink": False,
            "exp_step": 1.0, "exp_entries": 0, "exp_words": (),
            "exp_index": "truncate", "sum_index": "linear", "sum_rounding": "truncate",
            "sum_fraction_bits": 0, "sum_mantissa_bits": 0, "reference": "final",
            "code_fraction_bits": 0, "partial_sums": 1, "pipeline": "short", "exp_guard_bits": 0,
            "alpha_entries": 16, "alpha_words": (), "scaling": "exact", "multiplier": "dsp"},
    },
    "softmax-softermax": {
        "plus": {"bits": 8, "input_scale": 0.125, "out_bits": 8, "lanes": 8, "max_length": 512,
            "memory": "auto", "max_rows": 0, "accumulator_bits": 0, "sink": False,
            "position_fraction_bits": 4, "exp_fraction_bits": 15,
            "sum_fraction_bits": 15, "reciprocal_fraction_bits": 12, "reciprocal_segments": 16,
            "partial_sums": 1, "pipeline": "short"},
        "paper": {"bits": 8, "input_scale": 0.125, "out_bits": 8, "lanes": 8, "max_length": 512,
            "memory": "auto", "max_rows": 0, "accumulator_bits": 0, "sink": False,
            "position_fraction_bits": 2, "exp_fraction_bits": 15,
            "sum_fraction_bits": 6, "reciprocal_fraction_bits": 7, "reciprocal_segments": 4,
            "partial_sums": 1, "pipeline": "short"},
    },
    "softmax-split": {
        "plus": {"bits": 8, "input_scale": 0.125, "out_bits": 8, "lanes": 8, "max_length": 512,
            "memory": "auto", "max_rows": 0, "accumulator_bits": 0, "sink": False,
            "guard_bits": 2, "order": "lazy",
            "reciprocal": "auto", "min_length": 1},
        "paper": {"bits": 8, "input_scale": 0.125, "out_bits": 8, "lanes": 8, "max_length": 512,
            "memory": "auto", "max_rows": 0, "accumulator_bits": 0, "sink": False,
            "guard_bits": 0, "order": "weight",
            "reciprocal": "auto", "min_length": 1},
    },
    "attention": {
        "dense": {"bits": 8, "query_scale": 0.0625, "key_scale": 0.0625, "value_scale": 0.0625,
            "max_keys": 320, "dim": 64, "value_dim": 64,
            "lanes": 1, "io_lanes": 8, "logit_bits": 10,
            "logit_scale": 0.03125, "softmax": "softmax-e2:plus", "weight_bits": 12, "out_bits": 8,
            "output_scale": 0.0625, "causal": False, "memory": "auto", "select": "none",
            "predictor": "octave", "prefix_dims": 8, "predict_lanes": 8, "rule": "mean",
            "mean_shift": 2, "threshold": 256, "top_k": 40, "iterations_per_key": 0.5,
            "percent": 5.0, "min_skip": True, "empty": "all", "sort": "hardware", "start_lanes": 2,
            "scan_lanes": 16, "reuse": False, "maps": 1, "map_queries": 0, "code_bits": 8,
            "datapath": "two-pass", "term_bits": 12, "octave_bits": 4, "guard_bits": 0,
            "scales": "fixed", "sink": False, "sink_logit": 0, "store": "sets", "sets": 1,
            "heads": 1, "window": 0, "sinks": 0,
            "chunk": 1, "position_bits": 16, "max_queries": 0, "dsp_packing": False,
             "bias": "none", "bias_bits": 8},
        "predict": {"bits": 8, "query_scale": 0.0625, "key_scale": 0.0625, "value_scale": 0.0625,
            "max_keys": 320, "dim": 64, "value_dim": 64,
            "lanes": 1, "io_lanes": 8, "logit_bits": 10,
            "logit_scale": 0.03125, "softmax": "softmax-e2:plus", "weight_bits": 12, "out_bits": 8,
            "output_scale": 0.0625, "causal": False, "memory": "auto", "select": "predict",
            "predictor": "octave", "prefix_dims": 8, "predict_lanes": 8, "rule": "mean",
            "mean_shift": 2, "threshold": 256, "top_k": 40, "iterations_per_key": 0.5,
            "percent": 5.0, "min_skip": True, "empty": "all", "sort": "hardware", "start_lanes": 2,
            "scan_lanes": 16, "reuse": False, "maps": 1, "map_queries": 0, "code_bits": 8,
            "datapath": "two-pass", "term_bits": 12, "octave_bits": 4, "guard_bits": 0,
            "scales": "fixed", "sink": False, "sink_logit": 0, "store": "sets", "sets": 1,
            "heads": 1, "window": 0, "sinks": 0,
            "chunk": 1, "position_bits": 16, "max_queries": 0, "dsp_packing": False,
             "bias": "none", "bias_bits": 8},
        "conservative": {"bits": 8, "query_scale": 0.0625, "key_scale": 0.0625,
            "value_scale": 0.0625, "max_keys": 320, "dim": 64, "value_dim": 64,
            "lanes": 1, "io_lanes": 8,
            "logit_bits": 10, "logit_scale": 0.03125, "softmax": "softmax-e2:plus",
            "weight_bits": 12, "out_bits": 8, "output_scale": 0.0625, "causal": False,
            "memory": "auto", "select": "greedy", "predictor": "octave", "prefix_dims": 8,
            "predict_lanes": 8, "rule": "mean", "mean_shift": 2, "threshold": 256, "top_k": 40,
            "iterations_per_key": 0.5, "percent": 5.0, "min_skip": True, "empty": "all",
            "sort": "hardware", "start_lanes": 2, "scan_lanes": 16, "reuse": False, "maps": 1,
            "map_queries": 0, "code_bits": 8,
            "datapath": "two-pass", "term_bits": 12, "octave_bits": 4, "guard_bits": 0,
            "scales": "fixed", "sink": False, "sink_logit": 0, "store": "sets", "sets": 1,
            "heads": 1, "window": 0, "sinks": 0,
            "chunk": 1, "position_bits": 16, "max_queries": 0, "dsp_packing": False,
             "bias": "none", "bias_bits": 8},
        "aggressive": {"bits": 8, "query_scale": 0.0625, "key_scale": 0.0625, "value_scale": 0.0625,
            "max_keys": 320, "dim": 64, "value_dim": 64,
            "lanes": 1, "io_lanes": 8, "logit_bits": 10,
            "logit_scale": 0.03125, "softmax": "softmax-e2:plus", "weight_bits": 12, "out_bits": 8,
            "output_scale": 0.0625, "causal": False, "memory": "auto", "select": "greedy",
            "predictor": "octave", "prefix_dims": 8, "predict_lanes": 8, "rule": "mean",
            "mean_shift": 2, "threshold": 256, "top_k": 40, "iterations_per_key": 0.125,
            "percent": 10.0, "min_skip": True, "empty": "all", "sort": "hardware", "start_lanes": 2,
            "scan_lanes": 16, "reuse": False, "maps": 1, "map_queries": 0, "code_bits": 8,
            "datapath": "two-pass", "term_bits": 12, "octave_bits": 4, "guard_bits": 0,
            "scales": "fixed", "sink": False, "sink_logit": 0, "store": "sets", "sets": 1,
            "heads": 1, "window": 0, "sinks": 0,
            "chunk": 1, "position_bits": 16, "max_queries": 0, "dsp_packing": False,
             "bias": "none", "bias_bits": 8},
        "reuse": {"bits": 8, "query_scale": 0.0625, "key_scale": 0.0625, "value_scale": 0.0625,
            "max_keys": 320, "dim": 64, "value_dim": 64,
            "lanes": 1, "io_lanes": 8, "logit_bits": 10,
            "logit_scale": 0.03125, "softmax": "softmax-e2:plus", "weight_bits": 12, "out_bits": 8,
            "output_scale": 0.0625, "causal": False, "memory": "auto", "select": "none",
            "predictor": "octave", "prefix_dims": 8, "predict_lanes": 8, "rule": "mean",
            "mean_shift": 2, "threshold": 256, "top_k": 40, "iterations_per_key": 0.5,
            "percent": 5.0, "min_skip": True, "empty": "all", "sort": "hardware", "start_lanes": 2,
            "scan_lanes": 16, "reuse": True, "maps": 1, "map_queries": 0, "code_bits": 8,
            "datapath": "two-pass", "term_bits": 12, "octave_bits": 4, "guard_bits": 0,
            "scales": "fixed", "sink": False, "sink_logit": 0, "store": "sets", "sets": 1,
            "heads": 1, "window": 0, "sinks": 0,
            "chunk": 1, "position_bits": 16, "max_queries": 0, "dsp_packing": False,
             "bias": "none", "bias_bits": 8},
    },
    "layernorm-ai": {
        "paper": {"bits": 8, "signed_input": False, "zero_point": 128, "alpha_bits": 2,
            "out_bits": 8, "output_scale": 0.03125, "lanes": 8, "channels": 768,
            "row_length": "fixed", "rms": False, "epsilon": 0.0, "mean_fraction_bits": 6,
            "gamma_bits": 8, "gamma_fraction_bits": 1, "beta_bits": 8, "beta_fraction_bits": 0,
            "alpha": (), "gamma": (), "beta": (), "channel_parameters": "fixed", "memory": "auto",
            "code_bits": 4, "threshold": 64, "low_shift": 2, "high_shift": 4,
            "compression": "half-even", "rsqrt_index_bits": 6, "rsqrt_bits": 8},
        "rms": {"bits": 8, "signed_input": False, "zero_point": 128, "alpha_bits": 2, "out_bits": 8,
            "output_scale": 0.03125, "lanes": 8, "channels": 768, "row_length": "fixed",
            "rms": True, "epsilon": 0.0, "mean_fraction_bits": 6, "gamma_bits": 8,
            "gamma_fraction_bits": 1, "beta_bits": 8, "beta_fraction_bits": 0, "alpha": (),
            "gamma": (), "beta": (), "channel_parameters": "fixed", "memory": "auto",
            "code_bits": 4, "threshold": 64, "low_shift": 2, "high_shift": 4,
            "compression": "half-even", "rsqrt_index_bits": 6, "rsqrt_bits": 8},
        "fine": {"bits": 10, "signed_input": False, "zero_point": 512, "alpha_bits": 2,
            "out_bits": 8, "output_scale": 0.03125, "lanes": 8, "channels": 768,
            "row_length": "fixed", "rms": False, "epsilon": 0.0, "mean_fraction_bits": 4,
            "gamma_bits": 8, "gamma_fraction_bits": 1, "beta_bits": 8, "beta_fraction_bits": 0,
            "alpha": (), "gamma": (), "beta": (), "channel_parameters": "fixed", "memory": "auto",
            "code_bits": 6, "threshold": 256, "low_shift": 2, "high_shift": 4,
            "compression": "half-even", "rsqrt_index_bits": 6, "rsqrt_bits": 8},
    },
    "layernorm-exact": {
        "standard": {"bits": 8, "signed_input": False, "zero_point": 128, "alpha_bits": 2,
            "out_bits": 8, "output_scale": 0.03125, "lanes": 8, "channels": 768,
            "row_length": "fixed", "rms": False, "epsilon": 0.0, "mean_fraction_bits": 5,
            "gamma_bits": 8, "gamma_fraction_bits": 1, "beta_bits": 8, "beta_fraction_bits": 0,
            "alpha": (), "gamma": (), "beta": (), "channel_parameters": "fixed", "memory": "auto",
            "rsqrt_index_bits": 7, "rsqrt_bits": 12},
        "rms": {"bits": 8, "signed_input": False, "zero_point": 128, "alpha_bits": 2, "out_bits": 8,
            "output_scale": 0.03125, "lanes": 8, "channels": 768, "row_length": "fixed",
            "rms": True, "epsilon": 0.0, "mean_fraction_bits": 5, "gamma_bits": 8,
            "gamma_fraction_bits": 1, "beta_bits": 8, "beta_fraction_bits": 0, "alpha": (),
            "gamma": (), "beta": (), "channel_parameters": "fixed", "memory": "auto",
            "rsqrt_index_bits": 7, "rsqrt_bits": 12},
        "fine": {"bits": 10, "signed_input": False, "zero_point": 512, "alpha_bits": 2,
            "out_bits": 8, "output_scale": 0.03125, "lanes": 8, "channels": 768,
            "row_length": "fixed", "rms": False, "epsilon": 0.0, "mean_fraction_bits": 3,
            "gamma_bits": 8, "gamma_fraction_bits": 1, "beta_bits": 8, "beta_fraction_bits": 0,
            "alpha": (), "gamma": (), "beta": (), "channel_parameters": "fixed", "memory": "auto",
            "rsqrt_index_bits": 7, "rsqrt_bits": 12},
    },
    "svd-softmax": {
        "plus": {"bits": 8, "full_bits": 12, "hidden_bits": 12, "tail_shift": 4, "residual": True,
            "dim": 384, "max_vocab": 32768, "max_preview": 384, "max_count": 32768, "lanes": 16,
            "port_bits": 128, "burst": 16, "queue": 128, "logit_scale": 0.00390625,
            "softmax": "softmax-e2:plus,code_bits=9,code_fraction_bits=4,sum_fraction_bits=22",
            "out_bits": 16, "transform": "engine", "whole": False, "memory": "auto"},
        "supplied": {"bits": 8, "full_bits": 12, "hidden_bits": 12, "tail_shift": 4,
            "residual": True, "dim": 384, "max_vocab": 32768, "max_preview": 384,
            "max_count": 32768, "lanes": 16, "port_bits": 128, "burst": 16, "queue": 128,
            "logit_scale": 0.00390625,
            "softmax": "softmax-e2:plus,code_bits=9,code_fraction_bits=4,sum_fraction_bits=22",
            "out_bits": 16, "transform": "supplied", "whole": False, "memory": "auto"},
    },
}

PAIRS = [(unit, preset) for unit, presets in LITERALS.items() for preset in presets]
SOFTMAX = [unit for unit in LITERALS if unit.startswith("softmax-")]

# First 16 hex digits of the SHA-256 of the outputs for the inputs below.
DIGESTS = {
    ("softmax-e2", "plus"): "26d2af124fc55ebf",
    ("softmax-e2", "paper"): "6d0b42c495b0c6c8",
    ("softmax-lut2d", "plus"): "00988bcfd580bef9",
    ("softmax-lut2d", "online"): "e211f781e1ed2213",
    ("softmax-lut2d", "paper"): "e5367f35a30b83fc",
    ("softmax-rexp", "plus"): "471df2ccd4154c1e",
    ("softmax-rexp", "online"): "520368408f8ce8d5",
    ("softmax-rexp", "paper"): "6bc1fef343e274dd",
    ("softmax-softermax", "plus"): "1406cfb334dd8f31",
    ("softmax-softermax", "paper"): "8738bf6ad23bcfe7",
    ("softmax-split", "plus"): "d0040e8243968369",
    ("softmax-split", "paper"): "4d6b78e98eb07e9e",
    ("attention", "dense"): "963d184fac6ba4e8",
    ("attention", "predict"): "39d6f737394ebe38",
    ("attention", "conservative"): "f0cb28bb481a5a24",
    ("attention", "aggressive"): "727e45266f382ed2",
    ("attention", "reuse"): "ebd377ca2a4525d9",
    ("layernorm-ai", "paper"): "234c88429546be83",
    ("layernorm-ai", "rms"): "e0db317b857c1a5a",
    ("layernorm-ai", "fine"): "859d50818f754816",
    ("layernorm-exact", "standard"): "e00ffa46f147396d",
    ("layernorm-exact", "rms"): "56ee302de61f08f4",
    ("layernorm-exact", "fine"): "29f85a6cbab8e467",
    ("svd-softmax", "plus"): "ae4c0d731b99ff07",
    ("svd-softmax", "supplied"): "1bfab93108fc8dde",
}


# Fixed inputs -----------------------------------------------------------------------------------

class Numbers:
    """Linear congruential generator, so that the inputs depend on no library."""

    def __init__(self, seed):
        self.state = seed

    def below(self, limit):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (self.state >> 33) % limit

    def around(self, middle, spread, low, high):
        """Integer that is ``spread`` from the middle at most, mostly less."""
        sides = sum(self.below(2 * spread + 1) - spread for _ in range(3))
        return min(max(middle + sides // 3, low), high)


def rows(low, high, lengths, count=24):
    """Blocks of rows of some lengths, their elements close together up to all over the range."""
    numbers = Numbers(1)
    for length in lengths:
        yield np.array([[numbers.around((low + high + 1) // 2, 3 << number % 8, low, high)
                         for _ in range(length)] for number in range(count)])


def outputs(config):
    """What a unit makes of the fixed inputs: lists of integers."""
    if config.UNIT.startswith("softmax-"):
        # Factors of the logits that are none, that are rounded, and that leave bits out.
        for scale in (config.input_scale, 0.3, 0.01):
            scaled = dataclasses.replace(config, input_scale=scale)
            for x in rows(-128, 127, (1, 2, 5, 24, 90)):
                yield model.run(scaled, x).tolist()
            yield model.run(scaled, x, np.arange(x.size).reshape(x.shape) % 3 == 1).tolist()
    elif config.UNIT.startswith("layernorm-"):
        for x in rows(0, 255, (config.channels,), count=8):
            yield model.run(config, x).tolist()
    elif config.UNIT == "svd-softmax":
        for block in rows(-128, 127, (8,) * 3, count=60):
            basis = {}
            if config.transform == "engine":
                basis = {"basis": block[48:56] * 64, "offset": block[0],
                         "basis_shift": np.full(8, 13)}
            image = SvdImage(block[:24, :3], block[24:48], block[:24, 3], 2, 5, **basis)
            y = model.run(config, block[56:] * 8, image, whole=True)
            yield [each.tolist() for each in y]
    else:
        for number, block in enumerate(rows(-128, 127, (8,) * 6, count=60)):
            q, k, v = block[:12], block[12:36], block[36:]
            yield model.run(config, q, k, v, mask=np.arange(24) % 7 == number).tolist()


def sized(unit, parameters):
    """Config of a unit, of an engine a small one."""
    if unit == "svd-softmax":
        parameters = {**parameters, "dim": 8, "max_preview": 8, "max_vocab": 24, "max_count": 24}
    if unit == "attention":
        parameters = {**parameters, "max_keys": 24, "dim": 8, "value_dim": 8,
                      "io_lanes": 4}
        parameters["prefix_dims"] = min(parameters.get("prefix_dims", 8), 7)
    return rtl.unit(unit)(**parameters)


def digest(config):
    return hashlib.sha256(json.dumps(list(outputs(config))).encode()).hexdigest()[:16]


# Literals ---------------------------------------------------------------------------------------

def test_every_unit_and_preset_has_a_literal():
    found = {unit: list(rtl.unit(unit).PRESETS) for unit in rtl.units()}
    assert found == {unit: list(presets) for unit, presets in LITERALS.items()}
    assert list(DIGESTS) == PAIRS


@pytest.mark.parametrize("unit, preset", PAIRS)
def test_a_preset_is_its_literal(unit, preset):
    assert rtl.unit(unit).preset(preset).to_dict() == {"unit": unit, **LITERALS[unit][preset]}


@pytest.mark.parametrize("unit", LITERALS)
def test_the_first_preset_are_the_defaults(unit):
    first = next(iter(LITERALS[unit].values()))
    assert rtl.unit(unit)().to_dict() == {"unit": unit, **first}


# Digests ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("unit, preset", PAIRS)
def test_outputs_of_a_preset(unit, preset):
    assert digest(sized(unit, LITERALS[unit][preset])) == DIGESTS[unit, preset]


# What a preset says and these outputs do not depend on, and why.
UNSEEN = {
    # Terms below 2**-8 change the two leading bits of a sum in longer rows only.
    ("softmax-e2", "paper", "sum_fraction_bits"),
    # The published table has entries of 0 at its end; without them it has the same words.
    ("softmax-lut2d", "paper", "exp_entries"),
}

# Fields that are not the defaults, but for those that follow others of the preset by themselves.
FIELDS = [(unit, preset, field) for unit, preset in PAIRS
          for field, value in LITERALS[unit][preset].items()
          if value != next(iter(LITERALS[unit].values()))[field]
          and not (derived_of(rtl.unit(unit).parameters()[field])
                   and field not in rtl.unit(unit).PRESETS[preset])]


def test_fields():
    """The literals have the fields that the presets set, where these are not the defaults."""
    said = [(unit, preset, field) for unit, preset in PAIRS
            for field in rtl.unit(unit).PRESETS[preset]]
    assert sorted(said) == sorted(FIELDS)


@pytest.mark.parametrize("unit, preset, field", FIELDS)
def test_a_field_that_is_dropped_is_seen(unit, preset, field):
    """Without it, the default makes the configuration a refused one, or other outputs."""
    default = next(iter(LITERALS[unit].values()))[field]
    try:
        config = sized(unit, {**LITERALS[unit][preset], field: default})
    except ConfigError:
        return
    unchanged = digest(config) == DIGESTS[unit, preset]
    assert unchanged == ((unit, preset, field) in UNSEEN)

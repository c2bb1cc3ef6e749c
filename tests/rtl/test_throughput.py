"""One beat per cycle, for ever: no sequence of lengths makes a unit stall its input."""

import numpy as np
import pytest

import rtl
from sim import model
from sim.stimuli.draw import hard_lengths
from sim.stimuli.provider import provider
from sim.testing.compiled import check
from sim.testing.pysim import ends_of, exchange, row_beats, rows_of

SOFTMAX = [name for name in rtl.units() if name.startswith("softmax-")]
LAYERNORM = [name for name in rtl.units() if name.startswith("layernorm-")]
# Longer than the pipelines hold rows, whose depth alone would hide a bound.
PRESETS = [(name, preset, {"lanes": 1, "max_length": 33}) for name in SOFTMAX
           for preset in rtl.unit(name).PRESETS]
OTHERS = [
    ("softmax-split", "plus", {"lanes": 8, "max_length": 8, "bits": 16, "reciprocal": "divider"}),
    ("softmax-e2", "plus", {"lanes": 2, "max_length": 170, "pipeline": "deep"}),
    ("softmax-e2", "paper", {"lanes": 4, "max_length": 120, "memory": "distributed"}),
    *((name, "", {"lanes": 1, "channels": 33, "row_length": "variable", **rms})
      for name in LAYERNORM for rms in ({}, {"rms": True, "zero_point": 0})),
    ("layernorm-ai", "", {"lanes": 1, "channels": 70, "row_length": "variable"}),
    *((name, "", {"lanes": 4, "channels": channels}) for name in LAYERNORM
      for channels in (3, 17)),
]


def config_of(name, preset, parameters):
    cls = rtl.unit(name)
    return cls.preset(preset, **parameters) if preset else cls(**parameters)


def stalls(config, lengths, seed=0):
    """Send rows back to back; returns the cycles in which the input stalled before each row's end.

    The outputs are compared with the model's.
    """
    random = np.random.default_rng(seed)
    element = config.input_layout.element
    low = -(1 << element.width - 1) if element.signed else 0
    rows = [random.integers(low, low + (1 << element.width), length) for length in lengths]
    masks = [random.random(length) < 0.1 for length in lengths]
    masked = "mask" in config.input_layout.members
    sent = row_beats(config, rows, masks if masked else None)
    traffic = exchange(config.create(), {"i": sent}, len(rows))
    cycles = np.array(traffic.cycles["i"])
    got = rows_of(traffic.beats, config.lanes)
    for x, mask, y in zip(rows, masks, got, strict=True):
        assert y == model.run(config, x, *([mask] if masked else [])).tolist()
    _, ends = ends_of(sent, cycles)
    return np.array(ends) - cycles[0] + 1 - np.cumsum([-(-n // config.lanes) for n in lengths])


def test_rows_of_min_length_never_stall():
    """A serial divider, and no row shorter than promised."""
    config = config_of("softmax-split", "plus", {
        "lanes": 1, "max_length": 24, "out_bits": 4, "reciprocal": "divider", "min_length": 7})
    lengths = [length for length in hard_lengths(config, np.random.default_rng(1)) if length >= 7]
    assert not stalls(config, [*lengths, *[7] * 40, 24, *[7] * 20]).any()


def test_max_rows_trades_stalls_for_memory():
    """Without room for their words, further rows wait; a few rows never do."""
    config = config_of("softmax-rexp", "plus", {"lanes": 1, "max_length": 90, "max_rows": 32})
    few, many = [90, *[1] * 12, 90], [90, *[1] * 100]
    assert not stalls(config, few).any() and stalls(config, many).any()
    for value in 1, 31:
        with pytest.raises(rtl.ConfigError, match=f"^Parameter max_rows must be 0 or at least 32, "
                                                  f"not {value}$"):
            config_of("softmax-rexp", "plus", {"max_rows": value})


@pytest.mark.slow
@pytest.mark.parametrize("name, preset, parameters", [
    ("softmax-e2", "plus", {"lanes": 1, "max_length": 1024}),
    ("softmax-rexp", "plus", {"lanes": 16, "max_length": 1024}),
    ("layernorm-exact", "", {"lanes": 4, "channels": 1024, "row_length": "variable"}),
])
def test_long_rows_never_stall(name, preset, parameters, verilator):
    """The hardest sequences of long rows, compiled: a wait of any beat fails the comparison."""
    config = config_of(name, preset, parameters)
    assert config.max_rows == 0
    rows = provider(name).inputs(config, "throughput", np.random.default_rng(1), beats=0, rows=1000)
    check(config, rows, tests=["rows_back_to_back"])


@pytest.mark.parametrize("name, preset, parameters", [
    *PRESETS, *(pytest.param(*other, marks=pytest.mark.slow) for other in OTHERS)])
def test_never_stalls(name, preset, parameters):
    config = config_of(name, preset, parameters)
    random = np.random.default_rng(1)
    lengths = hard_lengths(config, random)
    if getattr(config, "row_length", "variable") == "fixed":
        lengths = [config.max_length] * 40
    assert not stalls(config, lengths).any()

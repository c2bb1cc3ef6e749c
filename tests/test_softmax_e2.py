"""Hardware of E2Softmax against its model, in Amaranth's simulator; cocotb does the long runs."""

import dataclasses

import numpy as np
import pytest
from amaranth import Const

import rtl
from pysim import random_rows, run_rows
from rtl.row_unit import RowUnit
from sim import model

E2 = rtl.unit("softmax-e2")

CONFIGS = [
    E2(lanes=1, max_length=9),
    E2(lanes=2, max_length=7, bits=12, input_scale=0.01),
    E2(lanes=4, max_length=30),
    E2(lanes=3, max_length=20, out_bits=16),
    E2(lanes=5, max_length=33, correction="absolute", divider_constants=8,
       output_rounding="round", input_scale=0.3),
    E2(lanes=16, max_length=100, sum_fraction_bits=6, code_rounding="truncate"),
    E2(lanes=4, max_length=30, code_bits=2, out_bits=5, divider_constants=4),
    E2(lanes=4, max_length=30, code_bits=5, bits=2, input_scale=8.0),
    E2(lanes=1, max_length=4, bits=4, code_bits=2, sum_fraction_bits=8, output_rounding="round"),
    E2(lanes=1, max_length=3, bits=4, code_bits=3, out_bits=16, sum_fraction_bits=8),
    E2.preset("plus", lanes=1, max_length=9),
    E2.preset("plus", lanes=2, max_length=9, bits=5, input_scale=2.0 ** -8),
    E2.preset("plus", lanes=2, max_length=9, bits=16, input_scale=1.0, code_fraction_bits=0),
    E2.preset("plus", lanes=4, max_length=30),
    E2.preset("plus", lanes=16, max_length=100, input_scale=0.7),
    E2.preset("plus", lanes=3, max_length=20, bits=16, input_scale=2.0 ** -11),
    E2.preset("plus", lanes=3, max_length=20, bits=14, input_scale=1.5),
    E2.preset("plus", lanes=4, max_length=30, out_bits=16, code_bits=9, code_fraction_bits=4),
    E2.preset("plus", lanes=4, max_length=30, code_bits=3, code_fraction_bits=0),
]


@pytest.fixture(params=CONFIGS, ids=lambda config: config.name)
def config(request):
    return request.param


def expected(config, rows, masks):
    return [model.run(config, x, mask).tolist() for x, mask in zip(rows, masks, strict=True)]


@pytest.mark.parametrize("gaps, stalls", [(0, 0), (0.3, 0.3)])
def test_equals_the_model(config, gaps, stalls):
    rows, masks = random_rows(config, 24, np.random.default_rng(1))
    outputs, _ = run_rows(config.create(), rows, masks, gaps=gaps, stalls=stalls)
    assert outputs == expected(config, rows, masks)


def test_latency(config):
    for row in random_rows(config, 4, np.random.default_rng(2))[0]:
        _, latencies = run_rows(config.create(), [row], [np.zeros(len(row), bool)])
        assert latencies == [config.latency]


def test_latency_figures():
    for preset in ("paper", "plus"):
        for lanes in (1, 4, 16):
            assert E2.preset(preset, lanes=lanes, max_length=1024).latency <= 12


def test_ports_have_the_widths_of_the_configuration(config):
    dut = config.create()
    assert len(dut.i.payload.as_value()) == config.lanes * (config.bits + 2) + 1
    assert len(dut.o.payload.as_value()) == config.lanes * (config.out_bits + 1) + 1
    assert dut.config is config and type(dut.datapath).__name__ == (
        "OctaveDatapath" if config.codes == "octave" else "InputDatapath")


# Faults in the hardware that the comparison with the model has to find --------------------------

def differs(config, built, rows):
    """Whether the hardware of ``built`` does something else than the model of ``config``."""
    masks = [np.zeros(len(x), bool) for x in rows]
    return run_rows(built.create(), rows, masks)[0] != expected(config, rows, masks)


def test_swapped_constants_are_found():
    config = E2(lanes=4, max_length=16)
    rows = [np.zeros(n, int) for n in (2, 3, 6)]

    class Swapped(E2):
        outputs = tuple(reversed(config.outputs))
    assert not differs(config, config, rows)
    assert differs(config, Swapped(**dataclasses.asdict(config)), rows)


@pytest.mark.parametrize("preset", ["paper", "plus"])
def test_a_sum_short_of_one_bit_is_found(preset):
    config = E2.preset(preset, lanes=4, max_length=16)
    rows = [np.full(16, 3)]

    class Short(E2):
        sum_bits = config.sum_bits - 1
    assert differs(config, Short(**dataclasses.asdict(config)), rows)


@pytest.mark.parametrize("preset", ["paper", "plus"])
def test_padding_and_masks_that_leak_are_found(preset):
    config = E2.preset(preset, lanes=4, max_length=16)

    class Leaky(type(config.create().datapath)):
        """Takes every lane for a living element, whatever is kept or masked."""

        def elaborate(self, platform):
            self.live = Const(-1, config.lanes)
            return super().elaborate(platform)
    x, hidden = np.array([1, 2, 3, 4, 5]), np.array([False, False, True, True, False])
    for row, mask in ((x, np.zeros(5, bool)), (x[:4], hidden[:4])):
        exact = expected(config, [row], [mask])
        assert run_rows(config.create(), [row], [mask])[0] == exact
        leaky = RowUnit(config, Leaky(config))
        assert run_rows(leaky, [row], [mask])[0] != exact

"""Hardware of every softmax method against its model, in Amaranth's simulator.

Small ones, for every branch of the hardware; compiled simulation does the long runs.
"""

import functools
import math

import numpy as np
import pytest

import rtl
from sim import model
from sim.testing.pysim import random_rows, run_rows

E2, REXP, LUT2D, SPLIT, SOFTERMAX = (rtl.unit(f"softmax-{name}") for name in (
    "e2", "rexp", "lut2d", "split", "softermax"))

e2, rexp, lut2d, split, softermax = (functools.partial(cls.preset, "paper") for cls in (
    E2, REXP, LUT2D, SPLIT, SOFTERMAX))

ROUNDED = {"exp_index": "round", "sum_rounding": "round"}
# One logit step is a quarter octave: the published format of Softermax, without a conversion.
QUARTER = math.log(2) / 4

CONFIGS = [
    e2(lanes=1, max_length=9),
    e2(lanes=2, max_length=7, bits=12, input_scale=0.01),
    e2(lanes=4, max_length=30),
    e2(lanes=3, max_length=20, out_bits=16),
    e2(lanes=5, max_length=33, correction="absolute", divider_constants=8,
       output_rounding="round", input_scale=0.3),
    e2(lanes=16, max_length=100, sum_fraction_bits=6, code_rounding="truncate"),
    e2(lanes=4, max_length=30, code_bits=2, out_bits=5, divider_constants=4),
    e2(lanes=4, max_length=30, code_bits=5, bits=2, input_scale=8.0),
    e2(lanes=1, max_length=4, bits=4, code_bits=2, sum_fraction_bits=8, output_rounding="round"),
    e2(lanes=1, max_length=3, bits=4, code_bits=3, out_bits=16, sum_fraction_bits=8),
    E2.preset("plus", lanes=1, max_length=9),
    E2.preset("plus", lanes=2, max_length=9, bits=5, input_scale=2.0 ** -8),
    E2.preset("plus", lanes=2, max_length=9, bits=16, input_scale=1.0, code_fraction_bits=0),
    E2.preset("plus", lanes=4, max_length=30),
    E2.preset("plus", lanes=16, max_length=100, input_scale=0.7),
    E2.preset("plus", lanes=3, max_length=20, bits=16, input_scale=2.0 ** -11),
    E2.preset("plus", lanes=3, max_length=20, bits=14, input_scale=1.5),
    E2.preset("plus", lanes=4, max_length=30, out_bits=16, code_bits=9, code_fraction_bits=4),
    E2.preset("plus", lanes=4, max_length=30, code_bits=3, code_fraction_bits=0),
    e2(lanes=3, max_length=40, partial_sums=2),
    e2(lanes=1, max_length=40, partial_sums=2, correction="absolute"),
    E2.preset("plus", lanes=1, max_length=40, partial_sums=2),
    E2.preset("plus", lanes=16, max_length=200, partial_sums=2),
    e2(lanes=5, max_length=40, pipeline="deep"),
    E2.preset("plus", lanes=3, max_length=40, partial_sums=2, pipeline="deep"),
    E2.preset("plus", lanes=4, max_length=30, code_bits=3, code_fraction_bits=0, pipeline="deep"),
    rexp(lanes=1, max_length=9),
    rexp(lanes=4, max_length=30),
    rexp(lanes=3, max_length=20, out_bits=15, **ROUNDED),
    rexp(lanes=16, max_length=100, scaling="cheap", sum_fraction_bits=2),
    rexp(lanes=2, max_length=12, bits=12, input_scale=0.01, out_bits=4),
    rexp(lanes=5, max_length=33, out_bits=2, alpha_entries=0),
    rexp(lanes=4, max_length=30, bits=16, input_scale=2.0 ** -10, multiplier="lut"),
    rexp(lanes=3, max_length=30, out_bits=16),
    rexp(lanes=4, max_length=30, bits=2, input_scale=3.0),
    rexp(lanes=4, max_length=30, exp_words=(255, 100, 7), alpha_words=tuple(range(16))),
    REXP.preset("plus", lanes=1, max_length=9),
    REXP.preset("plus", lanes=4, max_length=30, multiplier="lut"),
    REXP.preset("plus", lanes=6, max_length=40, out_bits=16, exp_guard_bits=3),
    REXP.preset("plus", lanes=9, max_length=90, bits=10, input_scale=0.003),
    REXP.preset("online", lanes=1, max_length=9),
    REXP.preset("online", lanes=5, max_length=60, partial_sums=2),
    REXP.preset("online", lanes=6, max_length=60, pipeline="deep"),
    REXP.preset("online", lanes=3, max_length=30, out_bits=16, bits=12, input_scale=0.01),
    REXP.preset("online", lanes=4, max_length=30, out_bits=2, code_fraction_bits=0),
    REXP.preset("online", lanes=16, max_length=70, input_scale=3.0, multiplier="lut"),
    lut2d(lanes=1, max_length=9),
    lut2d(lanes=4, max_length=30),
    lut2d(lanes=4, max_length=30, sigma_memory="lut"),
    lut2d(lanes=1, max_length=10, bits=2, out_bits=2, rows=24),
    lut2d(lanes=3, max_length=20, out_bits=15, row_index="round", **ROUNDED),
    lut2d(lanes=16, max_length=100, sum_fraction_bits=2),
    lut2d(lanes=2, max_length=12, bits=12, input_scale=0.01, out_bits=4, rows=32,
          sigma_memory="lut"),
    lut2d(lanes=5, max_length=33, out_bits=2, columns=0, rows=2, sigma_memory="lut"),
    lut2d(lanes=4, max_length=30, bits=16, input_scale=2.0 ** -10, rows=7),
    lut2d(lanes=4, max_length=30, bits=2, input_scale=3.0, rows=3, exp_entries=0),
    lut2d(lanes=4, max_length=30, rows=3, columns=2, sigma_words=(0, 0, 9, 8, 200, 10)),
    LUT2D.preset("plus", lanes=1, max_length=9),
    LUT2D.preset("plus", lanes=4, max_length=30, sigma_memory="lut"),
    LUT2D.preset("plus", lanes=6, max_length=40, out_bits=16, row_spacing="linear"),
    LUT2D.preset("plus", lanes=9, max_length=90, bits=10, input_scale=0.003),
    LUT2D.preset("online", lanes=1, max_length=9),
    LUT2D.preset("online", lanes=5, max_length=60, partial_sums=2, sigma_memory="lut"),
    LUT2D.preset("online", lanes=2, max_length=30, partial_sums=2, pipeline="deep"),
    LUT2D.preset("online", lanes=3, max_length=30, out_bits=12, bits=12, input_scale=0.01),
    LUT2D.preset("online", lanes=4, max_length=30, out_bits=2, code_fraction_bits=0, rows=5),
    split(lanes=1, max_length=9),
    split(lanes=4, max_length=30),
    split(lanes=3, max_length=20, out_bits=16),
    split(lanes=9, max_length=100, bits=7),
    split(lanes=2, max_length=12, bits=12, input_scale=0.01, out_bits=4, order="lazy"),
    split(lanes=4, max_length=30, bits=16, input_scale=2.0 ** -10, guard_bits=2, order="lazy"),
    split(lanes=3, max_length=30, out_bits=16, guard_bits=4, order="lazy"),
    split(lanes=4, max_length=30, bits=2, input_scale=3.0, guard_bits=8),
    split(lanes=2, max_length=60, order="lazy", min_length=30),
    split(lanes=1, max_length=40, order="lazy", guard_bits=4, out_bits=4, min_length=9),
    SPLIT.preset("plus", lanes=1, max_length=9),
    SPLIT.preset("plus", lanes=4, max_length=30),
    SPLIT.preset("plus", lanes=9, max_length=90, bits=10, input_scale=0.003),
    softermax(lanes=1, max_length=9),
    softermax(lanes=4, max_length=30),
    softermax(lanes=3, max_length=20, input_scale=QUARTER),
    softermax(lanes=9, max_length=100, input_scale=QUARTER, bits=7),
    softermax(lanes=2, max_length=12, bits=12, input_scale=0.01, out_bits=4, sum_fraction_bits=2),
    softermax(lanes=5, max_length=33, out_bits=16, exp_fraction_bits=20, sum_fraction_bits=20,
              reciprocal_fraction_bits=16),
    softermax(lanes=4, max_length=30, bits=16, input_scale=2.0 ** -10,
              reciprocal_fraction_bits=4, reciprocal_segments=16),
    softermax(lanes=4, max_length=30, bits=2, input_scale=3.0),
    softermax(lanes=4, max_length=30, bits=9, input_scale=16.0, position_fraction_bits=0),
    SOFTERMAX.preset("plus", lanes=1, max_length=9),
    SOFTERMAX.preset("plus", lanes=4, max_length=30),
    SOFTERMAX.preset("plus", lanes=6, max_length=40, out_bits=16, position_fraction_bits=6),
    softermax(lanes=1, max_length=40, partial_sums=2),
    SOFTERMAX.preset("plus", lanes=5, max_length=40, partial_sums=2),
    softermax(lanes=7, max_length=40, partial_sums=2, pipeline="deep"),
]


# Every second one is slow, for time.
@pytest.fixture(params=[
    pytest.param(config, id=config.name, marks=[pytest.mark.slow] if number % 2 else [])
    for number, config in enumerate(CONFIGS)])
def config(request):
    return request.param


def assert_equal(config, rows, masks, outputs):
    assert outputs == [model.run(config, x, mask).tolist()
                       for x, mask in zip(rows, masks, strict=True)]


def test_equals_the_model(config):
    rows, masks = random_rows(config, 16, np.random.default_rng(1))
    outputs, _ = run_rows(config.create(), rows, masks, gaps=0.3, stalls=0.3)
    assert_equal(config, rows, masks, outputs)


def test_latency(config):
    """Rows back to back, and two for themselves, whose latency is the one of the row."""
    rows, masks = random_rows(config, 16, np.random.default_rng(1))
    for row in random_rows(config, 2, np.random.default_rng(2))[0]:
        rows.append(row)
        masks.append(np.zeros(len(row), bool))
    outputs, latencies = run_rows(config.create(), rows, masks, alone=2)
    assert_equal(config, rows, masks, outputs)
    assert latencies[16:] == [config.row_latency(-(-len(row) // config.lanes))
                              for row in rows[16:]]


def test_ports_have_the_widths_of_the_configuration(config):
    dut = config.create()
    assert len(dut.i.payload.as_value()) == config.lanes * (config.bits + 2) + 1
    assert len(dut.o.payload.as_value()) == config.lanes * (config.out_bits + 1) + 1

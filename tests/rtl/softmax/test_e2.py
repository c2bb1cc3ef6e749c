"""Latency of E2Softmax, and faults in its hardware that the comparison has to find."""

import dataclasses

import numpy as np
import pytest
from amaranth import Const

import rtl
from rtl.stream.row_unit import RowUnit
from sim import model
from sim.testing.pysim import run_rows

E2 = rtl.unit("softmax-e2")

def expected(config, rows, masks):
    return [model.run(config, x, mask).tolist() for x, mask in zip(rows, masks, strict=True)]


def test_latency_figures():
    for preset in ("paper", "plus"):
        for lanes in (1, 4, 16):
            assert E2.preset(preset, lanes=lanes, max_length=1024).latency <= 12


# Faults in the hardware that the comparison with the model has to find --------------------------

def differs(config, built, rows):
    """Whether the hardware of ``built`` does something else than the model of ``config``."""
    masks = [np.zeros(len(x), bool) for x in rows]
    return run_rows(built.create(), rows, masks)[0] != expected(config, rows, masks)


def test_swapped_constants_are_found():
    config = E2.preset("paper", lanes=4, max_length=16)
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

    class Leaky(config.skeleton):
        """Takes every lane for a living element, whatever is kept or masked."""

        def elaborate(self, platform):
            self.live = Const(-1, config.lanes)
            return super().elaborate(platform)
    x, hidden = np.array([1, 2, 3, 4, 5]), np.array([False, False, True, True, False])
    for row, mask in ((x, np.zeros(5, bool)), (x[:4], hidden[:4])):
        exact = expected(config, [row], [mask])
        assert run_rows(config.create(), [row], [mask])[0] == exact
        leaky = RowUnit(config, Leaky(config, config.method))
        # What leaks shows in lanes that are not kept, too.
        with pytest.raises(AssertionError):
            assert run_rows(leaky, [row], [mask])[0] == exact

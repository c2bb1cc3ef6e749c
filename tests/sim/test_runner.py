"""Hardware against model, simulated: bit-exact, in the promised cycle, by the rules of the stream.

The fast part runs the directed rows, captured logits, rows back to back and a few random
configurations on Icarus; the slow part (``-m slow``) runs more of each on both simulators.
"""

from __future__ import annotations

import dataclasses

import pytest

import rtl
from sim import regress, runner

FAST_CONFIGS = 4
FAST_UNITS = ["softmax-e2"]
# The units share their rooms: the first one's configurations reach most of what there is.
SLOW_CONFIGS = {"softmax-e2": 40}
OTHER_SLOW_CONFIGS = 6


def cases(simulators, speed, units=None, **options):
    """Parameters of a test, one for each simulator and task."""
    marks = [pytest.mark.slow] if speed == "slow" else []
    tasks = regress.tasks(rtl.units() if units is None else units, **options)
    return [pytest.param(dataclasses.replace(task, simulators=(simulator,)), marks=marks,
                         id=f"{speed}-{simulator}-{task.kind}-{task.config.name}-{task.ports}")
            for simulator in simulators for task in tasks]


def fast():
    # The directed inputs of the other families run in the tests of their units.
    softmax = [name for name in rtl.units() if name.startswith("softmax-")]
    yield from cases(["icarus"], "fast", softmax, kinds=["directed"])
    yield from cases(["icarus"], "fast", kinds=["throughput"], rows=200)
    # The scale of most of the rows.
    yield from (case for case in cases(["icarus"], "fast", FAST_UNITS, kinds=["real"])
                if case.values[0].config.input_scale == 0.125)
    yield from cases(["icarus"], "fast", FAST_UNITS, kinds=["random"], count=FAST_CONFIGS, seed=1)


def slow():
    for name in rtl.units():
        count = SLOW_CONFIGS.get(name, OTHER_SLOW_CONFIGS)
        yield from cases(runner.SIMULATORS, "slow", units=[name], count=count, seed=2)


@pytest.mark.parametrize("task", [*fast(), *slow()])
def test_equals_model(task, tmp_path, store, require_simulator):
    require_simulator(task.simulators[0])
    task = dataclasses.replace(task, folder=tmp_path / "simulation", store=store)
    (outcome,) = regress.run_task(task)
    assert outcome.failures == []
    assert outcome.mismatches == 0
    assert outcome.outputs > 0

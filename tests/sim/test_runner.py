"""Hardware against model, simulated: bit-exact, in the promised cycle, by the rules of the stream.

Most is compared by the compiled driver. A cocotb bench on Icarus shows what is unknown, and one on
Verilator that both benches say the same; they run once for each family and kind of ports in the
fast part, and with every preset in the slow one (``-m slow``).
"""

from __future__ import annotations

import dataclasses

import pytest

import rtl
from rtl import unit
from sim import regress

# Random configurations of each unit, in the fast part and in the slow one. The units share their
# rooms: the first one's configurations reach most of what there is.
FAST_CONFIGS, SLOW_CONFIGS = 1, {"softmax-e2": 40}
OTHER_SLOW_CONFIGS = 10
FEW_ROWS = 200


def cases(simulator, speed, names=None, **options):
    """Parameters of a test, one for each task."""
    marks = [pytest.mark.slow] if speed == "slow" else []
    for task in regress.tasks(names or rtl.units(), simulators=[simulator], **options):
        yield pytest.param(task, marks=marks, id=f"{speed}-{simulator}-{task.kind}-"
                           f"{task.config.name}-{task.ports}")


def first_of(params, *presets):
    """Those of the cases whose configuration is close to one of the presets, ``UNIT:PRESET``."""
    for param in params:
        config = param.values[0].config
        if any(f"{config.UNIT}:{name}" in presets and f"_{name}" in config.name
               for name in config.PRESETS):
            yield param


def fast():
    for name in rtl.units():
        # Engines of attention take seconds to emit; their own tests have small ones.
        if name != "attention":
            yield from cases("compiled", "fast", [name], kinds=["directed"])
            yield from cases("compiled", "fast", [name], kinds=["throughput"], rows=FEW_ROWS)
            yield from cases("compiled", "fast", [name], kinds=["random"], count=FAST_CONFIGS,
                             seed=1)
    # The scale of most of the rows.
    yield from (case for case in cases("compiled", "fast", ["softmax-e2"], kinds=["real"])
                if case.values[0].config.input_scale == 0.125)
    for simulator in "icarus", "verilator":
        yield from first_of(cases(simulator, "fast", ["softmax-e2"], kinds=["directed"]),
                            "softmax-e2:plus")
    yield from (case for case in cases("icarus", "fast", ["softmax-rexp"], kinds=["directed"])
                if case.values[0].config == unit("softmax-rexp").preset("plus"))


def slow():
    for name in rtl.units():
        if name != "attention":
            yield from cases("icarus", "slow", [name], kinds=["directed"])
            yield from cases("icarus", "slow", [name], kinds=["random"], count=2, seed=2)
        count = SLOW_CONFIGS.get(name, OTHER_SLOW_CONFIGS)
        yield from cases("compiled", "slow", [name], kinds=["real"])
        yield from cases("compiled", "slow", [name], kinds=["random"], count=count, seed=2)
    yield from cases("compiled", "slow", ["attention"], kinds=["directed", "throughput"],
                     rows=FEW_ROWS)


@pytest.mark.parametrize("task", [*fast(), *slow()])
def test_equals_model(task, tmp_path, store, require_simulator):
    require_simulator(task.simulators[0])
    task = dataclasses.replace(task, folder=tmp_path / "simulation", store=store)
    (outcome,) = regress.run_task(task)
    assert outcome.failures == []
    assert outcome.mismatches == 0
    assert outcome.outputs > 0

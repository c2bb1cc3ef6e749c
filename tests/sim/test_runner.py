"""Hardware against model, simulated: bit-exact, in the promised cycle, by the rules of the stream.

Most is compared by the compiled driver, every preset. A cocotb bench on Icarus shows what is
unknown, and one on Verilator that both benches say the same; they run once for each family and kind
of ports in the fast part, and once for each unit in the slow one (``-m slow``). ``python -m
sim.regress`` runs them for every preset.
"""

from __future__ import annotations

import dataclasses

import pytest

import rtl
from sim import regress

# Random configurations of each unit, in the fast part and in the slow one. The units share their
# rooms: the first one's configurations reach most of what there is.
FAST_CONFIGS, SLOW_CONFIGS = 1, {"softmax-e2": 16, "svd-softmax": 1}
OTHER_SLOW_CONFIGS = 4
FEW_ROWS = 200

ENGINES = ("attention", "svd-softmax")

# What runs on Icarus: in the fast part, and besides in the slow one.
FAST_PRESETS = ("softmax-e2:plus", "softmax-rexp:plus")
SLOW_PRESETS = ("softmax-lut2d:online", "softmax-softermax:plus", "softmax-split:plus",
                "layernorm-ai:paper", "layernorm-exact:rms")


def cases(simulator, speed, names=None, **options):
    """Parameters of a test, one for each task."""
    marks = [pytest.mark.slow] if speed == "slow" else []
    for task in regress.tasks(names or rtl.units(), simulators=[simulator], **options):
        yield pytest.param(task, marks=marks, id=f"{speed}-{simulator}-{task.kind}-"
                           f"{task.config.name}-{task.ports}")


def directed(simulator, speed, *presets):
    """Directed cases of presets, ``UNIT:PRESET``."""
    for preset in presets:
        unit, name = preset.split(":")
        for param in cases(simulator, speed, [unit], kinds=["directed"]):
            if f"_{name}" in param.values[0].config.name:
                yield param


def fast():
    for name in rtl.units():
        # Engines take seconds to emit; their own tests have small ones.
        if name not in ENGINES:
            yield from cases("compiled", "fast", [name], kinds=["directed"])
            yield from cases("compiled", "fast", [name], kinds=["throughput"], rows=FEW_ROWS)
            yield from cases("compiled", "fast", [name], kinds=["random"], count=FAST_CONFIGS,
                             seed=1)
    # The scale of most of the rows.
    yield from (case for case in cases("compiled", "fast", ["softmax-e2"], kinds=["real"])
                if case.values[0].config.input_scale == 0.125)
    yield from directed("verilator", "fast", FAST_PRESETS[0])
    yield from directed("icarus", "fast", *FAST_PRESETS)


def slow():
    yield from directed("icarus", "slow", *SLOW_PRESETS)
    for name in rtl.units():
        if name not in ENGINES:
            yield from cases("icarus", "slow", [name], kinds=["random"], count=1, seed=2)
        count = SLOW_CONFIGS.get(name, OTHER_SLOW_CONFIGS)
        yield from cases("compiled", "slow", [name], kinds=["real"])
        yield from cases("compiled", "slow", [name], kinds=["random"], count=count, seed=2)
    yield from cases("compiled", "slow", ENGINES, kinds=["directed", "throughput"], rows=FEW_ROWS)


def test_presets_on_icarus_are_of_every_unit():
    named = {preset.split(":")[0] for preset in (*FAST_PRESETS, *SLOW_PRESETS)}
    assert {*named, *ENGINES} == set(rtl.units())
    for preset in (*FAST_PRESETS, *SLOW_PRESETS):
        assert len(list(directed("icarus", "fast", preset))) >= 2


@pytest.mark.parametrize("task", [*fast(), *slow()])
def test_equals_model(task, tmp_path, store, require_simulator):
    require_simulator(task.simulators[0])
    task = dataclasses.replace(task, folder=tmp_path / "simulation", store=store)
    (outcome,) = regress.run_task(task)
    assert outcome.failures == []
    assert outcome.mismatches == 0
    assert outcome.outputs > 0

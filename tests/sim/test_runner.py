"""Hardware against model, simulated: bit-exact, in the promised cycle, by the rules of the stream.

Most is compared by the compiled driver: the recommended presets of two units in the fast part, the
others in the slow one (``-m slow``). A cocotb bench on Icarus shows what is unknown, and one on
Verilator that both benches say the same. ``python -m sim.regress`` runs all of them for every
preset.
"""

from __future__ import annotations

import dataclasses

import pytest

import rtl
from sim import regress
from sim.compiled import build

# Random configurations of each unit; ``test_fuzzing`` has more of them, all small.
CONFIGS = 1
FEW_ROWS = 200
# Of the steps of real rows: that of most, and the coarsest.
REAL_SCALES = (0.125, 1.0)

ENGINES = ("attention", "svd-softmax")
# One of a family. Engines take seconds to emit; their own tests have small ones.
FAST_UNITS = ("softmax-e2", "layernorm-ai")

# What of directed cases is compiled here: the tests of these rooms have the presets of attention,
# each in several sizes, and both ports of the shells of LayerNorm.
DIRECTED = {"attention": slice(2), "layernorm-ai": slice(None, None, 2),
            "layernorm-exact": slice(None, None, 2)}

# What runs on Icarus. Families with benches of their own have tests of those:
# ``tests/rtl/layernorm/test_cocotb.py``, ``tests/rtl/attention/test_cocotb.py``.
FAST_PRESETS = ("softmax-e2:plus",)
SLOW_PRESETS = ("softmax-rexp:plus", "softmax-lut2d:online", "softmax-softermax:plus",
                "softmax-split:plus")


def cases(simulator, speed, names=None, **options):
    """Parameters of a test, one for each task."""
    marks = [pytest.mark.slow] if speed == "slow" else []
    for task in regress.tasks(names or rtl.units(), simulators=[simulator], **options):
        yield pytest.param(task, marks=marks, id=f"{speed}-{simulator}-{task.kind}-"
                           f"{task.config.name}-{task.ports}")


def of_preset(params, preset):
    """Those of a preset, as the name of the configuration says."""
    return (param for param in params if f"_{preset}" in param.values[0].config.name)


def directed(simulator, speed, *presets):
    """Directed cases of presets, ``UNIT:PRESET``."""
    for preset in presets:
        unit, name = preset.split(":")
        yield from of_preset(cases(simulator, speed, [unit], kinds=["directed"]), name)


def default_of(name):
    return next(iter(rtl.unit(name).PRESETS))


def fast():
    for name in FAST_UNITS:
        yield next(directed("compiled", "fast", f"{name}:{default_of(name)}"))


def slow():
    for simulator in "icarus", "verilator":
        yield from list(directed(simulator, "slow", *FAST_PRESETS))[simulator == "verilator":]
    for preset in SLOW_PRESETS:
        # At the AXI4-Stream ports, with the core behind them.
        yield list(directed("icarus", "slow", preset))[1]
    for name in rtl.units():
        yield from cases("compiled", "slow", [name], kinds=["random"], count=CONFIGS, seed=5)
        # ``tests/rtl/test_throughput.py`` has the other presets of softmax.
        throughput = cases("compiled", "slow", [name], kinds=["throughput"], rows=FEW_ROWS)
        softmax = name.startswith("softmax-")
        yield from of_preset(throughput, default_of(name)) if softmax else throughput
        presets = list(directed("compiled", "slow", *(
            f"{name}:{preset}" for preset in rtl.unit(name).PRESETS)))
        presets = presets[DIRECTED.get(name, slice(None))]
        yield from presets[name in FAST_UNITS:]
        # Captured heads are those of ``tests/rtl/attention/test_captured.py``.
        if name != "attention":
            yield from (case for case in of_preset(
                cases("compiled", "slow", [name], kinds=["real"]), default_of(name))
                if getattr(case.values[0].config, "input_scale", 0.125) in REAL_SCALES)


def test_presets_on_icarus_are_of_every_softmax_unit():
    named = {preset.split(":")[0] for preset in (*FAST_PRESETS, *SLOW_PRESETS)}
    assert named == {name for name in rtl.units() if name.startswith("softmax-")}
    for preset in (*FAST_PRESETS, *SLOW_PRESETS):
        assert len(list(directed("icarus", "fast", preset))) >= 2


@pytest.mark.parametrize("task", [*fast(), *slow()])
def test_equals_model(task, tmp_path, store, require_simulator):
    require_simulator(task.simulators[0])
    if task.simulators == ("compiled",):
        # One runtime for all tests.
        store = build.STORE
    task = dataclasses.replace(task, folder=tmp_path / "simulation", store=store)
    (outcome,) = regress.run_task(task)
    assert outcome.failures == []
    assert outcome.mismatches == 0
    assert outcome.outputs > 0

"""Random parameter sets: each is refused in one line, or accepted and run; failures are told."""

from __future__ import annotations

import dataclasses
import shlex

import numpy as np
import pytest
from rich.console import Console

import rtl
from rtl import UnitConfig
from rtl.parameter import Integer, kind_of
from rtl.softmax.e2 import E2SoftmaxConfig
from sim import fuzzing, regress
from sim.fuzzing import FuzzTask, failure_of, fuzz, parameter_sets
from sim.stimuli.provider import provider, random_config
from sim.testing.compiled import check

SEED = 5

# Sizes that are emitted and compiled in a second or two.
SMALL = {"lanes": Integer(1, 6), "max_length": Integer(1, 200), "channels": Integer(1, 100)}

# Of a unit; fewer of one that takes seconds to emit.
SIMULATED = {"svd-softmax": 2}
OTHERS = 10


@pytest.mark.parametrize("name", rtl.units())
@pytest.mark.parametrize("first, count", [
    (0, 30), pytest.param(30, 90, marks=pytest.mark.slow)], ids=["few", "more"])
def test_sets(name, first, count):
    """``python -m sim.regress --fuzz 10000`` tries more."""
    done = fuzz(FuzzTask(name, SEED, first, count))
    assert done.failures == ()
    assert count / 3 < done.accepted <= count


@pytest.mark.parametrize("name", rtl.units())
@pytest.mark.parametrize("part", range(2))
@pytest.mark.slow
def test_accepted_sets_are_simulated(verilator, name, part):
    """Ten of a unit, small enough, against the model, compiled; ``sim.regress`` runs more."""
    cls = rtl.unit(name)
    bounds = {key: kind for key, kind in SMALL.items()
              if key in cls.parameters() and isinstance(kind_of(cls.parameters()[key]), Integer)}
    for number in range(part, SIMULATED.get(name, OTHERS), 2):
        random = np.random.default_rng([number, SEED])
        config = random_config(cls, random, **bounds)
        inputs = provider(name).inputs(config, "random", random, beats=1000, rows=1)
        check(config, inputs, seed=number)


def test_sets_are_the_same_however_they_are_divided():
    whole = list(parameter_sets(FuzzTask("softmax-e2", 1, 0, 20)))
    parts = [*parameter_sets(FuzzTask("softmax-e2", 1, 0, 7)),
             *parameter_sets(FuzzTask("softmax-e2", 1, 7, 13))]
    assert whole == parts
    assert whole != list(parameter_sets(FuzzTask("softmax-e2", 2, 0, 20)))


@pytest.mark.parametrize("name", rtl.units())
def test_every_parameter_is_drawn(name):
    """Each takes several values, none of them forbidden by a small size."""
    seen = {}
    for _, values in parameter_sets(FuzzTask(name, SEED, 0, 150)):
        for parameter, value in values.items():
            seen.setdefault(parameter, set()).add(value)
    assert set(seen) == set(rtl.unit(name).parameters())
    assert [parameter for parameter, values in seen.items() if len(values) < 2] == []


# Faults that the fuzz has to find: parts of the configuration as they would be with an error.

@pytest.mark.parametrize("name, wrong, failure", [
    ("top_code", property(lambda self: 1 << -self.lanes), "ValueError: negative shift count"),
    ("coefficient", property(lambda self: (23, 70)), "OverflowError"),
    ("outputs", ((300,) * 9,) * 2, "an output is 0 or 300, out of 0..255"),
    ("latency", 0, "its latency is 0"),
    ("name", "softmax-e2", "the name 'softmax-e2' is no Verilog identifier"),
])
def test_fault_is_found(monkeypatch, name, wrong, failure):
    monkeypatch.setattr(E2SoftmaxConfig, name, wrong)
    values = {**E2SoftmaxConfig.PRESETS["paper"], "codes": "octave", "correction": "absolute"}
    assert failure in failure_of("softmax-e2", values)[1]


@pytest.mark.parametrize("error", [
    ValueError("negative shift count"), rtl.ConfigError("It is wrong"),
    rtl.ConfigError("Parameter bits must be\nsmall, not 3"),
    rtl.ConfigError("Parameter bots must be small, not 3")])
def test_wrong_refusal_is_found(monkeypatch, error):
    def refuse(self):
        raise error
    monkeypatch.setattr(E2SoftmaxConfig, "__post_init__", refuse)
    assert failure_of("softmax-e2", {})[1]


@pytest.mark.slow
def test_failure_is_shrunk_and_can_be_repeated(monkeypatch, tmp_path, capsys):
    """A fault of three lanes and more that sum with few bits; the command finds it again."""
    def sum_bits(self):
        if self.lanes >= 3 and self.sum_fraction_bits < 10:
            raise OverflowError("too wide")
        return (self.max_length * self.one_term).bit_length()

    monkeypatch.setattr(E2SoftmaxConfig, "sum_bits", property(sum_bits))
    console = Console(width=300)
    done = fuzz(FuzzTask("softmax-e2", SEED, 0, 40))
    number, values, failure = done.failures[0]
    assert "OverflowError: too wide" in failure
    fuzzing.tell("softmax-e2", values, failure, tmp_path, console, 20.0)
    told, command = capsys.readouterr().out.splitlines()
    assert told.startswith("FAILED softmax-e2 with ") and "OverflowError: too wide" in told
    assert told.count("=") < 9
    python, *module = shlex.split(command)
    assert (python, *module[:2]) == ("python", "-m", "sim.regress")
    assert regress.main(module[2:]) == 1
    assert "FAILED softmax-e2: OverflowError: too wide" in capsys.readouterr().out
    monkeypatch.undo()
    assert regress.main(module[2:]) == 0


def test_command_line(capsys, tmp_path):
    assert regress.main(["softmax-split", "--fuzz", "30", "--seed", "2", "--jobs", "1", "--out",
                         str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("seed 2\n") and "softmax-split │   30" in printed


def test_file_that_is_no_set(capsys, tmp_path):
    path = tmp_path / "set.json"
    path.write_text("[]")
    assert regress.main(["--config", str(path), "--fuzz", "1"]) == 2
    assert capsys.readouterr().err.startswith(f"error: Parameter set {str(path)!r} must be")


def test_random_configurations_are_sets_that_are_accepted():
    """Those of the regression come from the same draw, in the bounds of what can be simulated."""
    cls = rtl.unit("softmax-e2")
    source = provider("softmax-e2")
    configs = [random_config(cls, np.random.default_rng(seed)) for seed in range(5)]
    for seed, config in enumerate(configs):
        random = np.random.default_rng(seed)
        while True:
            values = source.random_parameters(cls, random, source.SMALL)
            if failure_of("softmax-e2", values)[0] is not None:
                break
        assert isinstance(config, UnitConfig) and cls(**values) == config
    assert dataclasses.replace(configs[0]) == configs[0]

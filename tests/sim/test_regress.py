"""The regression: every unit is in it, its tasks can be repeated, and its command line."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import numpy as np
import pytest

import rtl
from rtl.parameter import Words, kind_of
from sim import regress
from sim.jobs import make_job
from sim.runner import Design
from sim.stimuli.provider import KINDS, provider, random_config
from sim.stimuli.svd import LARGE
from sim.testing.passthrough import PassthroughConfig, only_units


@pytest.mark.parametrize("name", rtl.units())
def test_every_unit_has_tasks_of_each_kind(name):
    """Each registered unit has, by being registered, what it can be tested with."""
    tasks = regress.tasks([name], count=3, seed=1)
    assert {task.kind for task in tasks} == set(KINDS)
    assert {task.ports for task in tasks if task.kind == "directed"} == {"core", "axis"}
    assert len({task.folder for task in tasks}) == len(tasks)
    presets = {task.config.name for task in tasks if task.kind == "throughput"}
    assert len(presets) >= len(rtl.unit(name).PRESETS)


@pytest.mark.parametrize("name", rtl.units())
@pytest.mark.parametrize("kind", KINDS)
def test_jobs(name, kind, tmp_path):
    """The model takes the inputs of every kind, which are the same on every call."""
    task = next(task for task in regress.tasks([name], kinds=[kind], count=1, seed=1, rows=100)
                if task.kind == kind)
    # Nothing here needs the design's text.
    design = Design(task.config, "dut", "", task.ports, task.config.latency)
    for number in range(2):
        make_job(design, task.inputs("icarus"), 1).save(tmp_path / f"{number}.npz")
    with np.load(tmp_path / "0.npz") as one, np.load(tmp_path / "1.npz") as other:
        assert set(one) == set(other)
        assert all(np.array_equal(one[key], other[key]) for key in one)


def test_model_outputs_of_reused_maps():
    """Values alone get the outputs of the map that the last set of that number stored."""
    task, = (task for task in regress.tasks(["attention"], kinds=["real"])
             if task.config.reuse)
    leader, last, reuser = make_job(Design(task.config, "dut", "", "core", 1),
                                    task.inputs("icarus")).sets
    assert reuser.use & 1 and not len(reuser.q)
    assert reuser.y.shape == last.y.shape != leader.y.shape
    assert (reuser.y != last.y).any()


@pytest.mark.parametrize("name", rtl.units())
def test_random_configs(name):
    cls = rtl.unit(name)

    def draw(seed, count=40):
        random = np.random.default_rng(seed)
        return [random_config(cls, random) for _ in range(count)]

    assert draw(1) == draw(1) != draw(2)
    first = draw(1, 250)
    for parameter, field in cls.parameters().items():
        # Contents of tables have to fit the others.
        if isinstance(kind_of(field), Words):
            continue
        seen = {getattr(config, parameter) for config in first}
        assert len(seen) > 1, parameter
        values = set(getattr(kind_of(field), "values", ()))
        # Engines are drawn small: not every softmax, nor many lanes and maps.
        assert name in ("attention", "svd-softmax") or seen >= values, parameter


def test_large_vocabularies():
    """A thousand words on Icarus, all of the largest ones compiled, of a prime number too."""
    large = [task for task in regress.tasks(["svd-softmax"], kinds=["directed"])
             if task.config.max_vocab >= LARGE]
    assert {task.config.transform for task in large} == {"engine", "supplied"}
    for simulator, words in ("icarus", {1000, 997}), ("compiled", {4096, 4093}):
        for task in large:
            inputs = task.inputs(simulator)
            assert {batch.vocabulary for batch in inputs.batches} == words


def test_tasks_are_the_same_whatever_their_number():
    few, many = (regress.tasks(["softmax-e2", "layernorm-ai"], count=count, seed=3)
                 for count in (2, 5))
    assert set(few) < set(many)
    assert len({task.folder for task in many}) == len(many)


def test_family_without_provider():
    with only_units(PassthroughConfig), pytest.raises(rtl.ConfigError, match=(
            r"^Unit 'passthrough' can not be tested: its family 'passthrough' has no provider of "
            r"stimuli, the module sim\.stimuli\.passthrough$")):
        regress.tasks(["passthrough"])


def test_nothing_captured_fits():
    softmax, norm, attention = (rtl.unit(name)() for name in (
        "softmax-e2", "layernorm-exact", "attention"))
    for config in dataclasses.replace(softmax, input_scale=0.3), norm, attention:
        with pytest.raises(rtl.ConfigError, match="^No captured"):
            provider(config.UNIT).inputs(config, "real", np.random.default_rng(0), beats=1, rows=1)


# Repeating

@pytest.mark.parametrize("name", ["softmax-e2", "layernorm-ai", "attention"])
@pytest.mark.parametrize("kind", KINDS)
def test_command_repeats_the_task(name, kind, tmp_path):
    """The command of a failure line makes a task of the same inputs, tests and seed."""
    task = regress.tasks([name], kinds=[kind], count=1, seed=3, rows=50, folder=tmp_path)[-1]
    task.folder.mkdir(parents=True)
    task.file.write_text(task.config.to_json(), encoding="utf-8")
    python, *module, = shlex.split(task.command("icarus"))[:3]
    assert (python, *module) == ("python", "-m", "sim.regress")
    args = regress.parser().parse_args(shlex.split(task.command("icarus"))[3:])
    again, = regress.work_of(args, (args.sim,), args.seed)
    for member in "kind", "config", "ports", "seed", "tests":
        assert getattr(again, member) == getattr(task, member)
    assert again.simulators == ("icarus",)
    if kind == "throughput":
        assert again.rows == task.rows


@pytest.mark.slow
def test_failure_is_told_with_its_command(tmp_path, capsys, monkeypatch, icarus):
    """Hardware that differs from its model."""
    config = rtl.unit("softmax-e2")(lanes=2, max_length=9)
    task = regress.Task("throughput", config, "core", 5, ("icarus",), tmp_path / "one", tmp_path,
                        rows=20)
    other = dataclasses.replace(config, input_scale=0.25)
    monkeypatch.setattr(Design, "of", lambda config, ports, text: Design(
        config, other.name, DESIGN(other, ports).verilog, ports, config.latency))
    outcome, = regress.run_task(task)
    assert outcome.failures and outcome.mismatches
    from rich.console import Console
    regress.tell(outcome, Console(width=400))
    failed, command = capsys.readouterr().out.splitlines()
    assert failed.startswith(f"FAILED {config.name} at its core ports on icarus: rows_back_to_back")
    assert command == f"  {task.command('icarus')}" and Path(task.file).exists()


DESIGN = Design.of


# Command line

@pytest.mark.parametrize("arguments, message", [
    (["softmax-e3"], "did you mean 'softmax-e2'"),
    (["--config", "none.json"], "can not be read"),
    (["softmax-e2", "--config", "none.json"], "names its unit"),
])
def test_bad_command_line(arguments, message, capsys):
    assert regress.main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_dry_run(capsys, monkeypatch):
    """All units, without a simulator at hand."""
    monkeypatch.setenv("PATH", "")
    assert regress.main(["--dry-run", "--configs", "1", "--seed", "1"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("seed 1, ")
    for name in rtl.units():
        for kind in KINDS:
            assert any(line.split("│")[1:3] == [f" {name:17} ", f" {kind:10} "]
                       for line in text.splitlines() if "│" in line), (name, kind)

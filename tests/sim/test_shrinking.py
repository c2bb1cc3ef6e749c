"""A configuration that fails is made a small one that fails too."""

from __future__ import annotations

import dataclasses
import os
import shlex
import subprocess
import time

import pytest
from rich.console import Console

import rtl
from sim import regress, soaking, tasks
from sim.compiled import soak as soak_module
from sim.compiled.build import STORE
from sim.runner import Design
from sim.shrinking import difference, in_time, shrink, shrink_config

E2 = rtl.unit("softmax-e2")
NAMES = tuple(E2.parameters())
BIG = E2.preset("plus", lanes=37, bits=13, max_length=1933, input_scale=0.7, sum_fraction_bits=7,
                memory="block", max_rows=99, pipeline="deep")


def test_what_matters_is_left():
    tried = []

    def fails(config):
        tried.append(config)
        return 20 <= config.lanes <= 40 and config.codes == "input"

    small = shrink_config(BIG, fails)
    assert (small.lanes, small.codes) == (20, "input")
    assert min(sum(getattr(small, name) != getattr(E2.preset(preset), name) for name in NAMES)
               for preset in E2.PRESETS) <= 4
    assert len(set(tried)) == len(tried) < 80


def test_what_fails_whatever_the_configuration():
    assert shrink_config(BIG, lambda config: True) == E2()


def test_what_fails_once_only():
    assert shrink_config(BIG, lambda config: config == BIG) == BIG


def test_no_time():
    def fails(config):
        raise AssertionError("tried")
    assert shrink_config(BIG, fails, 0.0) == BIG


def test_trials_that_do_not_end(tmp_path):
    """They and what they have started are ended, and count as passed."""
    begun, started = time.monotonic(), tmp_path / "started"

    def fails(what):
        if what == "for ever":
            subprocess.run(["sh", "-c", f"echo $$ > {started}; exec sleep 600"])
        if what == "broken":
            os._exit(1)
        return what == "fails"

    tried = in_time(fails, 3.0)
    assert [tried(what) for what in ("fails", "passes", "broken", "for ever", "fails")] == [
        True, False, False, False, False]
    assert time.monotonic() - begun < 10
    with pytest.raises(ProcessLookupError):
        for _ in range(100):
            os.kill(int(started.read_text()), 0)
            time.sleep(0.05)


@pytest.mark.parametrize("name, values, fails, small", [
    ("layernorm-ai", {"gamma": tuple(range(5, 9)), "channels": 4, "rms": True},
     lambda values: len(values["gamma"]) == 4, {"gamma": (5, 5, 5, 5)}),
    ("attention", {"softmax": "softmax-rexp:paper", "percent": 3.7, "max_keys": 77},
     lambda values: values["percent"] < 5, {"percent": 1.0})])
def test_values_of_other_kinds(name, values, fails, small):
    """Lists, flags, texts and reals; values need not make a configuration."""
    cls = rtl.unit(name)
    assert {key: value for key, value in shrink(cls, values, fails).items()
            if value != cls.parameters()[key].default} == small


def test_difference():
    assert difference(E2, {"lanes": 3, "bits": 8}) == "lanes=3"
    assert difference(E2, {}) == "the defaults"


# Hardware with a planted fault

FAULTY = {"lanes": 3, "bits": 7, "max_length": 11, "input_scale": 0.5, "max_rows": 40,
          "output_rounding": "round"}


def planted(config, ports="core", text=None):
    """A design that rounds otherwise than its model, if it has three lanes or more."""
    if config.lanes < 3:
        return DESIGN(config, ports)
    other = {"round": "truncate", "truncate": "round"}[config.output_rounding]
    design = DESIGN(dataclasses.replace(config, output_rounding=other), ports)
    return dataclasses.replace(design, config=config)


DESIGN = Design.of


def smallest(printed, tmp_path):
    """Configuration of the command that is printed last."""
    words = shlex.split(printed.splitlines()[-1])
    assert words[:3] == ["python", "-m", "sim.regress"]
    args = regress.parser().parse_args(words[3:])
    return rtl.UnitConfig.load(args.config), args


@pytest.fixture
def fault(verilator, monkeypatch):
    monkeypatch.setattr(Design, "of", planted)
    monkeypatch.setattr(tasks, "emitted", lambda config: "")
    monkeypatch.setattr(soak_module, "emitted", lambda config: "")


@pytest.mark.slow
def test_regression_shrinks_what_fails(fault, tmp_path, capsys):
    task = regress.Task("throughput", E2(**FAULTY), "core", 5, ("compiled",), tmp_path / "one",
                        STORE, rows=20)
    outcomes = regress.run_task(task)
    assert outcomes[0].mismatches
    # Five configurations: the defaults, and what Hypothesis tries first.
    regress.shrink_first(outcomes, Console(width=400), 8.0)
    printed = capsys.readouterr().out
    assert printed.startswith("Shrunk to a smaller configuration:\nFAILED ")
    small, args = smallest(printed, tmp_path)
    again, = regress.work_of(args, ("compiled",), args.seed)
    assert small.lanes >= 3 and regress.run_task(again)[0].mismatches
    changed = sum(getattr(small, name) != getattr(E2(), name) for name in FAULTY)
    assert changed < len(FAULTY)


@pytest.mark.slow
def test_random_traffic_shrinks_what_fails(fault, tmp_path):
    console = Console(width=400, record=True)
    task = soaking.SoakTask(E2(**FAULTY), "core", 200, 5, tmp_path)
    found = [soaking._soak(task, None)]
    assert found[0][1].mismatches
    soaking._shrink(found, console, 8.0)
    small, args = smallest(console.export_text(), tmp_path)
    assert (args.beats, args.seed) == (1, 5) and small.lanes >= 3
    assert soaking._soak(dataclasses.replace(task, config=small, beats=1, piece=args.piece),
                         None)[1].mismatches

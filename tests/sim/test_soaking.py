"""Long runs of random traffic: all units, an end, and a command that repeats a failure."""

import dataclasses
import shlex

import pytest
from rich.console import Console

import rtl
from rtl import UnitConfig
from sim import regress, soaking
from sim.compiled.soak import Soak

NOTHING = Soak("", 0, 100, 900, 800, 0, 0.1, 0.1, 0.1)


@pytest.fixture
def console():
    return Console(width=200, record=True)


def test_every_unit_has_its_presets_and_random_configurations(tmp_path):
    for name in rtl.units():
        tasks = list(soaking.soak_tasks([name], 1000, 2, 1, tmp_path))
        assert len(tasks) == len(rtl.unit(name).PRESETS) + 2
        assert sum(task.beats for task in tasks) >= 1000
        assert {task.config.UNIT for task in tasks} == {name}
        assert tasks == list(soaking.soak_tasks([name], 1000, 2, 1, tmp_path))


@pytest.mark.slow
def test_so_many_beats(verilator, tmp_path, capsys):
    assert regress.main(["softmax-rexp", "--beats", "4000", "--configs", "1", "--seed", "3",
                         "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "seed 3, 4 configurations" in printed and "\n0 mismatches of" in printed


@pytest.mark.slow
def test_so_long(verilator, tmp_path, capsys):
    config = tmp_path / "small.json"
    config.write_text(rtl.unit("softmax-e2")(lanes=2, max_length=9).to_json())
    assert regress.main(["--config", str(config), "--for", "1s", "--seed", "3"]) == 0
    assert "\n0 mismatches of" in capsys.readouterr().out


def test_failure_can_be_repeated(console, tmp_path):
    config = rtl.unit("softmax-e2")(lanes=2, max_length=9)
    task = soaking.SoakTask(config, "axis", 1, 7, tmp_path)
    soaking._tell(task, dataclasses.replace(NOTHING, failure="rows of piece 4", piece=4), console)
    command = console.export_text().splitlines()[-1]
    args = regress.parser().parse_args(shlex.split(command)[3:])
    assert UnitConfig.load(args.config) == config
    assert (args.ports, args.seed, args.beats, args.piece) == ("axis", 7, 1, 4)


def test_failure_is_reported(console, tmp_path):
    task = soaking.SoakTask(rtl.unit("softmax-e2")(), "core", 1, 7, tmp_path)
    bad = dataclasses.replace(NOTHING, failure="row 0: wrong", mismatches=3)
    assert soaking._report([(task, NOTHING)], console, 1.0) == 0
    assert soaking._report([(task, NOTHING), (task, bad)], console, 1.0) == 1
    assert "3 mismatches of 1,600 outputs" in console.export_text()


@pytest.mark.parametrize("text", ["3", "m", "1.5m", "0h", "1d"])
def test_wrong_time(text, capsys):
    with pytest.raises(SystemExit):
        regress.parser().parse_args(["--for", text])
    assert f"must be a time such as 90s, 30m or 2h, not '{text}'" in capsys.readouterr().err

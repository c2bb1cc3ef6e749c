"""Benches in plain Verilog: Icarus runs them without Python, and they find what is wrong."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sim.emission import emitted
from sim.testbench import __main__ as command
from sim.testing.small import small

# All shapes of streams: masks, loads, several inputs, biases, sorted columns, maps, run-time
# parameters.
UNITS = [small("softmax-rexp", "plus", lanes=3, out_bits=12),
         small("layernorm-ai", "paper", channel_parameters="loaded"),
         small("attention", "dense", lanes=3, bias="add"),
         small("attention", "conservative", sort="host"),
         small("attention", "reuse")]

BEATS = 120


def written(config, folder, **options):
    """Write the bench of a unit, and the unit."""
    texts = command.testbench(config, beats=BEATS, **options)
    for name, text in {**texts, f"{config.name}.v": emitted(config)}.items():
        (folder / name).write_text(text)
    return texts


def run(config, folder):
    """What the bench prints; neither compiler nor simulator have anything to say."""
    name = f"{config.name}_tb"
    done = subprocess.run(["iverilog", "-g2001", "-Wall", "-o", name, f"{name}.v",
                           f"{config.name}.v"], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    done = subprocess.run(["vvp", "-n", name], cwd=folder, capture_output=True, text=True,
                          timeout=300)
    assert "ERROR" not in done.stdout and "WARNING" not in done.stdout, done.stdout
    return done.stdout.splitlines()


@pytest.mark.parametrize("config", UNITS, ids=lambda config: config.name)
def test_passes(config, tmp_path, icarus):
    texts = written(config, tmp_path)
    count = len(texts[f"{config.name}_tb_m_axis.hex"].splitlines())
    assert count > 10
    assert run(config, tmp_path)[-1].startswith(f"PASS {count} beats")


def test_faults_are_found(tmp_path, icarus):
    """One wrong bit; a beat that the unit does not give; one that it gives too many."""
    config = UNITS[0]
    texts = written(config, tmp_path)
    path = tmp_path / f"{config.name}_tb_m_axis.hex"
    lines = texts[path.name].splitlines()

    wrong = f"{int(lines[7], 16) ^ 1:x}"
    path.write_text("\n".join([*lines[:7], wrong, *lines[8:]]))
    printed = run(config, tmp_path)
    assert printed[0] == "wrong beat at beat 7 of the output" and printed[-1] == "FAIL 1 times"

    bench = (tmp_path / f"{config.name}_tb.v")
    text, count = bench.read_text(), len(lines)
    path.write_text("\n".join(lines[:-1]))
    bench.write_text(text.replace(f"[0:{count}-1]", f"[0:{count - 2}]")
                     .replace(f"received < {count}", f"received < {count - 1}")
                     .replace(f"received >= {count}", f"received >= {count - 1}"))
    assert run(config, tmp_path)[-2:] == [
        f"one beat too many at beat {count - 1} of the output", "FAIL 1 times"]

    path.write_text("\n".join([*lines, "0"]))
    bench.write_text(text.replace(f"[0:{count}-1]", f"[0:{count}]").replace("100000", "1000")
                     .replace(f"received < {count}", f"received < {count + 1}")
                     .replace(f"received >= {count}", f"received >= {count + 1}"))
    assert run(config, tmp_path)[-2:] == [
        f"beats are missing at beat {count} of the output", "FAIL 1 times"]


def test_reproducible():
    config = UNITS[0]
    texts = command.testbench(config, beats=BEATS)
    assert texts == command.testbench(config, beats=BEATS)
    assert texts != command.testbench(config, beats=BEATS, seed=1)


def test_command_and_fusesoc(tmp_path, capsys, icarus):
    """The folder has all that the bench needs, and the bench's core runs it."""
    config = UNITS[0]
    path = tmp_path / "unit.toml"
    path.write_text(config.to_toml())
    out = tmp_path / "out"
    assert command.main(["--config", str(path), "--out", str(out), "--beats", "60",
                         "--control", "axi-lite"]) == 0
    assert f"{config.name}_tb.v" in capsys.readouterr().out
    folder = out / config.name
    assert {f"{config.name}{end}" for end in (".v", "_axil.v", ".core", ".f", "_tb.v",
                                              "_tb.core")} <= \
        {entry.name for entry in folder.iterdir()}
    search = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    fusesoc = shutil.which("fusesoc", path=search)
    if fusesoc is None:
        pytest.skip("fusesoc is not installed")
    home = {name: str(tmp_path) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME",
                                             "XDG_DATA_HOME")}
    done = subprocess.run([fusesoc, "--cores-root", out, "run",
                           f"transformer-rtl:benches:{config.name}"], cwd=tmp_path,
                          env={**os.environ, "PATH": search, **home}, capture_output=True,
                          text=True)
    assert done.returncode == 0 and "\nPASS " in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("argv, message", [
    (["softmax"], "Unit 'softmax' does not exist; did you mean 'softmax-e2'?"),
    (["softmax-e2", "--bits", "1"], "Parameter bits must be an integer in 2..16, not 1"),
    (["softmax-e2", "--beats", "0"],
     "Argument --beats: must be an integer in 1..2147483647, not '0'"),
    (["softmax-e2", "--seed", "-1"],
     "Argument --seed: must be an integer in 0..2147483647, not '-1'")])
def test_wrong_request(argv, message, capsys, tmp_path):
    assert command.main([*argv, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n")
    assert not (tmp_path / "out").exists()

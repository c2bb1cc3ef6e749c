"""LiteX as a consumer: the example of the documentation."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rtl.generate import generate
from sim.testing.small import small

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "litex_unit.py"

UNITS = [small("softmax-e2", "plus"), small("attention", "dense")]


def run(folder, *words):
    return subprocess.run([sys.executable, EXAMPLE, *words], cwd=folder, capture_output=True,
                          text=True)


@pytest.fixture(autouse=True)
def litex():
    if importlib.util.find_spec("litex") is None:
        pytest.skip("litex is not installed")


@pytest.mark.parametrize("config", UNITS, ids=lambda config: config.name)
def test_example(config, tmp_path, icarus):
    """LiteX elaborates it; every port of the unit is connected, at its width."""
    generate(config, tmp_path, control="axi-lite")
    done = run(tmp_path, config.name)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "litex_unit.v").read_text()
    connected = re.findall(r"\t\.(\w+)\(", text)
    unit = (tmp_path / config.name / f"{config.name}_axil.v").read_text()
    ports = re.search(rf"(?s)^module {config.name}_axil\((.*?)\);", unit, re.MULTILINE)[1]
    assert sorted(connected) == sorted(re.findall(r"\w+", ports))
    files = [f"{config.name}/{config.name}.v", f"{config.name}/{config.name}_axil.v"]
    done = subprocess.run(["iverilog", "-g2001", "-Wall", "-Wno-timescale", "-t", "null",
                           "litex_unit.v", *files], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_unit_without_registers(tmp_path):
    config = UNITS[0]
    generate(config, tmp_path)
    done = run(tmp_path, config.name)
    assert done.returncode != 0
    assert f"ValueError: {config.name} must be generated with --control axi-lite" in done.stderr

"""The wheel: it holds what the packages need, and its commands run outside the checkout."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import rtl

ROOT = Path(__file__).parents[1]
PACKAGES = [name for name in ("rtl", "sim", "boards") if (ROOT / name).is_dir()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: building leaves files beside the sources."""
    if tuple(map(int, importlib.metadata.version("setuptools").split(".")[:2])) < (70, 1):
        pytest.skip("setuptools is older than 70.1: pip install -e '.[test]'")
    copy = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in "pyproject.toml", "README.md", "LICENSE":
        shutil.copy(ROOT / name, copy)
    out = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", out, copy)
    path, = out.glob("*.whl")
    return path


def pip(*words):
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "-q",
                    *map(str, words)], check=True, capture_output=True, text=True)


def test_contents(wheel):
    """Every file of the packages is in it, modules and data."""
    files = {path.relative_to(ROOT).as_posix() for package in PACKAGES
             for path in (ROOT / package).rglob("*")
             if path.is_file() and "__pycache__" not in path.parts}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.split("/")[0] in PACKAGES}
    assert held == files


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Run a command of the installed wheel, in an empty folder; its output."""
    site, folder = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("empty")
    pip("install", "--no-deps", "--target", site, wheel)

    def run(*words):
        path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run([sys.executable, *map(str, words)], cwd=folder, text=True,
                              env={**os.environ, "PYTHONPATH": path}, capture_output=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
    run.site, run.folder = site, folder
    return run


def test_generates(installed):
    where = installed("-c", "import rtl, sim; print(rtl.__file__, sim.__file__, sep='\\n')")
    assert [Path(line).parents[1] for line in where.splitlines()] == [installed.site] * 2
    printed = installed("-m", "rtl.generate", "softmax-e2", "--lanes", "2", "--max-length", "9")
    assert printed.splitlines()[-1].startswith("1 unit written to build/")
    assert (installed.folder / "build").is_dir()


def test_plans_a_board(installed):
    """A board's plan has files of every room of the package."""
    printed = installed("-m", "boards.build", "arty-z7-20", "softmax-e2", "--lanes", "2",
                        "--max-length", "9", "--plan-only")
    assert "files written to build/arty-z7-20/" in printed


@pytest.mark.slow
def test_regression(installed, verilator, icarus):
    """A unit on Icarus with its bench, and captured data through the compiled driver."""
    config = installed.folder / "config.json"
    config.write_text(rtl.unit("softmax-e2")(lanes=16, max_length=256).to_json())
    for options in (["--kind", "throughput", "--rows", 20, "--sim", "icarus"],
                    ["--kind", "real", "--sim", "compiled"]):
        printed = installed("-m", "sim.regress", "--config", config, "--seed", 1, *options)
        assert "\n0 mismatches of " in printed and "0 mismatches of 0 " not in printed

"""A made-up softmax method, added as docs/adding_a_method.md says: it works everywhere at once."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sim.compiled import build

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "adding_a_method.md"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project with the page's three pieces of code in it."""
    folder = tmp_path_factory.mktemp("project")
    for package in "rtl", "sim":
        shutil.copytree(ROOT / package, folder / package,
                        ignore=shutil.ignore_patterns("__pycache__"))
    pieces = re.findall(r"^## \d\. [^\n]*`([\w/.]+)`\n\n```python\n(.*?)^```",
                        PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert [name for name, _ in pieces] == [
        "rtl/softmax/mine.py", "sim/model/softmax/mine.py", "rtl/softmax/__init__.py"]
    for name, code in pieces:
        with open(folder / name, "a", encoding="utf-8") as file:
            file.write(code)
    return folder


def run(project, *arguments):
    done = subprocess.run([sys.executable, *arguments], cwd=project, capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(project)}, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_listed(project):
    assert re.search(r"^softmax-mine +plain +Mine: exponentials", run(
        project, "-m", "rtl.generate", "--list"), re.MULTILINE)


def test_generated(project):
    run(project, "-m", "rtl.generate", "softmax-mine", "--bits", "5", "--fraction-bits", "6")
    assert (project / "build" / "softmax_mine_b5o8l8n512_plain_f6").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("kind, simulator", [("throughput", "icarus"), ("directed", "compiled")])
def test_in_the_regression(kind, simulator, project, icarus, verilator):
    # What libraries of designs share is the checkout's, where that has been built.
    for pattern in "runtime-*", "header-*":
        for folder in build.STORE.glob(pattern):
            shutil.copytree(folder, project / build.STORE / folder.name, dirs_exist_ok=True)
    printed = run(project, "-m", "sim.regress", "softmax-mine", "--sim", simulator, "--kind",
                  kind, "--rows", "20", "--jobs", "1")
    assert re.search(rf"softmax-mine.*{kind}.*{simulator}", printed)
    assert re.search(r"^0 mismatches of [1-9]", printed, re.MULTILINE)


def test_in_the_reports(project):
    """Cost is left out: to synthesise all methods takes minutes."""
    script = ("from sim.report import softmax_family as f; "
              "f.cores = f.shells = lambda configs: [type('Figures', (), dict(lut=0, dsp=0, "
              "bram=0, delay_ps=0))] * len(configs); print(f.family())")
    row = re.search(r"^\| `softmax-mine` plain \| (.*)$", run(project, "-c", script), re.MULTILINE)
    l1 = [float(value) for value in row[1].split(" | ")[0].split(" / ")]
    # Sums are off by up to a factor of two: the method is a bad one, as its definition says.
    assert all(0.05 < value < 1 for value in l1)

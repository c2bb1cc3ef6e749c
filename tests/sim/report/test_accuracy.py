"""Tables of a model's scores: made by the command, in a process of its own."""

import pathlib
import subprocess

import pytest

from sim.report import __main__ as report
from sim.report import accuracy


def test_tables_are_what_the_command_writes(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    ran = []

    def run(command, **_):
        ran.append(command[2:])
        if command[2] == "sim.accuracy.train":
            pathlib.Path(command[-1]).mkdir(parents=True)
        else:
            markdown, cache = (pathlib.Path(path) for path in command[-2:])
            markdown.write_text(f"| {cache} |\n")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    page = "".join(f"<!-- begin {name} -->\nold\n<!-- end {name} -->\n" for name in accuracy.TABLES)
    for _ in range(2):
        made = report.update(page, {})
    assert made == "".join(f"<!-- begin {name} -->\n| build/{name}.json |\n<!-- end {name} -->\n"
                           for name in accuracy.TABLES)
    # A model is trained once, before it is measured.
    models = [command[1] for command in ran if command[0] == "sim.accuracy.train"]
    assert models == ["causal", "vit"]
    assert ["sim.accuracy", "build/causal", "wikitext2", "--units"] in [c[:4] for c in ran]
    # It takes data and minutes, so that it is made only if it is named.
    assert "docs/accuracy.md" not in report.FILES


def test_a_failed_command_is_an_error():
    with pytest.raises(ValueError, match="Table accuracy-nothing can not be measured"):
        accuracy.scores("accuracy-nothing", "minilm", "nothing")

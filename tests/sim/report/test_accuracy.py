"""Tables of a model's scores: made by the command, in a process of its own."""

import pathlib
import subprocess

import pytest

from sim.report import __main__ as report
from sim.report import accuracy


def test_tables_are_what_the_command_writes(monkeypatch):
    ran = []

    def run(command, **_):
        ran.append(command)
        markdown, cache = (pathlib.Path(path) for path in command[-2:])
        markdown.write_text("| units |\n")
        assert str(cache) == "build/accuracy-stsb.json"
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    page = "".join(f"<!-- begin {name} -->\nold\n<!-- end {name} -->\n" for name in accuracy.TABLES)
    assert report.update(page, {}) == page.replace("old", "| units |")
    assert [command[2:5] for command in ran] == [["sim.accuracy", "minilm", "stsb"]]
    # It takes data and minutes, so that it is made only if it is named.
    assert "docs/accuracy.md" not in report.FILES


def test_a_failed_command_is_an_error():
    with pytest.raises(ValueError, match="Table accuracy-nothing can not be measured"):
        accuracy.scores("nothing")

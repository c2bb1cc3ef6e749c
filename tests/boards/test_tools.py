"""Programs: found where they may be, or named with how to get them."""

import pathlib
import sys

import pytest

from boards import tools


@pytest.fixture
def program(tmp_path):
    """Make a program of a name in a folder, and return its path."""
    def make(name, text="exit 0", folder="bin"):
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path
    return make


@pytest.fixture
def nothing(tmp_path, monkeypatch):
    """A machine without any of the programs."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python" / "python3"))
    for tool in tools.TOOLS.values():
        monkeypatch.delenv(tool.variable, raising=False)
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)


@pytest.mark.parametrize("name", tools.TOOLS)
def test_missing(name, nothing):
    with pytest.raises(tools.ToolError, match=f"Program {name} is missing: (pip|apt-get|install) "):
        tools.find(name)


def test_order(nothing, program, monkeypatch):
    """A variable before the search path, that before other names, and they before this Python's."""
    beside = program("yowasp-ecppack", folder="python")
    assert tools.find("ecppack") == str(beside)
    other = program("yowasp-ecppack")
    assert tools.find("ecppack") == str(other)
    plain = program("ecppack")
    assert tools.find("ecppack") == str(plain)
    named = program("mine", folder="elsewhere")
    monkeypatch.setenv("ECPPACK", str(named))
    assert tools.find("ecppack") == str(named)
    monkeypatch.setenv("ECPPACK", "/no/such")
    with pytest.raises(tools.ToolError, match="'/no/such', which ECPPACK names, is not there"):
        tools.find("ecppack")


def test_failure_names_the_last_error(program, tmp_path):
    command = [str(program("bad", "echo Info: fine; echo 'ERROR: no pin' >&2; echo bye; exit 3"))]
    with pytest.raises(tools.ToolError, match="^Program bad failed with status 3: ERROR: no pin$"):
        tools.run(command, tmp_path, "bad.log")
    assert "Info: fine" in (tmp_path / "bad.log").read_text()
    assert pathlib.Path(tmp_path / "bad.log").read_text().endswith("bye\n")

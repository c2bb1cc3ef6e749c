"""How far a long command is, where its output is no terminal."""

import time

from rtl import progress


def test_lines(capsys, monkeypatch):
    monkeypatch.setattr(progress, "INTERVAL", 0.02)
    with progress.Progress("Generating", 3, "units") as done:
        done.advance(2)
        time.sleep(0.2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) >= 2 and set(lines) == {"Generating: 2 of 3 units, 0 s"}


def test_short_work_says_nothing(capsys):
    with progress.Progress("Generating") as done:
        done.advance()
    assert capsys.readouterr() == ("", "")


def test_interval():
    assert progress.INTERVAL == 10.0

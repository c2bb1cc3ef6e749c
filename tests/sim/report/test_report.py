"""The command that makes the tables: files, messages, and how far it is."""

import time

import pytest

from rtl import progress
from sim.report import __main__ as report


@pytest.fixture
def tables(monkeypatch):
    def slow():
        time.sleep(0.1)
        return "| 1 |"
    monkeypatch.setattr(report, "TABLES", {"one": slow, "two": lambda: "| 2 |"})
    monkeypatch.setattr(progress, "INTERVAL", 0.03)


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("".join(f"<!-- begin {name} -->\nold\n<!-- end {name} -->\n"
                            for name in ("two", "one")))
    return path


def test_tables_and_progress(tables, page, capsys):
    assert report.main([str(page)]) == 0
    assert page.read_text() == ("<!-- begin two -->\n| 2 |\n<!-- end two -->\n"
                                "<!-- begin one -->\n| 1 |\n<!-- end one -->\n")
    assert set(capsys.readouterr().err.splitlines()) == {"making tables: 1 tables, 0 s"}


def test_one_table(tables, page, tmp_path, capsys):
    assert report.main([str(page), "--only", "two"]) == 0
    assert page.read_text() == ("<!-- begin two -->\n| 2 |\n<!-- end two -->\n"
                                "<!-- begin one -->\nold\n<!-- end one -->\n")
    other = tmp_path / "other.md"
    other.write_text("text\n")
    assert report.main([str(other), "--only", "one"]) == 1
    assert capsys.readouterr().err.endswith(f"--only must be a table of {other}, not one\n")


def test_what_others_write_meanwhile_stays(tables, page, monkeypatch):
    def meanwhile():
        page.write_text("new text\n" + page.read_text().replace("two -->\nold", "two -->\nnew"))
        return "| 1 |"
    monkeypatch.setitem(report.TABLES, "one", meanwhile)
    assert report.main([str(page), "--only", "one"]) == 0
    assert page.read_text() == ("new text\n<!-- begin two -->\nnew\n<!-- end two -->\n"
                                "<!-- begin one -->\n| 1 |\n<!-- end one -->\n")


def test_stale_tables(tables, page, capsys):
    before = page.read_text()
    assert report.main([str(page), "--check"]) == 1
    assert page.read_text() == before
    assert "error: tables are not up to date in" in capsys.readouterr().err


def test_unknown_table(tables, tmp_path, capsys):
    path = tmp_path / "page.md"
    path.write_text("<!-- begin three -->\n<!-- end three -->\n")
    assert report.main([str(path)]) == 1
    assert capsys.readouterr().err.endswith("Table must be one of one, two, not 'three'\n")


def test_no_such_file(tables, tmp_path, capsys):
    assert report.main([str(tmp_path / "none.md")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("error: File ") and lines[-1].endswith(
        "none.md' can not be read or written: No such file or directory")

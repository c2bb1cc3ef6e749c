"""Synthesis figures on disk: measured once, and again when what Yosys reads has changed."""

import pytest

from rtl.emit import synthesis
from sim.report import figures
from sim.text_store import TextStore

TEXT = "// a head\n// of two lines\nmodule top(input a, b, output o); assign o = a & b; endmodule\n"


@pytest.fixture
def store(tmp_path):
    return TextStore(tmp_path, ".json")


def test_measured_once(store, monkeypatch):
    first = figures.measured(TEXT, "top", store)
    assert first == synthesis.measure(TEXT, "top")
    monkeypatch.setattr(synthesis, "measure", None)
    assert figures.measured(TEXT, "top", store) == first
    assert figures.measured(TEXT.replace("two", "more"), "top", store).path == first.path


@pytest.mark.parametrize("change", [("&", "|"), ("a, b", "b, a")])
def test_change_is_measured(store, change):
    figures.measured(TEXT, "top", store)
    figures.measured(TEXT.replace(*change), "top", store)
    assert len(list(store.folder.iterdir())) == 2


def test_flow_counts(store, tmp_path, monkeypatch):
    figures.measured(TEXT, "top", store)
    (tmp_path / "flow.py").write_text("another flow")
    monkeypatch.setattr(synthesis, "__file__", str(tmp_path / "flow.py"))
    figures.measured(TEXT, "top", store)
    assert len(list(tmp_path.glob("*.json"))) == 2

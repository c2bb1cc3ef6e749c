"""Speeds are measured of every unit."""

import pytest

import rtl
from sim.report import benchmark


def test_every_model(monkeypatch):
    monkeypatch.setattr(benchmark, "RUNS", 1)
    names = [name for name, figure in benchmark.models(rows=2, sets=1) if "elements/s" in figure]
    assert len(names) == sum(len(rtl.unit(name).PRESETS) for name in rtl.units())


def test_one_part(monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "RUNS", 1)
    monkeypatch.setattr(benchmark, "GREEDY_KEYS", 20)
    assert benchmark.main(["attention"]) == 0
    assert capsys.readouterr().out.count("M logits/s") == 4
    with pytest.raises(SystemExit):
        benchmark.main(["attentions"])
    assert "PART must be one of generator, models, attention" in capsys.readouterr().err


@pytest.mark.slow
def test_every_unit_is_simulated(monkeypatch):
    """The first unit of each family; without a simulator the figure says what is missing."""
    monkeypatch.setattr(benchmark, "units", lambda: ("softmax-e2", "layernorm-ai", "attention"))
    figures = dict(benchmark.simulators(["icarus"], rows=20))
    assert list(figures) == ["softmax-e2 on icarus, 8 lanes", "layernorm-ai on icarus, 8 lanes",
                             "attention on icarus, 8 lanes"]
    assert all("cycles/s" in figure or "apt-get install" in figure for figure in figures.values())

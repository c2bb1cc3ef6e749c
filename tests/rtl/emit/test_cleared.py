"""Memories that start at 0: emitted by their first word, the text is what all words give."""

import contextlib

import pytest
from amaranth.back import rtlil

from rtl.blocks.memory import BankedMemory
from rtl.emit import verilog
from rtl.emit.cleared import all_cleared, first_cleared


@pytest.mark.parametrize("shape, depth", [(32, 64), (3, 2100), (1, 8), (5, 7)])
def test_text_is_the_same(shape, depth, monkeypatch):
    def text():
        return verilog.of_components({"store": BankedMemory(shape, depth)})

    short = text()
    assert ("for (k = 0;" in short) == (depth >= 8)
    monkeypatch.setattr(verilog, "first_words", contextlib.nullcontext)
    assert text() == short


def test_other_conversions_are_not_touched():
    """Amaranth's RTLIL of who does not ask for it has all words."""
    assert "connect \\DATA 192'" in rtlil.convert(BankedMemory(3, 64))


@pytest.mark.parametrize("text, changed", [
    ("  reg [2:0] words [63:0];\n  initial begin\n    words[0] = 3'h0;\n  end\n", True),
    # A word, and no more; one that is not 0; another memory's.
    ("  reg [2:0] words [0:0];\n  initial begin\n    words[0] = 3'h0;\n  end\n", False),
    ("  reg [2:0] words [63:0];\n  initial begin\n    words[0] = 3'h4;\n  end\n", False),
    ("  reg [2:0] words [63:0];\n  initial begin\n    other[0] = 3'h0;\n  end\n", False)])
def test_one_word_stands_for_all(text, changed):
    assert (all_cleared(text) != text) == changed
    assert ("k <= 63" in all_cleared(text)) == changed


def test_synthesis_reads_one_word():
    """Deep memories in slices are cleared word by word otherwise, which takes most of the time."""
    text = verilog.of_components({"store": BankedMemory(3, 2100)})
    assert "for (k = 0;" not in first_cleared(text)
    assert all_cleared(first_cleared(text)) == first_cleared(text) != text
    assert first_cleared(text).count("[0] = 3'h0;") == text.count("[k] = 3'h0;") == 1

"""Memories that start at 0, through Amaranth and Yosys by their first word.

Amaranth writes what a memory starts with bit by bit, and Yosys word by word: a vocabulary's
memories take longer than all else of their unit. So the first word of a memory of zeros stands for
all of them until the Verilog text is there.
"""

from __future__ import annotations

import contextlib
import contextvars
import copy
import re
from collections.abc import Iterator

from amaranth.back import rtlil

__all__ = ["LOOP_WORDS", "all_cleared", "first_cleared", "first_words"]

#: Least number of equal memory words in a row to write as a loop.
LOOP_WORDS = 8

_wanted = contextvars.ContextVar("wanted", default=False)

# Without this method of Amaranth's memories have all their words from the beginning.
_emit_memory = getattr(rtlil.ModuleEmitter, "emit_memory", None)


def _emit_first_word(emitter, cell_index, cell):
    if _wanted.get() and cell.depth >= LOOP_WORDS and not any(cell.init):
        cell = copy.copy(cell)
        cell.init, cell.depth = (0,), 1
    _emit_memory(emitter, cell_index, cell)


if _emit_memory is not None:
    rtlil.ModuleEmitter.emit_memory = _emit_first_word


@contextlib.contextmanager
def first_words() -> Iterator[None]:
    """RTLIL that Amaranth makes meanwhile, in this thread, has the first word of such memories."""
    token = _wanted.set(True)
    try:
        yield
    finally:
        _wanted.reset(token)


_FIRST_WORD = re.compile(r"(?m)^(  reg (?:\[\d+:0\] )?(\w+) \[(\d+):0\];\n)  initial begin\n"
                         r"    \2\[0\] = (\d+'[hd]0+);\n  end\n")


def all_cleared(text: str) -> str:
    """Verilog text in which a loop clears the memories whose first word is cleared alone."""
    def loop(match: re.Match[str]) -> str:
        declaration, name, last, zero = match.groups()
        if int(last) < LOOP_WORDS - 1:
            return match[0]
        return (f"{declaration}  initial begin : init_{name}\n    integer k;\n"
                f"    for (k = 0; k <= {last}; k = k + 1) {name}[k] = {zero};\n  end\n")
    return _FIRST_WORD.sub(loop, text)


_LOOP = re.compile(r"for \(k = 0; k <= \d+; k = k \+ 1\) (\w+)\[k\] = (\d+'[hd]0+);")


def first_cleared(text: str) -> str:
    """Verilog text with the first word cleared alone: :func:`all_cleared`, the other way round.

    For a synthesis that only counts: it takes other words as it likes, and no time to read them.
    """
    return _LOOP.sub(r"\1[0] = \2;", text)

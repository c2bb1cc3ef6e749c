"""Tables of the documentation are those that the tools give today.

The cost of one configuration of each table is measured; the others' cells are left out, and are for
``python -m sim.report --check``. All other cells are computed.
"""

import dataclasses
import math
import re
import sys
from pathlib import Path

import pytest

from rtl.emit import synthesis
from sim.report.__main__ import FILES, NAMED_FILES, TABLES

HOME = Path(__file__).parents[3]

UNKNOWN = synthesis.Figures(**{field.name: math.nan if field.name != "path" else ""
                               for field in dataclasses.fields(synthesis.Figures)})

# The other tables take minutes: simulations, or searches in sets of hundreds of keys.
QUICK = ("e2-exactness", "layernorm-exactness", "attention-errors")
SLOW = ("softmax-family", "softmax-row-parameters", "e2-cost", "layernorm-cost",
        "attention-error-parts")


def documented():
    """Tables of the documentation, by name: the texts between their marks."""
    found = {}
    for name in (*FILES, *NAMED_FILES):
        text = (HOME / name).read_text(encoding="utf-8")
        for title, table in re.findall(r"<!-- begin ([\w-]+) -->\n(.*?)\n<!-- end \1 -->", text,
                                       flags=re.DOTALL):
            found.setdefault(title, []).append(table)
    return found


def cells(table):
    """Lines of a table: cells, each of one value or several."""
    return [[cell.strip().split(" / ") for cell in line.strip("|").split("|")]
            for line in table.splitlines()]


@pytest.fixture
def first_cost_only(monkeypatch):
    """Let every list of configurations have the costs of its first one only."""
    def measured(measure):
        def first(configs):
            first, *others = configs
            return [*measure([first]), *[UNKNOWN] * len(others)]
        return first

    for module in [m for name, m in sys.modules.items() if name.startswith("sim.report.")]:
        for name in "cores", "shells":
            if hasattr(module, name):
                monkeypatch.setattr(module, name, measured(getattr(module, name)))


def test_every_table_is_documented():
    assert set(documented()) == set(TABLES)


@pytest.mark.parametrize("name", [
    *QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_table_is_up_to_date(name, first_cost_only):
    made = cells(TABLES[name]())
    assert any(value != "nan" for line in made[2:] for cell in line[1:] for value in cell)
    for table in documented()[name]:
        stands = cells(table)
        assert len(stands) == len(made)
        for old, new in zip(stands, made, strict=True):
            assert [len(cell) for cell in old] == [len(cell) for cell in new]
            assert [[value if now != "nan" else now for value, now in zip(was, is_, strict=True)]
                    for was, is_ in zip(old, new, strict=True)] == new

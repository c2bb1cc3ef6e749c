"""Rows of the table of what to buy: engines of equal cycles, and their errors."""

import pytest

from sim.data import synthetic
from sim.report.attention import captured_head
from sim.report.attention_buy import ENGINES, errors
from sim.report.attention_work import work


def test_neighbours_take_about_the_same_cycles():
    """Each selection stands behind the dense lanes that it competes with."""
    pace = None
    for engine in ENGINES:
        head = captured_head(engine.turned)
        config = engine.config(*head)
        cycles = work(config, *synthetic.quantised(config, *head)[:2]).cycles
        if config.select == "none":
            pace = cycles
        assert cycles == pytest.approx(pace, rel=0.07), engine.title
    assert len({engine.title for engine in ENGINES}) == len(ENGINES)


def test_errors_of_the_heads():
    """The fewer keys, the larger the error."""
    rows = {engine.title: engine for engine in ENGINES}
    dense, half, quarter = (errors(rows[title]) for title in (
        "dense, 1 lane", "`octave`, top half", "`octave`, top quarter"))
    assert dense == pytest.approx((0.059, 0.125), abs=0.0005)
    assert dense[0] < half[0] < quarter[0] < quarter[1]

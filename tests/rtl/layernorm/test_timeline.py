"""Values handed on by a pipeline's registers."""

import pytest
from amaranth import Const, Module, Signal

from rtl.layernorm.timeline import Timeline, stage_of
from sim.testing.pysim import clocked


def test_stage_of():
    assert stage_of({"a": 2, "b": 5}, {"a": 4, "b": 0, "c": 9}) == 6


def test_copies():
    m = Module()
    line, value, late = Timeline(m), Signal(8), Signal(8)
    line.add("value", value, 3)
    m.d.comb += late.eq(line.at("value", 5))
    assert line.at("value", 5) is line.at("value", 5)
    assert line.at("value", 3) is value
    results = clocked(m, lambda ctx, n: ctx.set(value, n + 1), lambda ctx, n: ctx.get(late), 6)
    assert results == [0, 0, 1, 2, 3, 4]


def test_constants_take_no_registers():
    line = Timeline(Module())
    line.add("one", Const(1), 0)
    assert line.at("one", 7) is line.at("one", 0)


def test_too_early():
    line = Timeline(Module())
    line.add("mean", Signal(4), 3)
    with pytest.raises(ValueError, match="Value 'mean' must be known in stage 2, not in 3"):
        line.at("mean", 2)

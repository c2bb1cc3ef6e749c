"""Sets that fail: answers that are marked, causes that are named, and that no other is hurt."""

import random

import numpy as np
import pytest
from amaranth.sim import Simulator

import rtl
from rtl.attention.set_status import SetStatus
from sim.testing.attention import beats_of, expected, random_set, run_sets

Attention = rtl.unit("attention")
CONFIG = Attention(dim=4, value_dim=2, io_lanes=2, max_keys=5, lanes=2, max_queries=3)


def broken(config, way, sets):
    """Beats of the stream that a set is broken in, and the name of the stream."""
    name = way[0]
    streams = [[*beats_of(config, one, name, random.Random(1))] for one in sets]
    own, size = streams[1], config.beats_of(name)
    if way.endswith("long"):
        own[:0] = [{**beat, "last": 0} for beat in own[:size]] * (config.max_keys + 1)
    elif way.endswith("within"):
        del own[-size]
    elif way.endswith("uneven"):
        del own[:size]
    else:
        own[-1] = {**own[-1], "last": 0}
    return name, [beat for beats in streams for beat in beats]


@pytest.mark.parametrize("config, way, cause, marks", [
    (CONFIG, "k long", "LONG", [1, 1, 1]), (CONFIG, "k within", "WITHIN", [1, 1, 1]),
    (CONFIG, "v uneven", "UNEVEN", [1, 1, 1]), (CONFIG, "q within", "WITHIN", [0, 0, 1]),
    (CONFIG, "q endless", "QUERIES", [0, 0, 1])])
def test_a_set_that_fails_hurts_no_other(config, way, cause, marks):
    rng = np.random.default_rng(3)
    sets = [random_set(config, rng, 5, 3) for _ in range(4)]
    for one in sets:
        one.mask[:] = False
    name, beats = broken(config, way, sets)
    outputs, found = run_sets(config.create(), sets, beats={name: beats}, stalls=0.2)
    right = expected(config, sets)
    for number in (0, 2, 3):
        assert outputs[number] == right[number]
    # Of queries all are right but one that is broken off.
    whole = {"q within": 2, "q endless": 3}.get(way, 0)
    assert outputs[1][:whole] == right[1][:whole]
    assert found["marks"] == [[0] * 3, marks, [0] * 3, [0] * 3]
    names = [each for place, each in enumerate(config.causes) if found["causes"] >> place & 1]
    assert names == [cause] and found["error"]


def test_more_queries_than_a_set_has_are_of_the_next_one():
    """An end that is lost in the middle of a set hurts that set and the next, and no other."""
    config = CONFIG
    rng = np.random.default_rng(4)
    sets = [random_set(config, rng, 2, 2) for _ in range(4)]
    name, beats = broken(config, "q endless", sets)
    outputs, found = run_sets(config.create(), sets, beats={name: beats})
    right = expected(config, sets)
    # The first query of the third set became the last one of the second.
    assert [len(each) for each in outputs] == [2, 3, 1, 2]
    assert outputs[0] == right[0] and outputs[1][:2] == right[1] and outputs[3] == right[3]
    assert outputs[2] == right[2][1:]
    assert found["marks"] == [[0, 0], [0, 0, 1], [0], [0, 0]]


@pytest.mark.parametrize("ahead, marks", [(True, [0, 0, 1, 0, 1]), (False, [0, 1, 1, 0, 0])])
def test_the_last_query_marks_its_row_only(ahead, marks):
    """Of queries that leave with their rows the mark is there before they leave."""
    dut = SetStatus(ahead=ahead)
    seen = []

    async def bench(ctx):
        for end, failed, place in (1, 0, 0), (1, 1, 1), (0, 0, 1), (1, 0, 0), (0, 0, 1):
            for name, value in (("query_end", end), ("query_failed", failed), ("place", place),
                                ("set_end", 1)):
                ctx.set(getattr(dut, name), value)
            seen.append(ctx.get(dut.mark))
            await ctx.tick()

    simulate(dut, bench)
    assert seen == marks


def simulate(dut, bench):
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()

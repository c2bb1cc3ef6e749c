"""The engine with resident sets where values are late: what waits, what fails, what goes on."""

import numpy as np
import pytest

from rtl import unit
from rtl.attention.resident.layouts import COMMAND, Operation
from sim.model.attention.resident import Append, Query, Truncate, Values, run
from sim.testing.pysim import exchange

CONFIG = unit("attention")(store="resident", dim=2, io_lanes=2, max_keys=8, lanes=2, sets=2,
                           causal=True)
# Cycles in which all that does not wait for values is long done.
PAUSE = 250


def beats(vectors, *, mask=False):
    return [{"data": vector.tolist(), "last": number == len(vectors) - 1,
             **({"mask": 0} if mask else {})} for number, vector in enumerate(vectors)]


def streams(commands):
    """Payloads of the inputs; the values that are late come after a pause."""
    sent = {name: [] for name in "cqkv"}
    for command in commands:
        if isinstance(command, Values):
            continue
        fields = {"set": command.set}
        if isinstance(command, Append):
            fields |= {"operation": Operation.APPEND, "count": len(command.k)}
            sent["k"] += beats(command.k, mask=True)
            sent["v"] += [None] * (PAUSE * command.late) + beats(command.v)
        elif isinstance(command, Query):
            fields |= {"operation": Operation.QUERY, "count": len(command.q),
                       "offset": command.offset}
            sent["q"] += beats(command.q)
        else:
            fields |= {"operation": Operation.TRUNCATE, "count": command.keys,
                       "abort": command.abort}
        bits = COMMAND.const(fields).as_bits()
        sent["c"].append({"data": [bits & 0xFFFFFFFF, bits >> 32], "last": 1})
    return sent


def answers_of(commands, want):
    traffic = exchange(CONFIG.create(), streams(commands), len(want), patience=2 * PAUSE)
    found, cycles = [[]], []
    for beat, cycle in zip(traffic.beats, traffic.cycles["o"], strict=True):
        found[-1].append(([beat.data[k] for k in range(2)], bool(beat.use)))
        if beat.last:
            found.append([])
            cycles.append(cycle)
    assert found[:-1] == [[*zip(answer.y.tolist(), answer.marked.tolist(), strict=True)]
                          for answer in want]
    return cycles, traffic


@pytest.mark.parametrize("abort", [False, True])
def test_truncation_while_queries_wait(abort):
    """With abort queries whose values go fail at once; without it they get them."""
    rng = np.random.default_rng(1)
    k, v, q = (rng.integers(-128, 128, (6, 2)) for _ in range(3))
    commands = [Append(0, k[:2], v[:2]), Append(0, k[2:], v[2:], late=True), Query(0, q[:2]),
                Query(0, q[4:], 4), Truncate(0, 4, abort), Values(), Query(0, q[3:4], 3),
                Append(0, k[:1], v[:1]), Query(0, q[:1], 4)]
    want = run(CONFIG, CONFIG.regions, commands)
    assert want[1].marked.tolist() == [abort, abort]
    cycles, _ = answers_of(commands, want)
    assert cycles[0] < PAUSE and (cycles[1] < PAUSE) == abort and cycles[2] > PAUSE


def test_late_values_hold_up_no_loads():
    """While a query waits, keys of both sets are taken, and answers before it leave."""
    rng = np.random.default_rng(2)
    k, v, q = (rng.integers(-128, 128, (4, 2)) for _ in range(3))
    commands = [Append(1, k[:2], v[:2]), Query(1, q[:2]), Append(0, k, v, late=True), Query(0, q),
                Append(1, k[2:], v[2:]), Query(1, q[2:], 2)]
    cycles, traffic = answers_of(commands, run(CONFIG, CONFIG.regions, commands))
    assert cycles[0] < PAUSE < cycles[1]
    assert traffic.cycles["k"][-1] < PAUSE and traffic.cycles["c"][-1] < PAUSE

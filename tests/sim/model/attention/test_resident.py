"""Model of sets that grow: against its definition, and decode against prefill."""

import numpy as np
import pytest

from rtl import unit
from rtl.attention.resident.regions import Regions
from rtl.fixed import Scaling
from sim import model
from sim.model.attention.resident import (
    Append,
    Head,
    Query,
    ResidentSets,
    Truncate,
    Values,
    run,
)

DIM = 4


def engine(regions, softmax="softmax-e2:plus"):
    way = {"datapath": "online"} if softmax == "one pass" else {"softmax": softmax}
    return unit("attention")(dim=DIM, io_lanes=DIM, lanes=regions.lanes,
                             max_keys=regions.row_keys, logit_scale=0.125, **way)


def vectors(rng, count):
    return rng.integers(-128, 128, (count, DIM))


def plain(config, regions, head, q, place, k, v, mask):
    """Output of one query to the positions 0, 1, ... of a set, all of them there."""
    lanes = regions.lanes
    visible = [j for j in range(len(k))
               if (not regions.causal or j <= place)
               and (not regions.window or place - j < regions.window or j < regions.sinks)]
    if not visible:
        return [0] * DIM
    old = [j for j in visible if regions.window and place - j >= regions.window]
    beats = sorted({j // lanes for j in visible} | set(range(-(-regions.sinks // lanes)))
                   if old else {j // lanes for j in visible})
    row = [beat * lanes + lane for beat in beats for lane in range(lanes)]
    low, high = -(1 << (config.logit_bits - 1)), (1 << (config.logit_bits - 1)) - 1
    logits, hidden = [], []
    for j in row:
        there = j in visible and not mask[j]
        hidden.append(not there)
        dot = sum(int(a) * int(b) for a, b in zip(q, k[j], strict=True)) if there else 0
        half = (1 << head.logit.shift) >> 1
        x = (dot * head.logit.multiplier + half) >> head.logit.shift
        logits.append(min(max(x + getattr(head.logit, "offset", 0), low), high))
    w = model.run(config.softmax_config, np.array(logits), np.array(hidden))
    sums = [sum(int(w[place]) * int(v[j][d]) for place, j in enumerate(row) if not hidden[place])
            for d in range(DIM)]
    half = (1 << head.output.shift) >> 1
    return [min(max((total * head.output.multiplier + half) >> head.output.shift, -128), 127)
            for total in sums]


CASES = {
    "all": Regions(capacity=24),
    "all, lanes": Regions(capacity=24, lanes=4),
    "not causal": Regions(capacity=24, lanes=2, causal=False),
    "window": Regions(capacity=24, window=5, chunk=8),
    "window, lanes": Regions(capacity=16, lanes=4, window=5, chunk=8),
    "sinks": Regions(capacity=16, window=3, sinks=2, chunk=8),
    "sinks, lanes": Regions(capacity=24, lanes=4, window=6, sinks=3, chunk=8),
    "sinks fill their word": Regions(capacity=20, lanes=4, window=1, sinks=4, chunk=8),
    "positions wrap": Regions(capacity=24, lanes=4, window=6, sinks=5, chunk=8, position_bits=6),
    "window, not causal": Regions(capacity=16, lanes=2, window=3, sinks=1, causal=False, chunk=8),
}


@pytest.mark.parametrize("name", CASES)
def test_by_definition(name):
    """Chunks of random sizes, with queries to them, to two sets in turn: as defined."""
    regions = CASES[name]
    rng = np.random.default_rng(1)
    config = engine(regions)
    heads = [Head(config.logit, config.output), Head(Scaling(1357, 15, -17), Scaling(3, 13))]
    sets = ResidentSets(config, Regions(**{**vars(regions), "sets": 2}), heads)
    history = [[np.zeros((0, DIM), int), np.zeros((0, DIM), int), np.zeros(0, bool)]
               for _ in range(2)]
    length = 100 if regions.ring and regions.causal else regions.capacity
    while any(len(each[0]) < length for each in history):
        number = int(rng.integers(2))
        keys = history[number]
        count = min(int(rng.integers(1, 9)), length - len(keys[0]))
        if not count:
            continue
        new = vectors(rng, count), vectors(rng, count), rng.random(count) < 0.2
        keys[:] = (np.concatenate(pair) for pair in zip(keys, new, strict=True))
        sets.execute(Append(number, *new))
        place = len(keys[0]) - count
        if not regions.causal and len(keys[0]) > regions.capacity - regions.sink_keys:
            continue
        for head in range(2):
            q = vectors(rng, count)
            sets.execute(Query(number, q, place % (1 << regions.position_bits), head))
            assert sets.answers[-1].y.tolist() == [
                plain(config, regions, heads[head], q[i], place + i, *keys) for i in range(count)]
            assert not sets.answers[-1].marked.any()


SOFTMAX = ("softmax-e2:plus", "softmax-softermax:plus", "softmax-rexp:online",
           "softmax-split:plus")


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("softmax", [*SOFTMAX, "one pass"])
@pytest.mark.parametrize(("window", "sinks"), [(0, 0), (9, 0), (9, 3)])
def test_decode_equals_prefill(lanes, softmax, window, sinks):
    """A key at a time, in a ring, chunks, and all at once in a large region: the same bits."""
    rng = np.random.default_rng(2)
    q, k, v = (vectors(rng, 50) for _ in range(3))
    whole = Regions(capacity=64, lanes=lanes, window=window, sinks=sinks, chunk=50)
    config = engine(whole, softmax)
    prefill, = run(config, whole, [Append(0, k, v), Query(0, q)])
    for chunk in (1, 7):
        ring = Regions(capacity=20 if window else 64, lanes=lanes, window=window, sinks=sinks,
                       chunk=chunk)
        assert ring.capacity >= ring.least
        parts = [slice(start, start + chunk) for start in range(0, 50, chunk)]
        answers = run(config, ring, [command for part in parts for command in (
            Append(0, k[part], v[part]), Query(0, q[part], part.start))])
        assert not any(answer.marked.any() for answer in answers)
        assert np.concatenate([answer.y for answer in answers]).tolist() == prefill.y.tolist()


@pytest.mark.parametrize("datapath", ["two-pass", "online"])
def test_all_keys_are_those_of_the_engine(datapath):
    """Without a window a set is that of the dense engine, causal or not."""
    rng = np.random.default_rng(3)
    for causal in (False, True):
        regions = Regions(capacity=20, lanes=4, causal=causal)
        config = unit("attention")(dim=DIM, io_lanes=DIM, lanes=4, max_keys=20, causal=causal,
                                   datapath=datapath)
        q, k, v = vectors(rng, 17), vectors(rng, 17), vectors(rng, 17)
        mask = rng.random(17) < 0.3
        answer, = run(config, regions, [Append(0, k, v, mask), Query(0, q)])
        assert answer.y.tolist() == model.run(config, q, k, v, mask).tolist()


# Marks

def marks(regions, commands):
    answers = run(engine(regions), regions, commands)
    for answer in answers:
        assert not answer.y[answer.marked].any()
    return [answer.marked.tolist() for answer in answers]


def some(count, seed=0):
    rng = np.random.default_rng(seed)
    return vectors(rng, count), vectors(rng, count)


ONE = np.ones((1, DIM), int)


def test_sets_that_are_not_there():
    assert marks(Regions(sets=3, capacity=8), [
        Query(0, ONE), Append(1, *some(2)), Query(0, ONE), Query(1, ONE), Query(3, ONE),
        Append(3, *some(1)), Query(1, ONE), Query(1, ONE, head=1)
    ]) == [[True], [True], [False], [True], [False], [True]]


def test_none_visible_is_zero_and_not_marked():
    regions = Regions(capacity=8, window=2)
    k, v = some(4)
    # Behind the window, before the first key, and all masked.
    answers = run(engine(regions), regions, [
        Append(0, k, v), Query(0, ONE, 9), Query(0, ONE, -1), Truncate(0),
        Append(0, k, v, np.ones(4, bool)), Query(0, ONE, 3)])
    assert [(answer.y.any(), answer.marked.tolist()) for answer in answers] == [
        (False, [False])] * 3


def test_refused_append():
    """It leaves the set as it is, and marks it until it is truncated."""
    regions = Regions(capacity=4)
    k, v = some(5)
    commands = [Append(0, k[:3], v[:3]), Query(0, ONE, 2), Append(0, k[:2], v[:2]),
                Query(0, ONE, 2), Truncate(0, 40000), Query(0, ONE, 2), Append(0, k[3:4], v[3:4]),
                Query(0, ONE, 3), Append(0, *some(0)), Query(0, ONE, 3)]
    assert marks(regions, commands) == [[False], [True], [False], [False], [False]]
    answers = run(engine(regions), regions, commands)
    assert answers[0].y.tolist() == answers[2].y.tolist()
    ring = Regions(capacity=4, window=2, chunk=3)
    assert marks(ring, [Append(0, *some(4)), Query(0, ONE, 3), Append(0, *some(5)),
                        Query(0, ONE, 3)]) == [[False], [True]]


def test_keys_that_are_gone():
    """Answers that should have seen them are marked; sinks are never gone."""
    regions = Regions(capacity=8, window=3, sinks=2, chunk=4)
    appends = [Append(0, *some(4, seed)) for seed in range(3)]
    # The ring holds the positions 6 to 11.
    assert marks(regions, [*appends, Query(0, np.ones((14, DIM), int))]) == [
        [False, False] + 6 * [True] + 6 * [False]]


def test_truncate_below_the_oldest():
    regions = Regions(capacity=8, window=3, sinks=2, chunk=4)
    appends = [Append(0, *some(4, seed)) for seed in range(3)]
    assert marks(regions, [
        *appends, Truncate(0, 5), Query(0, ONE, 4), Append(0, *some(1)), Query(0, ONE, 5),
        Append(0, *some(2)), Query(0, ONE, 7)]) == [[True], [True], [False]]
    assert marks(regions, [*appends, Truncate(0), Query(0, ONE), Append(0, *some(1)),
                           Query(0, ONE)]) == [[True], [False]]


def test_truncate_behind_a_wrap():
    """A set that has wrapped counts on, however far it is truncated."""
    regions = Regions(capacity=4, window=2, position_bits=6, chunk=3)
    appends = [Append(0, *some(4, seed)) for seed in range(17)]
    # 68 keys, of which positions 64..67 are there.
    assert marks(regions, [*appends, Query(0, ONE, 67 % 64), Truncate(0, 66 % 64),
                           Query(0, ONE, 65 % 64), Truncate(0, 40), Truncate(0, 20),
                           Append(0, *some(1)), Query(0, ONE, 20), Append(0, *some(1)),
                           Query(0, ONE, 21)]) == [[False], [False], [True], [False]]


def test_truncate_with_late_values():
    """Queries whose values go are marked; those that have theirs, or keep them, are not."""
    regions = Regions(capacity=8)
    k, v = some(6)
    q = np.ones((6, DIM), int)
    commands = [Append(0, k[:2], v[:2]), Append(0, k[2:], v[2:], late=True), Query(0, q)]
    assert marks(regions, [*commands, Truncate(0, 4, abort=True), Values()]) == [
        [False] * 4 + [True] * 2]
    assert marks(regions, [*commands, Values(), Truncate(0, 4, abort=True)]) == [[False] * 6]
    assert marks(regions, [*commands, Truncate(0, 4), Values()]) == [[False] * 6]
    assert marks(regions, [*commands, Truncate(0, abort=True)]) == [[False] * 2 + [True] * 4]
    assert marks(regions, [*commands, Truncate(0, 4, abort=True), Append(
        0, k[:1], v[:1], late=True), Query(0, ONE, 4), Truncate(0, 4, abort=True)]) == [
        [False] * 4 + [True] * 2, [True]]


def test_truncated_keys_come_again():
    """A set that was truncated and goes on equals one that never had the keys."""
    regions = Regions(capacity=16, lanes=4, window=5, chunk=4, sinks=3)
    (k, v), other = some(12), some(4, 1)
    parts = [slice(0, 3), slice(3, 6), slice(6, 9), slice(9, 12)]
    straight = [Append(0, k[part], v[part]) for part in parts]
    detour = [*straight[:2], Append(0, *other), Truncate(0, 6), *straight[2:]]
    one, two = (run(engine(regions), regions, [*commands, Query(0, k[9:], 9)])[0]
                for commands in (straight, detour))
    assert one.y.any()
    assert one.y.tolist() == two.y.tolist()
    assert not two.marked.any()


@pytest.mark.parametrize(("name", "values"), [
    ("Keys must be integers", [Append(0, np.zeros((1, DIM)), ONE)]),
    ("Keys must have the shape", [Append(0, np.zeros((1, 3), int), ONE)]),
    ("Values must be as many as the keys", [Append(0, ONE, np.zeros((2, DIM), int))]),
    ("Queries must be in -128..127", [Query(0, 200 * ONE)]),
    ("Mask must be 1 booleans", [Append(0, ONE, ONE, np.zeros(2, bool))]),
])
def test_bad_arrays(name, values):
    regions = Regions(capacity=8)
    with pytest.raises((TypeError, ValueError), match=name):
        run(engine(regions), regions, values)

"""From flags of kept keys to beats of keys, one for each lane of the stores."""

import numpy as np
import pytest

from rtl.attention.kept_keys import KeptKeys
from sim.model.attention.places import beats
from sim.testing.pysim import clocked

# Keys of a group, lanes, keys of a set: more, as many and fewer lanes, that divide them or do not.
SIZES = [(8, 1, 27), (4, 2, 21), (4, 4, 13), (2, 4, 16), (4, 8, 21), (8, 3, 40), (2, 5, 23),
         (4, 3, 3), (1, 6, 14), (8, 7, 1)]


def queries(random, most):
    """Flags of queries: none, all, few, many, one of a few keys; of any length."""
    for number in range(35):
        keys = int(random.choice([1, most, random.integers(1, most + 1)]))
        flags = random.random(keys) < (0, 1, 0.1, 0.3, 0.8)[number % 5]
        if number % 7 == 6:
            flags = np.arange(keys) % int(random.integers(1, 9)) == random.integers(3)
        yield flags


def wanted(flags, lanes):
    """Beats of a query: the keys of the lanes that have one."""
    kept = [[key for key in np.flatnonzero(flags) if key % lanes == lane]
            for lane in range(lanes)]
    return [tuple(own[beat] if beat < len(own) else None for own in kept)
            for beat in range(max(1, *map(len, kept)))]


@pytest.mark.parametrize("group, lanes, most, stalls", [
    *((*size, 0) for size in SIZES), (4, 4, 13, 0.5), (8, 3, 40, 0.5), (4, 8, 21, 0.5)])
def test_every_lane_hands_out_its_keys(group, lanes, most, stalls):
    random = np.random.default_rng([group, lanes, most])
    rows = list(queries(random, most))
    places = 1 << 12
    dut = KeptKeys(group, lanes, most, 1 << 12, places=places)
    words = [(row, number) for number, row in enumerate(rows)
             for _ in range(-(-len(row) // group))]
    first = np.cumsum([0, *(-(-len(row) // group) for row in rows)])
    expected = [beat for row in rows for beat in wanted(row, lanes)]
    ready = random.random(20 * len(words) + 20 * len(expected)) >= stalls
    found, ends = [], []

    def drive(ctx, n):
        ctx.set(dut.valid, n < len(words))
        if n < len(words):
            row, number = words[n]
            index = n - int(first[number])
            flags = row[index * group:(index + 1) * group]
            ctx.set(dut.keep, sum(int(flag) << k for k, flag in enumerate(flags)))
            ctx.set(dut.word, index)
            ctx.set(dut.last, bool(n + 1 == first[number + 1]))
        ctx.set(dut.o.ready, bool(ready[n]))

    def sample(ctx, n):
        if not (ctx.get(dut.o.valid) and ready[n]):
            return
        beat = ctx.get(dut.o.payload)
        keys = [None if beat.mask >> lane & 1 else beat.word[lane] * lanes + lane
                for lane in range(lanes)]
        low = max([lane for lane, key in enumerate(keys) if key is not None], default=0)
        assert beat.keep == (1 << (low + 1 if beat.last else lanes)) - 1
        for lane, key in enumerate(keys):
            if key is not None:
                number, slot = key // group, key // lanes - key // group * group // lanes
                assert ctx.get(dut.place[lane]) == first[len(ends)] + number
                assert ctx.get(dut.slot[lane]) == slot
        found.append(tuple(keys))
        if beat.last:
            ends.append(n)

    clocked(dut, drive, sample, len(words) + 3 * len(expected) + 40)
    assert found == expected
    taken = np.array([len(wanted(row, lanes)) for row in rows])
    padded = np.zeros((len(rows), most), bool)
    for row, flags in zip(padded, rows, strict=True):
        row[:len(flags)] = flags
    assert beats(lanes, padded).tolist() == taken.tolist()
    if not stalls:
        # No bubble where queries wait for each other.
        backlog = [n for n in range(1, len(rows)) if ends[n - 1] > first[n + 1] + 8]
        assert all(ends[n] - ends[n - 1] == taken[n] for n in backlog)
        assert lanes > 1 or len(backlog) > 5


@pytest.mark.parametrize("lanes", [2, 3, 4])
def test_few_kept_keys_take_few_beats(lanes):
    """Neighbours are in different lanes, and words without a kept key take no beat."""
    flags = np.zeros((3, 40), bool)
    flags[0, 20:20 + lanes], flags[1, ::lanes], flags[2, [0, lanes + 1]] = True, True, True
    assert beats(lanes, flags).tolist() == [1, -(-40 // lanes), 1]

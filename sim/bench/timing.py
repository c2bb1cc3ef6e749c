"""What must come when: cycles of the beats of units that turn rows into rows, and of queries.

Both drivers go by these rules, that of cocotb and the compiled one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .compare import require
from .rows import Rows

__all__ = ["check_queries", "check_schedule", "early_stalls", "longest_pause", "needless_waits",
           "output_schedule"]


def output_schedule(accepted: np.ndarray, beats: np.ndarray, latency: int,
                    passes: int = 1) -> np.ndarray:
    """Return the cycle of every output beat, if the output is always ready.

    A row's first beat leaves ``latency`` cycles after its last beat was accepted, or after the last
    beat of the row before, whichever is later; its others follow in every cycle. With several
    ``passes`` what one store puts out so, in no time, is what the next one accepts.

    Parameters
    ----------
    accepted : int array (input beats,)
        Cycle in which each input beat was accepted.
    beats : int array (rows,)
        Beats of each row.
    latency, passes : int
        As the configuration states them.
    """
    ends = np.cumsum(beats)
    starts = ends - beats
    for number in range(passes):
        ready = accepted[ends - 1] + (latency if number == passes - 1 else 0)
        # Beats in a row take a cycle each, so that only the offset to their number can grow.
        offset = np.maximum.accumulate(ready - starts)
        accepted = np.repeat(offset, beats) + np.arange(len(accepted))
    return accepted


def check_schedule(rows: Rows, lanes: int, accepted: np.ndarray, moved: np.ndarray, latency: int,
                   passes: int = 1) -> None:
    """Check the cycle of every output beat, with the output always ready.

    Parameters
    ----------
    rows : Rows
        Rows that went in.
    lanes : int
        Lanes of a beat.
    accepted, moved : int array (beats,)
        Cycle in which each input beat was accepted, and each output beat left.
    latency, passes : int
        As the configuration states them.

    Raises
    ------
    Difference
        If a beat left in another cycle than :func:`output_schedule` says; names the first one.
    """
    beats = rows.beats(lanes)
    schedule = output_schedule(accepted, beats, latency, passes)
    late = np.flatnonzero(moved != schedule)
    if len(late):
        beat = int(late[0])
        row = int(np.searchsorted(np.cumsum(beats), beat, "right"))
        require(False, f"row {row} ({rows.names[row]}, {beats[row]} beats): output beat {beat} "
                       f"came in cycle {moved[beat]} instead of {schedule[beat]}")


def early_stalls(accepted: np.ndarray, schedule: np.ndarray, beats: np.ndarray,
                 waits: float | np.ndarray) -> np.ndarray:
    """Return the cycles in which a beat without a gap before it had to wait without need.

    A beat may wait while ``waits`` rows are inside, a number for all or of each beat: their last
    beat is accepted, but has not left.
    """
    waited = np.setdiff1d(np.arange(accepted[0], accepted[-1]), accepted)
    ends = np.cumsum(beats) - 1
    inside = (np.searchsorted(accepted[ends], waited, "left")
              - np.searchsorted(schedule[ends], waited, "left"))
    waits = np.broadcast_to(waits, len(accepted))[np.searchsorted(accepted, waited)]
    return waited[inside < waits]


def needless_waits(offered: np.ndarray, accepted: np.ndarray, moved: np.ndarray,
                   beats: np.ndarray, waits: float | np.ndarray) -> np.ndarray:
    """Return the input beats that had to wait though less than ``waits`` rows were inside.

    A row is inside from the cycle in which its last beat is accepted to that in which it leaves.

    Parameters
    ----------
    offered, accepted : int array (input beats,)
        Cycle in which each input beat was first valid, and in which it was accepted.
    moved : int array (output beats,)
        Cycle in which each output beat left.
    beats : int array (rows,)
        Beats of each row.
    waits : float, or float array (input beats,)
        Rows inside from which on a beat may have to wait.
    """
    waited = accepted - offered
    number = np.repeat(np.arange(len(offered)), waited)
    cycles = accepted[number] - 1 - (np.cumsum(waited)[number] - 1 - np.arange(len(number)))
    ends = np.cumsum(beats) - 1
    inside = (np.searchsorted(accepted[ends], cycles, "left")
              - np.searchsorted(moved[ends], cycles, "left"))
    return np.unique(number[inside < np.broadcast_to(waits, len(offered))[number]])


def longest_pause(pattern: np.ndarray | None) -> int:
    """Return the most cycles in a row in which a pattern, used cyclically, holds a stream up."""
    if pattern is None:
        return 0
    (places,) = np.nonzero(pattern)
    return int(max(np.diff(places, append=places[0] + len(pattern)))) - 1


def check_queries(config: Any, sets: Sequence[Any], moved: np.ndarray) -> None:
    """Check the cycles from one query of a set to the next, with nothing to wait for.

    Values that reuse a map take the multipliers of the dot products. Behind them the engine fills
    again, once the rows that it had made run out: one interval is longer, by its latency at most.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.
    sets : sequence
        Sets of a bench, with ``q`` (none where values reuse a map), ``k``, ``v`` and ``y``.
    moved : int array
        Cycle of each output beat.
    """
    ends = moved[config.value_beats - 1::config.value_beats]
    place, fills = 0, False
    for number, keys in enumerate(sets):
        own = np.diff(ends[place:place + len(keys.y)])
        place += len(keys.y)
        reuses = not len(keys.q)
        if reuses:
            # Two queries of a map that is used again end one behind the other.
            own, count, queries = own[:-1] + own[1:], len(keys.v), 2
            allowed = 2 * config.reuse_cycles(count)
        else:
            count, queries = len(keys.k), 1
            allowed = config.query_cycles(count)
        late = np.flatnonzero(own > allowed)
        if fills and not reuses and len(late) == 1 and own[late[0]] <= allowed + config.latency:
            fills, late = False, late[1:]
        fills |= reuses
        # What a causal query, or one that selects keys, takes is not said by their number.
        require(config.causal or config.select != "none" or not len(late),
                f"set {number} of {count} keys: {queries} queries took {max(own, default=0)} "
                f"cycles instead of {allowed}")

"""Comparison of output beats with those that are expected."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .rows import BeatFormat, Rows

__all__ = ["Difference", "Where", "differences", "places_of_rows", "require"]

Where = Callable[[int], tuple[str, int]]
"""What a beat belongs to, and the number that its lane 0 has there, from the beat's index."""


class Difference(AssertionError):
    """Hardware and model differ, or a rule of the streams is broken."""


def require(condition: object, message: str) -> None:
    """Fail with a message unless the condition holds."""
    if not condition:
        raise Difference(message)


def places_of_rows(rows: Rows, lanes: int) -> Where:
    """Return the function that names the row of a beat."""
    beats = rows.beats(lanes)
    ends = np.cumsum(beats)

    def where(beat: int) -> tuple[str, int]:
        row = int(np.searchsorted(ends, beat, "right"))
        place = beat - int(ends[row] - beats[row])
        return (f"row {row} ({rows.names[row]}, {rows.lengths[row]} elements), beat {place}",
                place * lanes)
    return where


def differences(form: BeatFormat, expected: Sequence[str], got: Sequence[str],
                where: Where) -> tuple[int, str]:
    """Compare output beats with what is expected.

    An element is wrong if its lane is kept and its data differs, if its lane is kept in one of the
    two beats only, or if its lane is not kept and its data is not 0. A beat that is missing, or one
    too many, counts as so many wrong elements as it has lanes.

    Returns
    -------
    int, str
        Number of wrong elements (at least 1 if anything differs) and what the first one is.
    """
    if list(got) == list(expected):
        return 0, ""
    if not got:
        missing = _kept(form, form.decode(expected)).sum()
        return int(missing), f"no output beat instead of {len(expected)}"
    count = min(len(got), len(expected))
    surplus = abs(len(got) - len(expected)) * form.lanes
    beats = [k for k in range(count) if got[k] != expected[k]]
    if not beats:
        return surplus, f"{len(got)} output beats instead of {len(expected)}"
    want, have = (form.decode([text[k] for k in beats]) for text in (expected, got))
    kept, keeps = _kept(form, want), _kept(form, have)
    data = np.where(kept, want["data"] != have["data"], have["data"] != 0)
    elements = data | (kept != keeps)
    place, first = where(beats[0])
    if (kept[0] != keeps[0]).any():
        text = f"keep is {_digits(keeps[0])} instead of {_digits(kept[0])}"
    elif data[0].any():
        lane = int(np.argmax(data[0]))
        text = (f"element {first + lane} is {have['data'][0, lane]} instead of "
                f"{want['data'][0, lane]}" + ("" if kept[0, lane] else ", in a lane not kept"))
    else:
        text = f"{got[beats[0]]} instead of {expected[beats[0]]}"
    return max(int(elements.sum()), 1) + surplus, f"{place}: {text}"


def _kept(form: BeatFormat, members: dict[str, np.ndarray]) -> np.ndarray:
    """Lanes that carry an element: (beats, lanes)."""
    return members.get("keep", np.ones(members["data"].shape, bool))


def _digits(flags: np.ndarray) -> str:
    """Flags of lanes as binary digits, lane 0 last."""
    return "".join("01"[int(flag)] for flag in flags[::-1])

"""Beats as words: what the driver takes and gives, packed and unpacked by NumPy, many at a time.

A beat is a few words of 32 bits. Each signal of its port begins with a word of its own, lowest bits
first.
"""

from __future__ import annotations

import numpy as np

from ..bench.rows import BeatFormat, Rows

__all__ = ["PackedFormat", "members_of"]

# Members that are flags, all bits of which are equal; the others are integers.
FLAGS = ("keep", "mask", "last")

# Beats that are worked on at a time: few enough for the arrays to stay in the cache.
CHUNK = 1 << 13


class PackedFormat:
    """Where a port's beat, as words, holds its members.

    Parameters
    ----------
    form : BeatFormat
        The port's format.

    Attributes
    ----------
    words : int
        Words of a beat.
    """

    def __init__(self, form: BeatFormat) -> None:
        self.form = form
        self.lanes = form.lanes
        starts, offset, words = [], 0, 0
        for _, width in form.signals:
            starts.append((offset, words))
            offset += width
            words += -(-width // 32)
        self.words = words
        #: First bit of each member among those of the words.
        self.places = {}
        for name, field in form.fields.items():
            first, word = max(start for start in starts if start[0] <= field.offset)
            self.places[name] = 32 * word + field.offset - first

    def encode(self, data: np.ndarray, keep: np.ndarray | None = None,
               last: np.ndarray | None = None, mask: np.ndarray | None = None,
               use: np.ndarray | None = None, **row: np.ndarray) -> np.ndarray:
        """Return beats (beats, words) of members (beats, lanes), or (beats,) of the whole beat."""
        members = {"data": data, "keep": keep, "last": last, "mask": mask, "use": use, **row}
        beats = np.empty((len(data), self.words), np.uint32)
        for start in range(0, len(data), CHUNK):
            part = slice(start, start + CHUNK)
            beats[part] = self._encode({name: np.asarray(members[name])[part]
                                        for name in self.form.fields})
        return beats

    def _encode(self, members: dict[str, np.ndarray]) -> np.ndarray:
        count = len(members["data"])
        words = np.zeros((self.words, count), np.uint32)
        for name, field in self.form.fields.items():
            mask = (1 << field.width) - 1
            columns = members[name].reshape(count, -1).T
            if name in FLAGS:
                columns = columns.astype(np.uint32, order="C") * np.uint32(mask)
            else:
                kind = np.uint32 if field.width <= 32 else np.uint64
                columns = columns.astype(kind, order="C") & kind(mask)
            for lane in range(field.lanes):
                word, shift = divmod(self.places[name] + lane * field.width, 32)
                column = columns[lane]
                words[word] |= (column << shift).astype(np.uint32, copy=False)
                for more in range(1, -(-(shift + field.width) // 32)):
                    words[word + more] |= (column >> (32 * more - shift)).astype(
                        np.uint32, copy=False)
        return words.T

    def decode(self, beats: np.ndarray) -> dict[str, np.ndarray]:
        """Return the members of beats by name: integers and booleans (beats, lanes)."""
        words = beats.T.astype(np.uint64)
        members = {}
        for name, field in self.form.fields.items():
            columns = np.zeros((field.lanes, len(beats)), np.uint64)
            for lane in range(field.lanes):
                word, shift = divmod(self.places[name] + lane * field.width, 32)
                columns[lane] = words[word] >> np.uint64(shift)
                for more in range(1, -(-(shift + field.width) // 32)):
                    columns[lane] |= words[word + more] << np.uint64(32 * more - shift)
            values = (columns & np.uint64((1 << field.width) - 1)).astype(np.int64).T
            if name in FLAGS:
                members[name] = values != 0
            elif field.signed:
                members[name] = values - ((values >> (field.width - 1)) << field.width)
            else:
                members[name] = values
        return members

    def rows(self, rows: Rows, junk: np.random.Generator | None = None) -> np.ndarray:
        """Return the beats of rows; ``junk`` as in :func:`members_of`."""
        return self.encode(**members_of(rows, self.form, junk))


def members_of(rows: Rows, form: BeatFormat,
               junk: np.random.Generator | None = None) -> dict[str, np.ndarray]:
    """Return the members of the beats of rows.

    Lanes behind a row's end hold 0, or random elements and mask bits from ``junk``; so do the
    fields of a row in its beats but the first.
    """
    lanes, width = form.lanes, form.fields["data"].width
    beats = rows.beats(lanes)
    ends = np.cumsum(beats)
    total = int(ends[-1]) if len(ends) else 0
    last = np.zeros(total, bool)
    last[ends - 1] = True
    # All lanes, but in the last beat of a row.
    kept = np.full(total, lanes, np.int64)
    kept[ends - 1] = rows.lengths - (beats - 1) * lanes
    keep = np.arange(lanes) < kept[:, None]
    data = np.zeros((total, lanes), np.int32 if width < 32 else np.int64)
    mask = np.zeros((total, lanes), bool)
    data[keep], mask[keep] = rows.values, rows.mask
    if junk is not None:
        count = int((~keep).sum())
        data[~keep] = junk.integers(0, 1 << width, count)
        mask[~keep] = junk.random(count) < 0.5
    return {"data": data, "keep": keep, "last": last, "mask": mask,
            **rows.fields_of_beats(lanes, form.row_fields, junk)}

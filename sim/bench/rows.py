"""Rows of integers as the beats that a unit's ports carry, and back.

A beat is a string of binary digits, as simulators take and give it: the first digit is the highest
bit, and unknown bits show as they are. The last beat of a row has the digit 1 in front.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from amaranth import Shape
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from rtl.bus.axi_stream import bus_name, element_bytes
from rtl.config import UnitConfig

__all__ = ["BeatFormat", "Rows", "formats", "malformed_keeps"]


# Rows

@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """Rows of any lengths, one behind the other.

    Attributes
    ----------
    values : int64 array
        Elements of all rows.
    mask : bool array
        True where an element takes no part.
    lengths : int64 array
        Elements of each row, at least one.
    names : list of str
        What each row is, for messages.
    fields : dict of str to int64 array
        What the first beat of each row brings for the row, by name.
    """

    values: np.ndarray
    mask: np.ndarray
    lengths: np.ndarray
    names: list[str]
    fields: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[tuple[str, np.ndarray, np.ndarray | None]],
           fields: Mapping[str, np.ndarray] | None = None) -> Rows:
        """Gather ``(name, values, mask or None)``, with the fields of all rows."""
        rows = list(rows)
        values = [np.asarray(x, np.int64) for _, x, _ in rows]
        masks = [np.zeros(len(x), bool) if mask is None else np.asarray(mask, bool)
                 for _, x, mask in rows]
        empty = [np.zeros(0, np.int64)]
        return cls(np.concatenate(values or empty), np.concatenate(masks or empty).astype(bool),
                   np.array([len(x) for x in values], np.int64), [name for name, _, _ in rows],
                   dict(fields or {}))

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def ends(self) -> np.ndarray:
        """Index behind each row's last element."""
        return np.cumsum(self.lengths)

    def row(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return values and mask of one row."""
        end = int(self.ends[index])
        part = slice(end - int(self.lengths[index]), end)
        return self.values[part], self.mask[part]

    def take(self, indices: Sequence[int]) -> Rows:
        """Return the rows of these indices, in their order."""
        ends, lengths = self.ends, self.lengths
        place = np.concatenate([np.arange(ends[i] - lengths[i], ends[i]) for i in indices]
                               or [np.zeros(0, np.int64)]).astype(np.int64)
        return Rows(self.values[place], self.mask[place], lengths[list(indices)],
                    [self.names[i] for i in indices],
                    {name: values[list(indices)] for name, values in self.fields.items()})

    def beats(self, lanes: int) -> np.ndarray:
        """Return the number of beats of each row."""
        return -(-self.lengths // lanes)

    def fields_of_beats(self, lanes: int, widths: Mapping[str, int],
                        junk: np.random.Generator | None = None) -> dict[str, np.ndarray]:
        """Return the fields of ``widths`` for each beat: 0 or junk after a row's first.

        A field that the rows do not have is 0 in all of them.
        """
        beats = self.beats(lanes)
        first, found = np.cumsum(beats) - beats, {}
        for name, width in widths.items():
            total = int(beats.sum())
            found[name] = (np.zeros(total, np.int64) if junk is None
                           else junk.integers(0, 1 << width, total))
            found[name][first] = self.fields.get(name, 0)
        return found

    def __add__(self, other: Rows) -> Rows:
        return Rows(np.concatenate([self.values, other.values]),
                    np.concatenate([self.mask, other.mask]),
                    np.concatenate([self.lengths, other.lengths]), self.names + other.names,
                    {name: np.concatenate([values, other.fields[name]])
                     for name, values in self.fields.items()})


# Beats

# Members that are flags; the others are integers.
_FLAGS = ("keep", "mask", "last")


@dataclasses.dataclass(frozen=True)
class _Field:
    """A member of a beat: ``lanes`` integers of ``width`` bits from bit ``offset`` on."""

    offset: int
    width: int
    lanes: int
    signed: bool = False

    def bits(self, values: np.ndarray) -> np.ndarray:
        """Two's complement digits, lowest first, of an array (beats, lanes)."""
        digits = (values[..., None] >> np.arange(self.width)) & 1
        return digits.reshape(len(values), -1).astype(np.uint8)

    def integers(self, bits: np.ndarray) -> np.ndarray:
        part = bits[:, self.offset:self.offset + self.width * self.lanes]
        part = part.reshape(len(bits), self.lanes, self.width).astype(np.int64)
        weights = 1 << np.arange(self.width, dtype=np.int64)
        if self.signed:
            weights[-1] = -weights[-1]
        return part @ weights


@dataclasses.dataclass(frozen=True)
class BeatFormat:
    """Where a port's beat holds its members, and which signals carry it.

    Attributes
    ----------
    lanes : int
        Elements per beat.
    fields : dict of str to _Field
        ``data``, ``keep``, ``last`` and, if the port has them, ``mask``, ``use`` and
        :attr:`row_fields`.
    signals : tuple of (name, width)
        Signals that carry the payload, lowest bits first.
    valid, ready : str
        Signals of the handshake.
    """

    lanes: int
    fields: dict
    signals: tuple
    valid: str
    ready: str

    @property
    def width(self) -> int:
        """Digits of a beat."""
        return sum(width for _, width in self.signals)

    @property
    def row_fields(self) -> dict[str, int]:
        """Widths of what a row's first beat brings for the row, by name."""
        return {name: field.width for name, field in self.fields.items()
                if name not in (*_FLAGS, "data", "use")}

    def encode(self, data: np.ndarray, keep: np.ndarray | None, last: np.ndarray,
               mask: np.ndarray | None = None, use: np.ndarray | None = None,
               **row: np.ndarray) -> list[str]:
        """Return beats from arrays (beats, lanes), those of the whole beat from (beats,).

        A member that the format does not have may be None.
        """
        members = {"data": data, "keep": keep, "last": last, "mask": mask, "use": use, **row}
        bits = np.zeros((len(data), self.width), np.uint8)
        for name, field in self.fields.items():
            values = np.asarray(members[name], np.int64).reshape(len(data), -1)
            # A flag of more than one bit (a byte strobe) has its bits equal: -1 or 0.
            values = -values if name in _FLAGS else values
            bits[:, field.offset:field.offset + field.width * field.lanes] = field.bits(values)
        text = (bits[:, ::-1] + ord("0")).tobytes().decode("ascii")
        return [text[k:k + self.width] for k in range(0, len(text), self.width)]

    def decode(self, beats: Sequence[str]) -> dict[str, np.ndarray]:
        """Return the members of beats by name; unknown digits count as 0."""
        digits = np.frombuffer("".join(beats).encode("ascii"), np.uint8)
        bits = (digits.reshape(len(beats), self.width)[:, ::-1] == ord("1")).astype(np.uint8)
        return {name: field.integers(bits) != 0 if name in _FLAGS else field.integers(bits)
                for name, field in self.fields.items()}

    def from_rows(self, rows: Rows, junk: np.random.Generator | None = None) -> list[str]:
        """Return the beats of rows.

        Lanes behind a row's end hold 0, or random elements and mask bits from ``junk``; so do the
        fields of a row in its beats but the first.
        """
        beats = rows.beats(self.lanes)
        total = int(beats.sum())
        position = np.arange(len(rows.values)) - np.repeat(rows.ends - rows.lengths, rows.lengths)
        first = np.cumsum(beats) - beats
        slot = np.repeat(first * self.lanes, rows.lengths) + position
        size = total * self.lanes
        field = self.fields["data"]
        if junk is None:
            data, mask = np.zeros(size, np.int64), np.zeros(size, bool)
        else:
            data = junk.integers(0, 1 << field.width, size)
            mask = junk.random(size) < 0.5
        data[slot], mask[slot] = rows.values, rows.mask
        keep, last = np.zeros(size, bool), np.zeros(total, bool)
        keep[slot], last[np.cumsum(beats) - 1] = True, True
        shape = (total, self.lanes)
        return self.encode(data.reshape(shape), keep.reshape(shape), last, mask.reshape(shape),
                           **rows.fields_of_beats(self.lanes, self.row_fields, junk))


def _core(layout, port: str) -> BeatFormat:
    fields = {}
    for name, member in layout:
        if name == "row":
            fields |= _row(member)
            continue
        lanes = _lanes(layout, name)
        signed = name == "data" and layout.element.signed
        fields[name] = _Field(member.offset, member.width // lanes, lanes, signed)
    return BeatFormat(layout.lanes, fields, ((f"{port}__payload", layout.size),),
                      f"{port}__valid", f"{port}__ready")


def _row(member) -> dict[str, _Field]:
    """Fields of the member ``row`` of a beat."""
    return {name: _Field(member.offset + field.offset, field.width, 1,
                         Shape.cast(field.shape).signed) for name, field in member.shape}


def _axis(layout, port: str) -> BeatFormat:
    lanes = layout.lanes
    size = element_bytes(layout.element)
    members = [("data", "tdata", 8 * size)]
    if "keep" in layout.members:
        members.append(("keep", "tkeep", size))
    if "mask" in layout.members:
        members.append(("mask", "tuser", 1))
    if "use" in layout.members:
        members.append(("use", "tuser", layout["use"].width))
    fields, signals, offset = {}, {}, 0
    for name, signal, width in members:
        count = _lanes(layout, name)
        signed = name == "data" and layout.element.signed
        fields[name] = _Field(offset, width, count, signed)
        signals[f"{port}_{signal}"] = width * count
        offset += width * count
        if name == "mask" and "row" in layout.members:
            # TUSER has the mask in its lowest bits.
            row = layout["row"]
            fields |= _row(data.Field(row.shape, offset))
            signals[f"{port}_tuser"] += row.width
            offset += row.width
    fields["last"] = _Field(offset, 1, 1)
    return BeatFormat(lanes, fields, (*signals.items(), (f"{port}_tlast", 1)),
                      f"{port}_tvalid", f"{port}_tready")


def _lanes(layout, name: str) -> int:
    """Number of a beat's lanes that have a member: all, or one that stands for the beat."""
    return (layout.lanes if layout[name].width % layout.lanes == 0 and name not in ("last", "use")
            else 1)


def formats(config: UnitConfig, ports: str) -> tuple[BeatFormat, ...]:
    """Return the formats of the ``"core"`` or the ``"axis"`` ports, in the order of the streams."""
    if ports == "core":
        return tuple(_core(layout, port) for port, layout in config.streams.items())
    return tuple(_axis(layout, bus_name(port, Out if port in config.streams_out else In))
                 for port, layout in config.streams.items())


# Malformed streams

def malformed_keeps(lanes: int, max_beats: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield what can be wrong with a beat: which one of its row, and lanes kept."""
    lane = np.arange(lanes)
    if lanes > 2:
        yield "last", lane != lanes // 2
    if lanes > 1:
        yield "last", lane > 0
    yield "last", lane < 0
    if max_beats > 1:
        yield "first", lane < 0
        if lanes > 1:
            yield "first", lane < lanes - 1

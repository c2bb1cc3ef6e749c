"""NumPy arrays as the bytes of a unit's streams."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

__all__ = ["Stream", "checked_mask", "loaded_parameters", "packed_rows", "packed_users",
           "scale_words", "within"]

# Bits that word 3 of the parameters at run time may have: two shifts.
SHIFTS = 0x3F3F


@dataclasses.dataclass(frozen=True)
class Stream:
    """Elements of a stream, as the manifest describes them.

    Attributes
    ----------
    name : str
        Name.
    lanes : int
        Elements per beat.
    width : int
        Bits of an element.
    signed : bool
        Whether elements have a sign.
    least, most : int
        Elements of a packet; no limit if ``most`` is None.
    step : int
        A packet has a multiple of so many elements.
    packet : str
        What a packet is.
    """

    KEYS: ClassVar[tuple[str, ...]] = ("lanes", "width", "signed", "least", "most", "step",
                                       "packet")

    name: str
    lanes: int
    width: int
    signed: bool
    least: int
    most: int | None
    step: int
    packet: str

    @property
    def size(self) -> int:
        """Bytes of an element: 1, 2 or 4."""
        return 1 if self.width <= 8 else 2 if self.width <= 16 else 4

    @property
    def dtype(self) -> np.dtype:
        """Type of an element in memory."""
        return np.dtype(f"<{'i' if self.signed else 'u'}{self.size}")

    def rows(self, x: np.ndarray, axes: int = 1) -> np.ndarray:
        """Bytes of packets, shape (packets, bytes): the last axes of ``x`` are a packet each.

        Raises
        ------
        TypeError, ValueError
            If ``x`` is not integer, out of range, or its packets are too short or too long.
        """
        if x.dtype.kind not in "iu":
            raise TypeError(f"Elements of {self.name} must be integers, not {x.dtype}")
        if x.ndim < axes or not x.size:
            raise ValueError(f"Elements of {self.name} must be on {axes} axes at least, not of "
                             f"shape {x.shape}")
        length = int(np.prod(x.shape[x.ndim - axes:]))
        most = length if self.most is None else self.most
        if not self.least <= length <= most or length % self.step:
            step = f", a multiple of {self.step}" if self.step > 1 else ""
            raise ValueError(f"Elements of a {self.packet} of {self.name} must be {self.least}"
                             f"..{most}{step}, not {length}")
        low = -(1 << self.width - 1) if self.signed else 0
        high = low + (1 << self.width) - 1
        if int(x.min()) < low or int(x.max()) > high:
            raise ValueError(f"Elements of {self.name} must be in {low}..{high}, not "
                             f"{int(x.min())}..{int(x.max())}")
        rows = np.ascontiguousarray(x.reshape(-1, length), self.dtype)
        return rows.view(np.uint8).reshape(len(rows), -1)

    def elements(self, rows: np.ndarray, length: int) -> np.ndarray:
        """Elements of packets of bytes, as 32-bit integers of shape (packets, length)."""
        whole = np.ascontiguousarray(rows).view(self.dtype)
        return whole.reshape(-1, length).astype(np.int32 if self.signed or self.width < 32
                                                else np.int64)


def within(what: str, value: Any, low: int, high: int) -> int:
    """Return a number that an argument gives.

    Raises
    ------
    TypeError, ValueError
        If it is no integer, or out of ``low..high``.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{what} must be an integer, not {value!r}") from None
    if not low <= number <= high:
        raise ValueError(f"{what} must be in {low}..{high}, not {number}")
    return number


def checked_mask(mask: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A mask of booleans, broadcast to a shape."""
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise TypeError(f"Mask must be boolean, not {mask.dtype}")
    try:
        return np.broadcast_to(mask, shape)
    except ValueError:
        raise ValueError(f"Mask must fit the shape {shape}, not {mask.shape}") from None


def packed_rows(x: np.ndarray, stream: Stream) -> np.ndarray:
    """Bytes of packets, shape (packets, bytes): rows on the last axis, filled up with zeros.

    For a stream whose rows are of whole beats.
    """
    padding = [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % stream.lanes)]
    return stream.rows(np.pad(x.astype(np.int64) if x.dtype == bool else x, padding))


def packed_users(mask: np.ndarray, lanes: int, bits: int = 0,
                 first: np.ndarray | None = None) -> np.ndarray:
    """Words of TUSER, shape (rows, bytes), of a mask of shape (rows, length): a bit a lane.

    ``bits`` further ones are above, in a row's first beat those of ``first``, shape (rows, bits).
    """
    rows, length = mask.shape
    beats = -(-length // lanes)
    padded = np.zeros((rows, beats * lanes), bool)
    padded[:, :length] = mask
    words = np.zeros((rows, beats, lanes + bits), bool)
    words[:, :, :lanes] = padded.reshape(rows, beats, lanes)
    if first is not None:
        words[:, 0, lanes:] = first
    return np.packbits(words, axis=2, bitorder="little").reshape(rows, -1)


def loaded_parameters(parameters: Mapping[str, Any], given: Mapping[str, tuple[int, ...]],
                      stream: Stream) -> np.ndarray:
    """Elements of a load: the parameters of all channels, lowest bits gamma, then beta, alpha.

    What is not given is as the configuration says; channels beyond the last one fill its beat.
    """
    channels = parameters["channels"]
    word, place = np.zeros(-(-channels // stream.lanes) * stream.lanes, np.int64), 0
    for name in ("gamma", "beta", "alpha"):
        width = parameters[f"{name}_bits"]
        absent = width == 0 or (name == "beta" and parameters["rms"])
        values = given.get(name) or tuple(parameters[name])
        if absent:
            if name in given:
                raise ValueError(f"Parameter {name} must not be given: the unit has none")
            continue
        if not values:
            values = (_default(parameters, name),) * channels
        low = 0 if name == "alpha" else -(1 << width - 1)
        if len(values) != channels or not all(low <= each < low + (1 << width)
                                              for each in values):
            raise ValueError(f"Parameter {name} must be {channels} integers in {low}.."
                             f"{low + (1 << width) - 1}, not {len(values)} in {min(values)}.."
                             f"{max(values)}")
        word[:channels] |= (np.array(values, np.int64) & ((1 << width) - 1)) << place
        place += width
    return word


def scale_words(given: Any, sets: int, stream: Stream) -> np.ndarray:
    """Words of parameters at run time, shape (sets, words): one for all sets, or one for each.

    Each is the words themselves, or an object that has them as ``words``.

    Raises
    ------
    TypeError, ValueError
        If they are no integers, others than the stream takes, or not as many as the sets.
    """
    if hasattr(given, "words"):
        given = given.words
    elif isinstance(given, Iterable):
        given = [getattr(one, "words", one) for one in given]
    try:
        words = np.asarray(given)
    except ValueError:
        words = np.asarray(None)
    if words.ndim == 1:
        words = np.broadcast_to(words, (sets, len(words)))
    if words.shape != (sets, stream.least):
        raise ValueError(f"Parameters must be {stream.least} words, or as many for each of "
                         f"{sets} sets, not of shape {words.shape}")
    # The multipliers of logits and outputs, and both shifts.
    if words.dtype.kind in "iu" and not (words[:, [0, 2]] >= 1).all():
        raise ValueError("Multipliers of parameters must be 1..65535, not 0")
    if words.dtype.kind in "iu" and (words[:, 3] & ~SHIFTS).any():
        raise ValueError("Shifts of parameters must be 0..63 in bits 5..0 and 13..8, not "
                         f"0x{int(words[(words[:, 3] & ~SHIFTS) != 0][0, 3]):x}")
    return words


def _default(parameters: Mapping[str, Any], name: str) -> int:
    """Value of a channel that the configuration does not say: a gamma of 1.0, or 0."""
    if name != "gamma":
        return 0
    one = 2.0 ** parameters["gamma_fraction_bits"] / parameters["output_scale"]
    return min(int(np.floor(one + 0.5)), (1 << parameters["gamma_bits"] - 1) - 1)

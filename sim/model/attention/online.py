"""Integer model of the one-pass datapath (:mod:`rtl.attention.online`)."""

from __future__ import annotations

import dataclasses

import numpy as np

from rtl.fixed import clip, round_shift, signed_range

from .products import products

__all__ = ["RowSums", "outputs", "placed", "row_sums", "scaled"]

# A shift that leaves one bit of 64 and the sign.
LAST = 62
# Half of the bits of a factor.
LIMB = 17


@dataclasses.dataclass(frozen=True, eq=False)
class RowSums:
    """What is left of rows at their end.

    Attributes
    ----------
    total : int64 array, shape (sets, queries)
        Sums of the terms, relative to the least octave of the block of the row's reference.
    weighted : int64 array, shape (sets, queries, value_dim)
        Sums of the values, weighted by the terms, likewise.
    """

    total: np.ndarray
    weighted: np.ndarray


def outputs(numbers: object, x: np.ndarray, hidden: np.ndarray | None, v: np.ndarray,
            requantise: object | None = None, sink: object | None = None,
            places: np.ndarray | None = None) -> np.ndarray:
    """Return the outputs (sets, queries, value_dim); other arguments as of :func:`row_sums`.

    ``requantise``, with a ``multiplier`` and a ``shift`` that may be arrays (sets, 1, 1), takes the
    place of the scale of the numbers.
    """
    scale = numbers.scale if requantise is None else dataclasses.replace(
        numbers.scale, multiplier=requantise.multiplier, shift=requantise.shift)
    return scaled(numbers, row_sums(numbers, x, hidden, v, sink, places), scale)


def row_sums(numbers: object, x: np.ndarray, hidden: np.ndarray | None, v: np.ndarray,
             sink: object | None = None, places: np.ndarray | None = None) -> RowSums:
    """Return the sums of rows of logits.

    Parameters
    ----------
    numbers : OnlineNumbers
        Numbers of the datapath.
    x : int array, shape (sets, queries, keys)
        Logits.
    hidden : boolean array of that shape, or None
        True: the key takes no part.
    v : int array, shape (sets, keys, value_dim)
        Values.
    sink : Sinks or None
        Sinks of the rows, of one logit for all of a set's.
    places : int array of the shape of ``x``, or None
        Place of each key in its row, if not that in its set: the beat times ``lanes``, and the
        lane. Those of hidden keys do not count.
    """
    rises, terms, of_sink = _terms(numbers, x, hidden, sink, places)
    # Between two moves of a row its sums are plain ones. All rows take their spans between moves
    # side by side; one that has no more of them adds nothing and is not moved.
    span = (rises > 0).cumsum(axis=-1)
    spans = int(span.max(initial=0)) + 1
    moves = np.zeros((*span.shape[:-1], spans), np.int64)
    row = np.nonzero(rises)
    moves[(*row[:-1], span[row])] = rises[row]
    span = _of_keys(numbers, span, terms.shape[-1], places)
    most = int(terms.sum(axis=-1, dtype=np.int64).max(initial=0)) << (numbers.value_bits - 1)
    # Before the first span, that of the sink, nothing moves.
    total = np.broadcast_to(of_sink, terms.shape[:-1])
    weighted = np.zeros((*terms.shape[:-1], v.shape[-1]), np.int64)
    for number in range(spans):
        own = terms if spans == 1 else np.where(span == number, terms, 0)
        blocks = moves[..., number]
        total = _moved(numbers, total, blocks, 0) + own.sum(axis=-1, dtype=np.int64)
        weighted = (_moved(numbers, weighted, blocks[..., None], numbers.cut)
                    + products(own, v, most))
    return RowSums(total, weighted)


def _moved(numbers, x, blocks, cut):
    """Sums behind a rise of the reference by some blocks."""
    cut = np.where(blocks > 0, cut, 0)
    moved = x >> (np.minimum(blocks, numbers.reach) * numbers.block + cut) << cut
    return np.where(blocks > numbers.reach, 0, moved)


def _of_keys(numbers, beats, keys, places):
    """What beats (..., beats) have, for each key of theirs."""
    if places is None:
        return np.repeat(beats, numbers.lanes, axis=-1)[..., :keys]
    return np.take_along_axis(beats, places // numbers.lanes, axis=-1)


def _terms(numbers, x, hidden, sink, places):
    """Blocks by which each beat raises the reference, terms of keys, and term of the sink."""
    grid, lanes = numbers.grid, numbers.lanes
    low, high = signed_range(numbers.bits)
    positions = grid.position(np.arange(low, high + 1, dtype=np.int64))[x.astype(np.int64) - low]
    if hidden is not None:
        positions = np.where(hidden, 0, positions)
    keys = x.shape[-1]
    beats = -(-keys // lanes)
    padded = positions
    if places is not None:
        padded = np.zeros((*x.shape[:-1], beats * lanes), np.int64)
        row = np.nonzero(~hidden)
        padded[(*row[:-1], places[row])] = positions[row]
    elif keys % lanes:
        padded = np.zeros((*x.shape[:-1], beats * lanes), np.int64)
        padded[..., :keys] = positions
    largest = padded.reshape(*x.shape[:-1], beats, lanes).max(axis=-1)
    if sink is not None:
        sunk = np.where(sink.valid, grid.position(sink.logit), 0)
        largest[..., 0] = np.maximum(largest[..., 0], sunk)
    largest >>= grid.bucket_shift
    largest = np.maximum.accumulate(largest, axis=-1)
    octave = grid.octave(largest)
    octave_in_block = octave % numbers.block
    distance = _of_keys(numbers, grid.reference(largest), keys, places) - positions
    words = np.array([*numbers.terms, 0], np.int64) << numbers.guard_bits
    terms = words[np.minimum(distance, len(words) - 1)]
    terms <<= _of_keys(numbers, octave_in_block, keys, places)
    if hidden is not None:
        terms[hidden] = 0
    of_sink = 0
    if sink is not None:
        distance = grid.reference(largest[..., 0]) - sunk
        of_sink = np.where(sink.valid, words[np.minimum(distance, len(words) - 1)], 0)
        of_sink <<= octave_in_block[..., 0]
    # The reference starts at the first beat's octave.
    block = octave // numbers.block
    return np.diff(block, axis=-1, prepend=block[..., :1]), terms, of_sink


def placed(numbers: object, sums: RowSums, scale: object) -> np.ndarray:
    """Return the factors ``P`` (sets, queries, 1) of rows; without a key undefined."""
    bits, total = scale.MANTISSA_BITS, sums.total[..., None]
    # A sum has less bits than a float holds exactly.
    place = np.maximum(np.frexp(total.astype(np.float64))[1].astype(np.int64) - 1,
                       numbers.places[0])
    mantissa = ((total << bits) >> place) & ((1 << bits) - 1)
    factor = scale.factor(np.array(scale.reciprocals, np.int64)[mantissa])
    down = numbers.down(scale.shift, place)
    return np.where(down < 0, (1 << 2 * LIMB) - 1, (factor << LIMB) >> np.clip(down, 0, LAST))


def scaled(numbers: object, sums: RowSums, scale: object) -> np.ndarray:
    """Return the outputs (sets, queries, value_dim) of sums: ``saturate(round(A T / S))``."""
    factor, read = placed(numbers, sums, scale), sums.weighted >> numbers.cut
    # The whole product may have more than 64 bits.
    product = read * (factor >> LIMB) + (read * (factor & ((1 << LIMB) - 1)) >> LIMB)
    rounded = round_shift(product, numbers.point - LIMB)
    return np.where(sums.total[..., None] > 0, clip(rounded, *signed_range(scale.bits)), 0)

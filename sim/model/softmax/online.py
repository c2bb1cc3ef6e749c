"""What the models share whose terms are relative to a reference that runs with the row."""

from collections.abc import Callable

import numpy as np

from rtl.fixed import half, signed_range

__all__ = ["OnlinePass", "folded"]


class OnlinePass:
    """First pass of a method: running references, codes of the distances to them, sums.

    Parameters
    ----------
    config : SoftmaxConfig
        With a ``grid`` and ``partial_sums``.
    terms : array
        What each code adds to the sum.
    codes : array, optional
        Code of each distance; a distance itself, at most the last code, if there is none.
    rises : callable, optional
        Shift of the sum for octaves that the reference rises by; these octaves, if not given.
    dropped_bits : int
        Low bits that are cut off the sum of each beat.

    Attributes
    ----------
    dtype : type
        Narrowest integer that holds positions, references, their differences and sums of two.
    """

    def __init__(self, config, terms, codes=None, rises=None, dropped_bits=0):
        grid = config.grid
        self._grid, self._terms, self._codes, self._rises = grid, terms, codes, rises
        self._partial, self._dropped_bits = config.partial_sums, dropped_bits
        # A distance or a position may need one bit more than the logits, so 8 bits take 16.
        self.dtype = np.int16 if max(grid.position_bits, grid.reference_bits) < 15 else np.int32
        multiplier, shift = grid.factors
        most = -signed_range(config.bits)[0] * multiplier + half(shift)
        self._wide = np.int16 if most < 1 << 15 else np.int32 if most < 1 << 31 else np.int64
        buckets = np.arange(1 << grid.bucket_bits, dtype=np.int64)
        self._octaves = grid.octave(buckets)
        self._references = grid.reference(buckets).astype(self.dtype)

    def codes(self, distance: np.ndarray) -> np.ndarray:
        """Codes of distances."""
        if self._codes is not None:
            return self._codes.take(distance)
        return np.minimum(distance, len(self._terms) - 1)

    def __call__(self, x, dead):
        """Codes of a block of shape (rows, beats, lanes), references of its beats, sums of rows."""
        grid = self._grid
        position = grid.position(x.astype(self._wide)).astype(self.dtype)
        live = None if dead is None else ~dead
        if live is not None:
            # The least position is neutral in the maximum.
            position *= live
        bucket = _running_maximum(folded(np.maximum, position) >> grid.bucket_shift)
        reference = self._references.take(bucket)
        codes = self.codes(reference[..., None] - position)
        terms = self._terms.take(codes, mode="clip")
        if live is not None:
            terms *= live
        beats = folded(np.add, terms) >> self._dropped_bits
        return codes, reference, self._total(beats, bucket)

    def _total(self, beats, bucket):
        """Sums of the rows, shifted by what the reference rises by before a beat."""
        number = beats.shape[1]
        if number == 1:
            return beats[:, 0].astype(np.int64)
        place = np.flatnonzero(bucket[:, 1:] != bucket[:, :-1])
        row, beat = np.divmod(place, number - 1)
        rises = self._octaves[bucket[row, beat + 1]] - self._octaves[bucket[row, beat]]
        if self._rises is not None:
            rises = self._rises(rises)
        if self._partial == 1:
            return _shifted_sum(beats, row, beat + 1, rises)
        # Two sums of every other beat, each shifted by what has risen since its last one.
        every = np.zeros((len(beats), number - 1), np.int64)
        every[row, beat] = rises
        pairs, sums = every[:, 1:] + every[:, :-1], []
        for first in (0, 1):
            row, beat = np.nonzero(own := pairs[:, first::2])
            sums.append(_shifted_sum(beats[:, first::2], row, beat + 1, own[row, beat]))
        latest, before = sums[(number - 1) % 2], sums[number % 2]
        return latest + (before >> np.minimum(every[:, -1], 62))


def folded(function: Callable, x: np.ndarray) -> np.ndarray:
    """Return the reduction of the last axis by halves.

    NumPy's own takes a call for each of these few elements' rows.
    """
    while (lanes := x.shape[-1]) > 1:
        rest = x[..., lanes - 1] if lanes % 2 else None
        x = function(x[..., :lanes - 1:2], x[..., 1::2])
        if rest is not None:
            x[..., 0] = function(x[..., 0], rest)
    return x[..., 0]


def _running_maximum(x):
    """Largest of each row (rows, beats) so far, by doubling what each element has seen."""
    step = 1
    while step < x.shape[1]:
        np.maximum(x[:, step:], x[:, :-step], out=x[:, step:])
        step *= 2
    return x


def _shifted_sum(beats, row, beat, shifts):
    """Sums of rows (rows, beats); what is there is shifted right before some beats.

    ``row``, ``beat`` and ``shifts`` are where and by how much, in the order of the rows. A sum
    between two shifts is a plain one, and most beats have none: the steps are as many as the most
    shifts of a row.
    """
    rows, number = beats.shape
    spans = 1 + np.bincount(row, minlength=rows)
    first = spans.cumsum() - spans
    # A span begins with a row, or with a shift, of which those of earlier rows come before it.
    starts = np.empty(rows + len(row), np.int64)
    starts[first] = np.arange(rows) * number
    starts[np.arange(len(row)) + row + 1] = row * number + beat
    sums = np.add.reduceat(beats.ravel(), starts, dtype=np.int64)
    total, shifts = sums[first], np.minimum(shifts, 62)
    some, step = np.flatnonzero(spans > 1), 1
    while len(some):
        place = first[some] + step
        total[some] = (total[some] >> shifts[place - some - 1]) + sums[place]
        step += 1
        some = some[spans[some] > step]
    return total

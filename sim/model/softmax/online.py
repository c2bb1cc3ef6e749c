"""What the models share whose terms are relative to a reference that runs with the row."""

import numpy as np

from rtl.fixed import signed_range

__all__ = ["OnlinePass"]


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
    """

    def __init__(self, config, terms, codes=None, rises=None, dropped_bits=0):
        grid = config.grid
        self._grid, self._terms, self._codes, self._rises = grid, terms, codes, rises
        self._partial, self._dropped_bits = config.partial_sums, dropped_bits
        self._low, high = signed_range(config.bits)
        logits = np.arange(self._low, high + 1, dtype=np.int64)
        # A distance or a position may need one bit more than the logits, so 8 bits take 16.
        self._dtype = np.int16 if max(grid.position_bits, grid.reference_bits) < 15 else np.int32
        self._positions = grid.position(logits).astype(self._dtype)
        self._identity = bool((self._positions == logits - self._low).all())

    def codes(self, distance: np.ndarray) -> np.ndarray:
        """Codes of distances."""
        if self._codes is not None:
            return self._codes[distance]
        return np.minimum(distance, len(self._terms) - 1)

    def __call__(self, x, dead):
        """Codes of a block of shape (rows, beats, lanes), references of its beats, sums of rows."""
        grid = self._grid
        position = (x.astype(self._dtype) - self._dtype(self._low) if self._identity
                    else self._positions[x.astype(np.int64) - self._low])
        if dead is not None:
            # The least position is neutral in the maximum.
            position[dead] = 0
        bucket = np.maximum.accumulate(position.max(-1) >> grid.bucket_shift, axis=1)
        octave = grid.octave(bucket.astype(np.int64))
        reference = grid.reference(bucket.astype(np.int64)).astype(self._dtype)
        codes = self.codes(reference[..., None] - position)
        terms = self._terms[codes]
        if dead is not None:
            terms[dead] = 0
        rises = np.diff(octave, axis=1)
        if self._rises is not None:
            rises = self._rises(rises)
        beat_sums = terms.sum(-1, dtype=np.int64) >> self._dropped_bits
        return codes, reference, self._total(beat_sums, rises)

    def _total(self, beat_sums, rises):
        """Sums of the rows, shifted by each beat's rise."""
        latest, before = beat_sums[:, 0], np.zeros(len(beat_sums), np.int64)
        last = np.zeros(len(beat_sums), np.int64)
        for beat in range(1, beat_sums.shape[1]):
            rise = rises[:, beat - 1]
            if self._partial == 1:
                latest = (latest >> np.minimum(rise, 62)) + beat_sums[:, beat]
                continue
            following = (before >> np.minimum(last + rise, 62)) + beat_sums[:, beat]
            latest, before, last = following, latest, rise
        return latest if self._partial == 1 else latest + (before >> np.minimum(last, 62))

"""Places of the keys that a query meets in its row of logits, several a beat."""

import numpy as np

__all__ = ["beats", "places"]


def places(lanes: int, met: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Return the place of each kept key in its row: the beat times ``lanes``, and the lane.

    Key ``i`` is in lane ``i % lanes``, and each lane hands out the keys that are met, in order.
    Beats without a kept key are dropped.

    Parameters
    ----------
    lanes : int
        Keys of a beat.
    met, kept : boolean arrays, shape (..., keys)
        Keys that have a logit, and those of them that have a weight.

    Returns
    -------
    int array of that shape
        Places; 0 for keys that are not kept.
    """
    keys = met.shape[-1]
    beat = _words(met, lanes).cumsum(axis=-2) - 1
    some = np.zeros((*met.shape[:-1], beat.shape[-2]), bool)
    words = _words(kept, lanes)
    row = np.nonzero(words)
    some[(*row[:-2], beat[row])] = True
    order = some.cumsum(axis=-1) - 1
    found = np.zeros(beat.shape, np.int64)
    found[row] = order[(*row[:-2], beat[row])] * lanes + row[-1]
    return found.reshape(*met.shape[:-1], -1)[..., :keys]


def beats(lanes: int, met: np.ndarray) -> np.ndarray:
    """Return the beats that the keys take which queries meet, booleans (..., keys): (...).

    One, if there is none.
    """
    return np.maximum(_words(met, lanes).sum(axis=-2).max(axis=-1, initial=0), 1)


def _words(flags, lanes):
    """Flags by words of the stores: (..., words, lanes)."""
    keys = flags.shape[-1]
    words = np.zeros((*flags.shape[:-1], -(-keys // lanes) * lanes), bool)
    words[..., :keys] = flags
    return words.reshape(*flags.shape[:-1], -1, lanes)

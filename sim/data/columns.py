"""Sorted columns of K, as a host prepares them for a greedy search that does not sort itself."""

from __future__ import annotations

import dataclasses

import numpy as np

__all__ = ["Columns", "sort"]


@dataclasses.dataclass(frozen=True, eq=False)
class Columns:
    """Columns of K, each sorted by value, rows that take no part left out.

    Attributes
    ----------
    values, rows : int arrays (dim, rows)
        Elements in ascending order, equal ones by row, and the row of each.
    keys : int
        Number of rows of K.
    """

    values: np.ndarray
    rows: np.ndarray
    keys: int

    def vectors(self) -> np.ndarray:
        """Return what the engine takes of columns that it does not sort: (vectors, dim).

        Vector ``p`` has the element at place ``p`` of each column: the value in bits 0 to 7, the
        row from bit 8 on. Columns without elements are one vector of zeros.
        """
        vectors = ((self.rows << 8) | (self.values & 255)).T
        return vectors if len(vectors) else np.zeros((1, len(self.values)), np.int64)


def sort(k: np.ndarray, mask: np.ndarray | None = None) -> Columns:
    """Sort the columns of keys (keys, dim); masked keys (True) are left out."""
    k = np.asarray(k, np.int64)
    live = np.arange(len(k)) if mask is None else np.flatnonzero(~np.asarray(mask))
    order = np.argsort(k[live], axis=0, kind="stable")
    return Columns(np.take_along_axis(k[live], order, axis=0).T.copy(), live[order].T.copy(),
                   len(k))

"""Greedy search for candidates over sorted columns, and post-scoring selection, in integers.

Of approximate attention as in A3 (Ham et al., HPCA 2020). The columns of K are sorted once. Each
iteration takes the largest of the products that the columns' heads make with the query, and adds it
to the score of its row; then, unless all that was taken so far is negative, the smallest. Rows with
a positive score are candidates; of these, those stay whose exact logit is near the largest.

Choices of this project, where the paper's text was not at hand: a product counts only if it has the
sign that its half looks for; the check for skipping comes between the halves; ties go to the lowest
dimension, and in the sort to the lowest row.
"""

import dataclasses

import numpy as np

__all__ = ["Columns", "Search", "candidates", "post_score", "search", "sort"]


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

    def vectors(self):
        """Return what the engine takes of columns that it does not sort: (vectors, dim).

        Vector ``p`` has the element at place ``p`` of each column: the value in bits 0 to 7, the
        row from bit 8 on. Columns without elements are one vector of zeros.
        """
        vectors = ((self.rows << 8) | (self.values & 255)).T
        return vectors if len(vectors) else np.zeros((1, len(self.values)), np.int64)


@dataclasses.dataclass(frozen=True, eq=False)
class Search:
    """Result of a search.

    Attributes
    ----------
    scores : int array (keys,)
        Sum of the products that were taken, by row.
    products : int
        Products that were taken.
    skipped : int
        Halves that were skipped.
    """

    scores: np.ndarray
    products: int
    skipped: int


def sort(k, mask=None):
    """Sort the columns of keys (keys, dim); masked keys (True) are left out."""
    k = np.asarray(k, np.int64)
    live = np.arange(len(k)) if mask is None else np.flatnonzero(~np.asarray(mask))
    order = np.argsort(k[live], axis=0, kind="stable")
    return Columns(np.take_along_axis(k[live], order, axis=0).T.copy(), live[order].T.copy(),
                   len(k))


def search(columns, q, iterations, *, min_skip=True):
    """Search with one query (dim,) for so many iterations."""
    q = np.asarray(q, np.int64)
    size = columns.values.shape[1]
    scores = np.zeros(columns.keys, np.int64)
    # The largest products of a column are at one end of it, the smallest at the other.
    places = np.where(q > 0, size - 1, 0), np.where(q > 0, 0, size - 1)
    steps = np.where(q > 0, -1, 1), np.where(q > 0, 1, -1)
    # Columns of a zero, whose products are all 0, and exhausted ones take no part.
    open_ = [(q != 0) & (size > 0), (q != 0) & (size > 0)]
    dims = np.arange(len(q))
    total = products = skipped = 0
    for _ in range(iterations):
        if not (open_[0].any() or open_[1].any()):
            break
        for half, sign in (0, 1), (1, -1):
            if half and min_skip and total < 0:
                skipped += 1
                continue
            if not open_[half].any():
                continue
            heads = sign * q * columns.values[dims, places[half].clip(0, size - 1)]
            j = int(np.where(open_[half], heads, np.iinfo(np.int64).min).argmax())
            value = sign * int(heads[j])
            if sign * value > 0:
                scores[columns.rows[j, places[half][j]]] += value
                total += value
                products += 1
            places[half][j] += steps[half][j]
            open_[half][j] = 0 <= places[half][j] < size
    return Search(scores, products, skipped)


def candidates(scores, live, empty="all"):
    """Rows that are worth an exact dot product: booleans (keys,).

    Without a positive score, all ``live`` rows or, if ``empty`` is "first", the first of them.
    """
    chosen = (scores > 0) & live
    if chosen.any() or not live.any():
        return chosen
    return live if empty == "all" else np.arange(len(live)) == live.argmax()


def post_score(x, chosen, distance):
    """Candidates whose logit ``x`` is at most ``distance`` below that of the best of them."""
    if not chosen.any():
        return chosen
    return chosen & (x >= x[chosen].max() - distance)

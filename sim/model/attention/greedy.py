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

from ...data.columns import Columns

__all__ = ["Search", "candidates", "post_score", "search"]


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


def search(columns: Columns, q: np.ndarray, iterations: int, *, min_skip: bool = True) -> Search:
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


def candidates(scores: np.ndarray, live: np.ndarray, empty: str = "all") -> np.ndarray:
    """Return the rows that are worth an exact dot product: booleans (keys,).

    Without a positive score, all ``live`` rows or, if ``empty`` is "first", the first of them.
    """
    chosen = (scores > 0) & live
    if chosen.any() or not live.any():
        return chosen
    return live if empty == "all" else np.arange(len(live)) == live.argmax()


def post_score(x: np.ndarray, chosen: np.ndarray, distance: int) -> np.ndarray:
    """Return the candidates whose logit ``x`` is at most ``distance`` below the best one."""
    if not chosen.any():
        return chosen
    return chosen & (x >= x[chosen].max() - distance)

"""Study: A3's greedy search for candidates, and post-scoring selection, in integers.

Of approximate attention as in A3 (Ham et al., HPCA 2020). No hardware of this project does it; the
functions say what it would compute, and what it would take.

The columns of K are sorted once. Each iteration takes the largest of the products that the columns'
heads make with the query, and adds it to the score of its row; then, unless all that was taken so
far is negative, the smallest. Rows with a positive score are candidates; of these, those stay whose
exact logit is near the largest.

Choices of this project, where the paper's text was not at hand: a product counts only if it has the
sign that its half looks for; the check for skipping comes between the halves; ties go to the lowest
dimension, and in the sort to the lowest row; without a candidate the row with the best score is
taken.
"""

import dataclasses
import math

import numpy as np

from . import run as run_unit
from .attention import logits


__all__ = ["Columns", "Search", "candidates", "cycles", "post_score", "run", "search", "sort"]

# Scores that are looked at for candidates per cycle.
SCAN = 16

# Cycles of a pipeline stage on top of what it works on.
STAGE = 9


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


def candidates(scores, live):
    """Rows that are worth an exact dot product: booleans (keys,), one at least if one is live."""
    chosen = (scores > 0) & live
    if not chosen.any() and live.any():
        chosen[int(np.where(live, scores, np.iinfo(np.int64).min).argmax())] = True
    return chosen


def post_score(x, chosen, percent, scale):
    """Candidates whose weight is at least ``percent`` of the largest.

    ``x`` are logits, worth ``scale`` each; the distance allowed is rounded to an integer.
    """
    if not chosen.any():
        return chosen
    distance = round(math.log(100 / percent) / scale)
    return chosen & (x >= x[chosen].max() - distance)


def run(config, q, k, v, mask=None, *, iterations, percent, min_skip=True):
    """Compute attention with the search; arguments as in :func:`sim.model.attention.run`.

    Returns
    -------
    outputs, chosen, kept
        Integers (queries, dim); candidates and kept keys, booleans (queries, keys).
    """
    q, k, v = (np.asarray(x, np.int64) for x in (q, k, v))
    live = np.ones(len(k), bool) if mask is None else ~np.asarray(mask)
    columns, x = sort(k, ~live), logits(config, q, k)
    chosen = np.array([candidates(search(columns, query, iterations, min_skip=min_skip).scores,
                                  live) for query in q])
    kept = np.array([post_score(row, some, percent, config.logit_scale)
                     for row, some in zip(x, chosen, strict=True)])
    weights = run_unit(config.softmax_config, x, ~kept).astype(np.int64)
    return config.output(weights @ v), chosen, kept


def cycles(dim, iterations, chosen, kept):
    """Cycles per query of a pipeline whose slowest stage sets the pace.

    ``chosen`` and ``kept`` are booleans (queries, keys). Stages: search, one iteration a cycle, in
    no less time than the first products of the next query take, one dimension a cycle, and scan of
    the scores; dot products of the candidates; exponents and sums of the kept ones.
    """
    keys = chosen.shape[1]
    stages = [np.full(len(chosen), max(dim, iterations) + -(-keys // SCAN) + 6),
              chosen.sum(axis=1) + STAGE, kept.sum(axis=1) + STAGE]
    return np.max(stages, axis=0)

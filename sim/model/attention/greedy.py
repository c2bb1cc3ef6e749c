"""Greedy search for candidates over sorted columns, and post-scoring selection, in integers.

Of approximate attention as in A3 (Ham et al., HPCA 2020). The columns of K are sorted once. Each
iteration takes the largest of the products that the columns' heads make with the query, and adds it
to the score of its row; then, unless all that was taken so far is negative, the smallest. Rows with
a positive score are candidates; of these, those stay whose exact logit is near the largest.

Choices of this project, where the paper's text was not at hand: a product counts only if it has the
sign that its half looks for; the check for skipping comes between the halves; ties go to the lowest
dimension, and in the sort to the lowest row.

The heads of sorted columns are met in the order of the products. The largest of ``n`` iterations
are therefore the ``n`` largest products of all, whatever is skipped, and the sums of what was taken
decide how many of the smallest follow. All products of some queries are made at once: a partition
finds the sizes of both, and their limits say which products count.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ...data.columns import Columns

__all__ = ["Search", "candidates", "post_score", "search", "search_sets"]

# Products that are worked on at a time: few enough for the arrays to stay in the cache, and many
# queries for each step of their iterations.
CHUNK = 1 << 19

# Products of a query up to which one sort is faster than a partition for each end.
SORTED = 1 << 10

# Above the product of any two elements.
NONE = np.int16(np.iinfo(np.int16).max)


@dataclasses.dataclass(frozen=True, eq=False)
class Search:
    """Result of a search.

    Attributes
    ----------
    scores : int64 array, shape (..., keys)
        Sum of the products that were taken, by row.
    products : int64 array, shape (...)
        Products that were taken.
    """

    scores: np.ndarray
    products: np.ndarray


def search(columns: Columns, q: np.ndarray, iterations: int, *, min_skip: bool = True) -> Search:
    """Search with queries (..., dim) of one set for so many iterations."""
    q = np.asarray(q)
    k = np.zeros((columns.keys, q.shape[-1]), np.int16)
    k[columns.rows, np.arange(q.shape[-1])[:, None]] = columns.values
    found = _search(q.reshape(1, -1, q.shape[-1]), k[None], iterations, min_skip)
    return Search(found.scores.reshape(*q.shape[:-1], columns.keys),
                  found.products.reshape(q.shape[:-1]))


def search_sets(q: np.ndarray, k: np.ndarray, live: np.ndarray, iterations: int, *,
                min_skip: bool = True) -> Search:
    """Search with the queries of many sets.

    Parameters
    ----------
    q : int array, shape (sets, queries, dim)
        Queries.
    k : int array, shape (sets, keys, dim)
        Keys.
    live : boolean array, shape (sets, keys)
        Keys that take part.
    iterations, min_skip
        As of :func:`search`.
    """
    # A product of 0 counts on no side.
    return _search(q, k * live[..., None], iterations, min_skip)


def candidates(scores: np.ndarray, live: np.ndarray, empty: str = "all") -> np.ndarray:
    """Return the rows that are worth an exact dot product: booleans, shape of ``scores``.

    Without a positive score, all ``live`` rows (..., keys) or, if ``empty`` is "first", the first
    of them.
    """
    chosen = (scores > 0) & live
    stand_in = live
    if empty != "all":
        stand_in = live & (np.arange(live.shape[-1]) == live.argmax(axis=-1)[..., None])
    return np.where(chosen.any(axis=-1, keepdims=True), chosen, stand_in)


def post_score(x: np.ndarray, chosen: np.ndarray, distance: int) -> np.ndarray:
    """Return the candidates whose logit ``x`` is at most ``distance`` below the best one.

    Both have the shape (..., keys).
    """
    # The difference to the best one may be wider than a logit.
    x = np.where(chosen, x, np.iinfo(x.dtype).min).astype(np.int64)
    return chosen & (x >= x.max(axis=-1, keepdims=True) - distance)


# Search -----------------------------------------------------------------------------------------

def _search(q: np.ndarray, k: np.ndarray, iterations: int, min_skip: bool) -> Search:
    """Search with queries (sets, queries, dim) of keys (sets, keys, dim), 0 where not live."""
    (sets, queries, dim), keys = q.shape, k.shape[1]
    size, shape = keys * dim, (sets, queries)
    # After as many iterations as there are products, only the smallest are left, if any.
    iterations = min(iterations, 2 * size)
    if not iterations or not sets * queries:
        return Search(np.zeros((*shape, keys), np.int64), np.zeros(shape, np.int64))
    q, columns = q.reshape(-1, dim).astype(np.int16), k.swapaxes(1, 2).astype(np.int16)
    owner = np.repeat(np.arange(sets), queries)
    step = max(1, CHUNK // size)
    parts = [slice(start, start + step) for start in range(0, len(q), step)]
    # Fresh memory for each part would take longer than what is done in it.
    space = np.empty((2, min(step, len(q)), dim, keys), np.int16)
    largest, smallest = np.empty((2, min(iterations + 1, size), len(q)), np.int16)
    for part in parts:
        products, work = _products(q[part], columns, owner[part], space)
        _ends(products, work, largest[:, part], smallest[:, part])
    up, down = (np.count_nonzero(sizes[:iterations], axis=0) for sizes in (largest, smallest))
    if min_skip:
        down = np.minimum(down, _not_skipped(largest[:iterations], smallest[:iterations],
                                             iterations))
    scores = np.empty((len(q), keys), np.int64)
    for part in parts:
        # The products of a single part are there still.
        if len(parts) > 1:
            products, work = _products(q[part], columns, owner[part], space)
        taken, other = work.view(bool).reshape(2, *products.shape)
        limit = _limit(largest[:, part], up[part])
        np.greater_equal(products, limit[:, None], out=taken)
        _leave_out(taken, products, limit, largest[:, part], up[part], q[part] > 0)
        limit = -_limit(smallest[:, part], down[part])
        np.less_equal(products, limit[:, None], out=other)
        _leave_out(other, products, limit, smallest[:, part], down[part], q[part] < 0)
        taken |= other
        products *= taken
        scores[part] = np.add.reduce(products.reshape(-1, dim, keys), axis=1, dtype=np.int32)
    return Search(scores.reshape(*shape, keys), (up + down).reshape(shape))


def _products(q, columns, owner, space):
    """Products (queries, dim * keys) of queries (queries, dim) with their sets' columns, and room.

    The two are in ``space`` (2, queries or more, dim, keys).
    """
    products, work = space[:, :len(q)]
    np.take(columns, owner, axis=0, out=products, mode="clip")
    products *= q[..., None]
    return products.reshape(len(q), -1), work.reshape(len(q), -1)


def _ends(products, work, largest, smallest):
    """Write the largest products of each query (queries, products), and sizes of the smallest.

    Both are (products that are wanted, queries), falling, and 0 where a product has the other sign.
    """
    size, most = products.shape[1], len(largest)
    work[:] = products
    if size <= max(SORTED, 2 * most):
        work.sort(axis=1)
        low, high = work[:, :most], work[:, size - most:]
    else:
        # Partitions by one place: those by several are many times as slow.
        work.partition(size - most, axis=1)
        high = np.sort(work[:, size - most:], axis=1)
        work.partition(most - 1, axis=1)
        low = np.sort(work[:, :most], axis=1)
    np.maximum(high[:, ::-1].T, 0, out=largest)
    np.maximum(-low.T, 0, out=smallest)


def _limit(sizes, number):
    """The ``number``-th of sizes (most, queries), which are falling; none reaches that of none."""
    queries = np.arange(sizes.shape[1])
    return np.where(number > 0, sizes[np.maximum(number, 1) - 1, queries], NONE)


def _leave_out(taken, products, limit, sizes, number, falling):
    """Clear ``taken`` where more products than ``number`` (queries,) reach their limit.

    Of equal ones the lowest dimension's come first, and of one dimension those of the highest row
    where ``falling`` (queries, dim), of the lowest row elsewhere.
    """
    queries = np.arange(len(number))
    after = np.minimum(number, len(sizes) - 1)
    tied = (number > 0) & (after == number) & (sizes[after, queries] == np.abs(limit))
    rows = np.flatnonzero(tied)
    row, place = np.divmod(np.flatnonzero(products[rows] == limit[rows, None]), products.shape[1])
    dim, key = np.divmod(place, products.shape[1] // falling.shape[1])
    order = np.lexsort((np.where(falling[rows[row], dim], -key, key), dim, row))
    count = np.bincount(row, minlength=len(rows))
    rank = np.arange(len(row)) - np.repeat(count.cumsum() - count, count)
    left = number[rows] - (sizes[:, rows] > np.abs(limit[rows])).sum(axis=0)
    place = place[order][beyond := rank >= left[row]]
    taken[rows[row[beyond]], place] = False


def _not_skipped(largest, smallest, iterations):
    """Iterations of each query whose smaller half was not skipped, as far as products go."""
    queries = largest.shape[1]
    total, number = np.zeros(queries, np.int64), np.zeros(queries, np.int64)
    flat = np.concatenate([smallest, np.zeros((1, queries), smallest.dtype)]).ravel()
    column, end = np.arange(queries), len(smallest)
    for step in range(iterations):
        if step < len(largest):
            total += largest[step]
        elif (total < 0).all() or (number >= end).all():
            break
        go = total >= 0
        total -= np.where(go, flat[np.minimum(number, end) * queries + column], 0)
        number += go
    return number

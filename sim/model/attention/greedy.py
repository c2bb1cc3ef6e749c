"""Greedy search for candidates over sorted columns, and post-scoring selection, in integers.

Of approximate attention as in A3 (Ham et al., HPCA 2020). The columns of K are sorted once. Each
iteration takes the largest of the products that the columns' heads make with the query, and adds it
to the score of its row; then, unless all that was taken so far is negative, the smallest. Rows with
a positive score are candidates; of these, those stay whose exact logit is near the largest.

Choices of this project, where the paper's text was not at hand: a product counts only if it has the
sign that its half looks for; the check for skipping comes between the halves; ties go to the lowest
dimension, and in the sort to the lowest row.

The heads of sorted columns are met in the order of the products. The largest of ``n`` iterations
are therefore the ``n`` largest products of all, whatever is skipped, and a bisection finds their
threshold from counts of the columns' elements, for all queries at once. The sums of what was taken
decide how many of the smallest follow, and these are found likewise.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ...data.columns import Columns

__all__ = ["Search", "candidates", "post_score", "search", "search_sets"]

# Elements of queries that are worked on at a time: few enough for the arrays to stay in the cache,
# and many queries for each step of their iterations.
CHUNK = 1 << 16

ALL = slice(None)


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
    flat = q.reshape(-1, q.shape[-1])
    tables = _Tables.of(columns.values[None], columns.rows[None], columns.values.shape[1:],
                        columns.keys)
    found = _search(tables, flat, np.zeros(len(flat), np.int64), iterations, min_skip)
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
    sets, queries, dim = q.shape
    found = _search(_Tables.sorted(k, live), q.reshape(-1, dim),
                    np.repeat(np.arange(sets), queries), iterations, min_skip)
    return Search(found.scores.reshape(sets, queries, -1), found.products.reshape(sets, queries))


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

@dataclasses.dataclass(frozen=True, eq=False)
class _Tables:
    """Sorted columns of sets of one shape, and how many of their elements reach each value.

    Attributes
    ----------
    values, rows : int64 arrays, shape (sets, dim, most)
        Elements in ascending order, and the row of each.
    sizes : int64 array, shape (sets,)
        Elements of a column.
    above : int16 array, shape (sets, 2, dim, largest + 2)
        Elements that are at least ``v``; at most ``-v``.
    keys : int
        Rows of K.
    """

    values: np.ndarray
    rows: np.ndarray
    sizes: np.ndarray
    above: np.ndarray
    keys: int

    @classmethod
    def sorted(cls, k: np.ndarray, live: np.ndarray) -> _Tables:
        """Return the tables of keys (sets, keys, dim); those that are not ``live`` come last."""
        last = np.int16(np.iinfo(np.int16).max)
        columns = np.where(live[..., None], k, last).astype(np.int16).swapaxes(1, 2)
        rows = columns.argsort(axis=-1, kind="stable")
        values = np.take_along_axis(columns, rows, axis=-1)
        return cls.of(np.where(values == last, 0, values), rows, live.sum(axis=-1), k.shape[1])

    @classmethod
    def of(cls, values: np.ndarray, rows: np.ndarray, sizes: np.ndarray, keys: int) -> _Tables:
        """Return the tables of sorted columns."""
        values, sizes = values.astype(np.int64), np.asarray(sizes)
        sets, dim, most = values.shape
        largest = int(np.abs(values).max(initial=0))
        span = 2 * largest + 1
        held = np.broadcast_to(np.arange(most) < sizes[:, None, None], values.shape)
        places = np.arange(sets * dim).reshape(sets, dim, 1) * span + values + largest
        number = np.bincount(places[held], minlength=sets * dim * span).reshape(sets, dim, span)
        # Sums from both ends towards 0; none reaches beyond the largest.
        above = np.zeros((sets, 2, dim, largest + 2), np.int16)
        for side, ends in enumerate((number[..., ::-1], number)):
            above[:, side, :, largest::-1] = ends[..., :largest + 1].cumsum(axis=-1)
        return cls(values, rows, sizes, above, keys)


class _Side:
    """Products of queries that are positive, or of their negatives: one half of the iterations.

    Parameters
    ----------
    tables : _Tables
        Columns.
    q : int array, shape (queries, dim)
        Queries; negated for the smallest products.
    sets : int array, shape (queries,)
        Set of each.
    """

    def __init__(self, tables: _Tables, q: np.ndarray, sets: np.ndarray) -> None:
        self._tables, self._q = tables, q
        dim, width = tables.above.shape[2:]
        columns = np.arange(dim)
        # A division by this many gives a value that no element reaches, as there is no product.
        self._size = np.where(q == 0, np.float32(1e-6), np.abs(q)).astype(np.float32)
        self._down = q > 0
        self._column = sets[:, None] * dim + columns
        self._base = ((2 * sets[:, None] + ~self._down) * dim + columns) * width
        self._flat, self._none = tables.above.ravel(), np.float32(width - 1)
        self._bits = (int(np.abs(q).max(initial=0)) * (width - 2)).bit_length()

    def reaching(self, limit: np.ndarray, rows: np.ndarray | slice = ALL) -> np.ndarray:
        """Count the products of each column that are at least ``limit`` (queries,), above 0.

        ``rows`` are the queries, if not all.
        """
        # Quotients of integers this small, rounded to float32, do not become integers.
        least = limit[:, None].astype(np.float32) / self._size[rows]
        np.ceil(least, out=least)
        np.minimum(least, self._none, out=least)
        return self._flat.take(self._base[rows] + least.astype(np.int64))

    def limit(self, count: int) -> np.ndarray:
        """Return a limit that ``count`` products of each query reach.

        It is the last of them, where more would reach any limit, and 1 if there are fewer.
        """
        limit = np.zeros(len(self._q), np.int64)
        rows: np.ndarray | slice = ALL
        for bit in range(self._bits - 1, -1, -1):
            before = limit[rows]
            trial = before | 1 << bit
            number = np.add.reduce(self.reaching(trial, rows), axis=1, dtype=np.int32)
            limit[rows] = np.where(number >= count, trial, before)
            # A query is done once the number is right; a higher limit of this number is as good.
            going = np.flatnonzero(number != count)
            if not len(going):
                break
            if len(going) < 0.7 * len(number):
                rows = going if rows is ALL else rows[going]
        return np.maximum(limit, 1)

    def taken(self, limit: np.ndarray, count: int | np.ndarray) -> np.ndarray:
        """Return how many products of each column are among the first ``count``.

        All above ``limit`` (queries,), of :meth:`limit`, are; of those that equal it, the lowest
        dimensions' first.
        """
        more = self.reaching(limit + 1).astype(np.int64)
        equal = self.reaching(limit) - more
        left = (count - more.sum(axis=1))[:, None] - (equal.cumsum(axis=1) - equal)
        return more + left.clip(0, equal)

    def products(self, taken: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return query, row and size of the first ``taken`` products (queries, dim) of columns."""
        number = taken.ravel()
        owner = np.repeat(np.arange(len(number)), number)
        place = np.arange(len(owner)) - np.repeat(number.cumsum() - number, number)
        column = self._column.ravel()[owner]
        last = self._tables.sizes[column // taken.shape[1]] - 1
        # The largest products of a column are at one end of it, the smallest at the other.
        place = np.where(self._down.ravel()[owner], last - place, place)
        element = column * self._tables.values.shape[2] + place
        return (owner // taken.shape[1], self._tables.rows.ravel()[element],
                self._tables.values.ravel()[element] * self._q.ravel()[owner])


def _search(tables: _Tables, q: np.ndarray, sets: np.ndarray, iterations: int,
            min_skip: bool) -> Search:
    """Search with queries (queries, dim), each of the set whose number ``sets`` (queries,) has."""
    q = q.astype(np.int64)
    scores = np.zeros((len(q), tables.keys), np.int64)
    products = np.zeros(len(q), np.int64)
    # After as many iterations as there are products, only the smallest are left, if any.
    most = tables.values.shape[2] * q.shape[1]
    iterations = min(iterations, 2 * most)
    step = max(1, CHUNK // q.shape[1])
    if iterations and most:
        for start in range(0, len(q), step):
            part = slice(start, start + step)
            scores[part], products[part] = _part(tables, q[part], sets[part], iterations,
                                                 min_skip)
    return Search(scores, products)


def _part(tables, q, sets, iterations, min_skip):
    """Scores (queries, keys) of some queries, and the number of their products."""
    up, down = _Side(tables, q, sets), _Side(tables, -q, sets)
    taken = up.taken(up.limit(iterations), iterations)
    largest = up.products(taken)
    smallest = down.products(down.taken(down.limit(iterations), iterations))
    if min_skip:
        sizes = _in_order(smallest, len(q))
        number = _not_skipped(_in_order(largest, len(q)), sizes, iterations)
        smallest = _first(smallest, sizes, number)
    scores = _sums(largest, len(q), tables.keys) - _sums(smallest, len(q), tables.keys)
    return scores, taken.sum(axis=1) + np.bincount(smallest[0], minlength=len(q))


def _first(products, sizes, number):
    """The ``number`` (queries,) largest of products; of equal ones the first ones.

    ``sizes`` are those of all, falling: (most of a query, queries).
    """
    query, row, size = products
    queries = len(number)
    # The smallest product that is taken; without any, a limit that none reaches.
    place = np.minimum(number, len(sizes)) - 1
    limit = np.where(number > 0, sizes[place, np.arange(queries)], 1 << 30) if len(sizes) \
        else np.zeros(queries, np.int64)
    limit = limit[query]
    more, equal = size > limit, size == limit
    left = number - np.bincount(query[more], minlength=queries)
    # Equal products of a query are counted in their order, which is that of ties.
    count = np.bincount(query[equal], minlength=queries)
    rank = np.zeros(len(query), np.int64)
    rank[equal] = np.arange(count.sum()) - np.repeat(count.cumsum() - count, count)
    kept = more | (equal & (rank < left[query]))
    return query[kept], row[kept], size[kept]


def _sums(products, queries, keys):
    """Sums of the products of each row: (queries, keys)."""
    query, row, product = products
    return np.bincount(query * keys + row, product, queries * keys).astype(np.int64).reshape(
        queries, keys)


def _in_order(products, queries):
    """Sizes of the products of each query, falling: (most of a query, queries), filled with 0."""
    query, _, product = products
    number = np.bincount(query, minlength=queries)
    place = np.arange(len(query)) - np.repeat(number.cumsum() - number, number)
    result = np.zeros((queries, number.max(initial=0)), np.int32)
    result[query, place] = -product
    result.sort(axis=1)
    return -np.ascontiguousarray(result.T)


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

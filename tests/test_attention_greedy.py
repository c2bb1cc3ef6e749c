"""Study of A3's search: its invariants, its corner cases, and published regularities."""

import numpy as np
import pytest

import rtl
from sim import attention_data, metrics, model, reference
from sim.model import attention_greedy as greedy

Attention = rtl.unit("attention")


def vectors(seed, keys=23, dim=6, high=20):
    random = np.random.default_rng(seed)
    return random.integers(-high, high + 1, dim), random.integers(-high, high + 1, (keys, dim))


def by_hand(k, q, iterations, min_skip):
    """The search over an explicit list of all products of each column."""
    lists = {j: sorted((int(q[j]) * int(k[i, j]), i) for i in range(len(k)))
             for j in range(len(q)) if q[j]}
    # Equal products: the row that comes last in the sorted column is met first from above.
    ups = {j: sorted(((p, i if q[j] > 0 else -i) for p, i in items), reverse=True)
           for j, items in lists.items()}
    downs = {j: sorted((p, i if q[j] > 0 else -i) for p, i in items) for j, items in lists.items()}
    scores, total = [0] * len(k), 0
    for _ in range(iterations):
        for half, pile in (1, ups), (-1, downs):
            heads = [(half * items[0][0], -j) for j, items in pile.items() if items]
            if not heads or half < 0 and min_skip and total < 0:
                continue
            j = -max(heads)[1]
            product, row = pile[j].pop(0)
            if half * product > 0:
                scores[abs(row)] += product
                total += product
    return scores


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("min_skip", [False, True])
@pytest.mark.parametrize("iterations", [0, 1, 7, 60, 300])
def test_search(seed, min_skip, iterations):
    q, k = vectors(seed, high=4 if seed % 2 else 20)
    if seed == 3:
        q[2:] = 0
    found = greedy.search(greedy.sort(k), q, iterations, min_skip=min_skip)
    assert found.scores.tolist() == by_hand(k, q, iterations, min_skip)
    assert found.products <= 2 * iterations


@pytest.mark.parametrize("seed", range(4))
def test_all_iterations_give_the_dot_products(seed):
    q, k = vectors(seed)
    found = greedy.search(greedy.sort(k), q, k.size, min_skip=False)
    assert (found.scores == k @ q).all()


def test_query_of_zeros_finds_nothing():
    q, k = vectors(7)
    scores = greedy.search(greedy.sort(k), 0 * q, 100).scores
    assert not scores.any()
    # Then the first row that takes part stands in.
    live = np.arange(len(k)) >= 3
    assert np.flatnonzero(greedy.candidates(scores, live)).tolist() == [3]
    assert not greedy.candidates(scores, np.zeros(len(k), bool)).any()


def test_ties_are_sorted_by_row():
    columns = greedy.sort(np.array([[2, 1], [2, 1], [-1, 1]]))
    assert columns.rows.tolist() == [[2, 0, 1], [0, 1, 2]]


def test_masked_rows_are_as_good_as_none():
    q, k = vectors(8)
    mask = np.arange(len(k)) >= 15
    masked = greedy.search(greedy.sort(k, mask), q, 40).scores
    assert not masked[15:].any()
    assert (masked[:15] == greedy.search(greedy.sort(k[:15]), q, 40).scores).all()
    assert not greedy.search(greedy.sort(k, mask | True), q, 40).scores.any()


def test_candidates_are_no_more_than_iterations():
    for seed in range(5):
        q, k = vectors(seed, keys=60)
        scores = greedy.search(greedy.sort(k), q, 9).scores
        assert (scores > 0).sum() <= 9


def test_post_scoring():
    x, some = np.array([100, 70, 60, 99, 0]), np.array([True, True, True, False, True])
    # ln 20 is 2.9957.
    assert greedy.post_score(x, some, 5, 0.1).tolist() == [True, True, False, False, False]
    assert greedy.post_score(x, some, 5, 0.05).tolist() == [True, True, True, False, False]
    assert not greedy.post_score(x, some & False, 5, 0.1).any()


def test_without_selection_it_is_dense():
    config = Attention(dim=6, io_lanes=2, max_keys=23)
    q, k = vectors(9)
    v = np.random.default_rng(9).integers(-99, 99, k.shape)
    # All keys score: everything but the first dimension is 0.
    k[:, 0], q[0] = np.abs(k[:, 0]) + 1, 5
    k[:, 1:] = 0
    outputs, chosen, kept = greedy.run(config, q[None], k, v, iterations=k.size, percent=1e-9)
    assert chosen.all() and kept.all()
    assert (outputs == model.run(config, q[None], k, v)).all()


@pytest.mark.parametrize("iterations, percent, low, high", [(160, 5, 0.29, 0.38),
                                                            (40, 10, 0.10, 0.13)])
@pytest.mark.parametrize("name, beta, errors", [("random", 4, (0.5, 1.3)),
                                                ("cluster", 4, (0.25, 0.45)),
                                                ("needle", 4, (0.2, 0.6))])
def test_share_of_candidates_hardly_depends_on_the_data(name, beta, errors, iterations, percent,
                                                        low, high):
    q, k, v = attention_data.DATA[name](np.random.default_rng(0), 24, 320, 64, beta)
    config = attention_data.fitted(q, k, v)
    integers = attention_data.quantised(config, q, k, v)
    outputs, chosen, kept = greedy.run(config, *integers, iterations=iterations, percent=percent)
    assert low < chosen.mean() < high
    assert (kept <= chosen).all() and kept.any(axis=1).all()
    found = metrics.attention_errors(reference.attention(q, k, v), outputs * config.output_scale)
    assert found.relative < errors[iterations == 40]


def test_cycles():
    chosen = np.zeros((2, 320), bool)
    chosen[:, :100] = True
    assert greedy.cycles(64, 40, chosen, chosen).tolist() == [109, 109]
    assert greedy.cycles(64, 160, chosen, chosen & False).tolist() == [186, 186]

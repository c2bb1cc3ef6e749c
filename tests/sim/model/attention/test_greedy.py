"""Model of A3's search: its invariants, its corner cases, and published regularities."""

import numpy as np
import pytest

import rtl
from sim import metrics, model, reference
from sim.data import synthetic
from sim.data.columns import sort
from sim.model.attention import greedy
from sim.model.attention import selection as attention

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
    found = greedy.search(sort(k), q, iterations, min_skip=min_skip)
    assert found.scores.tolist() == by_hand(k, q, iterations, min_skip)
    assert found.products <= 2 * iterations


@pytest.mark.parametrize("min_skip", [False, True])
@pytest.mark.parametrize("high", [1, 3, 127])
def test_queries_of_many_sets_at_once(high, min_skip, monkeypatch):
    """As each alone: ties, zeros, masked keys, sets without a key, extremes; in parts."""
    monkeypatch.setattr(greedy, "CHUNK", 7 * 5 * 11)
    random = np.random.default_rng(high)
    q, k = (random.integers(-high - 1, high + 1, (6, n, 5)) for n in (9, 11))
    live = random.random((6, 11)) < np.array([0.0, 0.3, 0.6, 1.0, 1.0, 1.0])[:, None]
    for iterations in (0, 1, 4, 23, 80, 200):
        found = greedy.search_sets(q, k, live, iterations, min_skip=min_skip)
        for one in np.ndindex(6, 9):
            keys = k[one[0]][live[one[0]]]
            wanted = np.zeros(11, int)
            wanted[live[one[0]]] = by_hand(keys, q[one], iterations, min_skip)
            assert (found.scores[one] == wanted).all(), (one, iterations)


def test_products_are_counted():
    """Two an iteration, where all products are of both signs and none is skipped."""
    columns = sort(np.array([[5, -5], [3, -3], [-4, 4], [-1, 1]]))
    queries = np.array([[1, 1], [1, 0], [0, 0]])
    found = greedy.search(columns, queries, 2, min_skip=False)
    assert found.products.tolist() == [4, 4, 0]
    assert found.scores.tolist() == [[0, 0, 0, 0], [5, 3, -4, -1], [0] * 4]


@pytest.mark.parametrize("seed", range(4))
def test_all_iterations_give_the_dot_products(seed):
    q, k = vectors(seed)
    found = greedy.search(sort(k), q, k.size, min_skip=False)
    assert (found.scores == k @ q).all()


def test_query_of_zeros_finds_nothing():
    q, k = vectors(7)
    scores = greedy.search(sort(k), 0 * q, 100).scores
    assert not scores.any()
    # Then all rows that take part stand in, or the first one.
    live = np.arange(len(k)) >= 3
    assert (greedy.candidates(scores, live) == live).all()
    assert np.flatnonzero(greedy.candidates(scores, live, "first")).tolist() == [3]
    for empty in "all", "first":
        assert not greedy.candidates(scores, np.zeros(len(k), bool), empty).any()


def test_ties_are_sorted_by_row():
    columns = sort(np.array([[2, 1], [2, 1], [-1, 1]]))
    assert columns.rows.tolist() == [[2, 0, 1], [0, 1, 2]]


def test_masked_rows_are_as_good_as_none():
    q, k = vectors(8)
    mask = np.arange(len(k)) >= 15
    masked = greedy.search(sort(k, mask), q, 40).scores
    assert not masked[15:].any()
    assert (masked[:15] == greedy.search(sort(k[:15]), q, 40).scores).all()
    assert not greedy.search(sort(k, mask | True), q, 40).scores.any()


def test_candidates_are_no_more_than_iterations():
    for seed in range(5):
        q, k = vectors(seed, keys=60)
        scores = greedy.search(sort(k), q, 9).scores
        assert (scores > 0).sum() <= 9


def test_post_scoring():
    x, some = np.array([100, 70, 60, 99, 0]), np.array([True, True, True, False, True])
    assert greedy.post_score(x, some, 30).tolist() == [True, True, False, False, False]
    assert greedy.post_score(x, some, 29).tolist() == [True, False, False, False, False]
    assert greedy.post_score(x, some, 100).tolist() == [True, True, True, False, True]
    assert not greedy.post_score(x, some & False, 30).any()


@pytest.mark.parametrize("percent, scale, steps", [(5, 1 / 256, 767), (10, 1 / 256, 589),
                                                   (5, 1 / 32, 96), (100, 1 / 32, 0),
                                                   (1e-9, 1 / 32, 811)])
def test_distance(percent, scale, steps):
    config = Attention.preset("conservative", percent=percent, logit_scale=scale)
    assert config.distance == steps


def test_iterations():
    assert Attention.preset("conservative").iterations == 160
    assert Attention.preset("aggressive").iterations == 40
    assert Attention.preset("aggressive", max_keys=20).iterations == 3
    assert Attention.preset("conservative", dim=8, max_keys=5, iterations_per_key=8).iterations \
        == 40


# The engine's model -----------------------------------------------------------------------------

def engine(**parameters):
    return Attention.preset("conservative", **{"dim": 6, "io_lanes": 2, "max_keys": 23,
                                               **parameters})


def test_without_selection_it_is_dense():
    config = engine(min_skip=False, iterations_per_key=6.0)
    q, k = vectors(9)
    v = np.random.default_rng(9).integers(-99, 99, k.shape)
    # All keys score: everything but the first dimension is 0.
    k[:, 0], q[0] = np.abs(k[:, 0]) + 1, 5
    k[:, 1:] = 0
    found = {"iterations": k.size, "distance": 1023}
    assert attention.candidates(config, q[None], k, iterations=k.size).all()
    assert attention.kept(config, q[None], k, **found).all()
    dense = Attention(dim=6, io_lanes=2, max_keys=23)
    assert (model.run(config, q[None], k, v, **found) == model.run(dense, q[None], k, v)).all()


def test_all_iterations_find_what_is_positive():
    config = engine(min_skip=False, iterations_per_key=6.0)
    for seed in range(4):
        q, k = vectors(seed)
        assert (attention.candidates(config, q[None], k)[0] == (k @ q > 0)).all()


def test_only_what_is_kept_counts():
    config, dense = engine(), Attention(dim=6, io_lanes=2, max_keys=23)
    random = np.random.default_rng(10)
    q, k, v = (random.integers(-99, 99, (n, 6)) for n in (9, 23, 23))
    mask = random.random(23) < 0.3
    chosen = attention.kept(config, q, k, mask)
    assert not chosen[:, mask].any()
    assert (chosen <= attention.candidates(config, q, k, mask)).all()
    outputs = model.run(config, q, k, v, mask=mask)
    for place, row in enumerate(chosen):
        assert (outputs[place] == model.run(dense, q[place:place + 1], k[row], v[row])).all()


def test_leading_axes_and_limits():
    config = engine()
    random = np.random.default_rng(11)
    q, k, v = (random.integers(-99, 99, (3, n, 6)) for n in (5, 23, 23))
    outputs = model.run(config, q, k, v, iterations=4, distance=60)
    assert (outputs[1] == model.run(config, q[1], k[1], v[1], iterations=4, distance=60)).all()
    assert (outputs != model.run(config, q, k, v)).any()


@pytest.mark.parametrize("preset, low, high", [("conservative", 0.29, 0.38),
                                               ("aggressive", 0.10, 0.13)])
@pytest.mark.parametrize("name, beta, errors", [("random", 4, (0.5, 1.3)),
                                                ("cluster", 4, (0.1, 0.25)),
                                                ("needle", 4, (0.2, 0.6)),
                                                ("lowrank", 4, (0.4, 0.9))])
def test_share_of_candidates_hardly_depends_on_the_data(name, beta, errors, preset, low, high):
    q, k, v = synthetic.DATA[name](np.random.default_rng(0), 24, 320, 64, beta)
    config = synthetic.fitted(q, k, v, **Attention.PRESETS[preset])
    integers = synthetic.quantised(config, q, k, v)
    met = attention.candidates(config, *integers[:2]).sum(axis=1).mean()
    assert low < met / 320 < high
    assert config.query_cycles(320, met) == max(config.iterations, met)
    outputs = model.run(config, *integers) * config.output_scale
    exact = reference.attention(q, k, v)
    found = metrics.attention_errors(exact, outputs).relative
    assert found < errors[preset == "aggressive"]
    # Real numbers lose as much: it is the search that costs, not the integers.
    real = reference.greedy_attention(q, k, v, config.iterations, config.percent)
    assert abs(found - metrics.attention_errors(exact, real).relative) < 0.08


def test_reference_with_all_products_is_exact():
    q, k, v = np.random.default_rng(13).normal(size=(3, 8, 5))
    found = reference.greedy_attention(q, k, v, 40, 1e-9, min_skip=False)
    logits = q @ k.T / np.sqrt(5)
    assert np.allclose(found, reference.softmax(logits, logits <= 0) @ v)

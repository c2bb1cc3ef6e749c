"""Estimated work of the attention engine."""

import numpy as np
import pytest

import rtl
from sim.data.columns import sort
from sim.model.attention import greedy
from sim.model.attention.selection import candidates, kept
from sim.report.attention_work import Work, work

Attention = rtl.unit("attention")


def test_work_of_dense_attention():
    q, k = np.zeros((3, 4), int), np.zeros((9, 4), int)
    done = work(Attention(dim=4, io_lanes=4, max_keys=9, lanes=2), q, k)
    assert done == Work(seen=9, kept=9, cycles=5, multiplications=72, terms=0, table_reads=9,
                        memory_bits=9 * 65)
    done = work(Attention(dim=4, io_lanes=4, max_keys=9, causal=True), q, k)
    assert (done.seen, done.kept, done.cycles, done.multiplications) == (2, 2, 2, 16)


def test_work_of_a_prefix():
    config = Attention.preset("predict", dim=4, io_lanes=4, max_keys=40, predictor="prefix",
                              prefix_dims=3)
    q, k = np.random.default_rng(13).integers(-127, 128, (2, 40, 4))
    done, average = work(config, q, k), kept(config, q, k).sum(axis=1).mean()
    # Nothing is multiplied twice, and nothing read twice but the scores.
    assert done.terms == 0 and done.multiplications == 40 * 3 + average * (1 + 4)
    scores = config.predictor_config.score_bits
    assert done.memory_bits == pytest.approx(40 * 25 + average * (9 + 32 + scores))


def test_work_of_reuse():
    config = Attention(reuse=True, dim=8, io_lanes=4, max_keys=40)
    q, k = np.random.default_rng(14).integers(-127, 128, (2, 40, 8))
    leader, reused = work(config, q, k), work(config, q, k, reused=True)
    assert (leader.cycles, reused.cycles) == (40, 20) == (
        config.query_cycles(40), config.reuse_cycles(40))
    assert reused.multiplications == 320 == leader.multiplications / 2
    assert (leader.table_reads, reused.table_reads) == (41, 1)
    # Codes and a sum of 14 bits, written by the one, read by the other; values for two queries.
    assert leader.memory_bits == 40 * (64 + 64 + 1) + 40 * 8 + 14
    assert reused.memory_bits == 40 * 64 / 2 + 40 * 8 + 14
    causal = Attention(reuse=True, dim=8, io_lanes=4, max_keys=40, causal=True)
    done = work(causal, q[:5], k, reused=True)
    assert done.multiplications == 8 * 3 and done.cycles == (8 + 8 + 8) / 5


def test_work_of_predictive_attention():
    config = Attention.preset("predict", dim=4, io_lanes=4, max_keys=40)
    q, k = np.random.default_rng(12).integers(-127, 128, (2, 40, 4))
    done, average = work(config, q, k), kept(config, q, k).sum(axis=1).mean()
    assert done.kept == average and done.cycles == max(5, average)
    assert done.multiplications == 8 * average and done.terms == 160
    assert done.table_reads == average
    # Codes of three bits.
    assert done.memory_bits == average * 65 + 40 * (4 * 3 + 1)
    assert work(config, q, k, np.ones(40, bool)).multiplications == 8


def test_work_of_a_greedy_search():
    config = Attention.preset("conservative", dim=6, io_lanes=2, max_keys=23)
    random = np.random.default_rng(12)
    q, k = random.integers(-99, 99, (9, 6)), random.integers(-99, 99, (23, 6))
    done = work(config, q, k)
    met, stayed = (f(config, q, k).sum(axis=1).mean() for f in (candidates, kept))
    products = np.mean([greedy.search(sort(k), query, 12).products for query in q])
    assert (done.seen, done.candidates, done.kept) == (23, met, stayed)
    assert done.cycles == max(12, met)
    assert done.multiplications == pytest.approx(6 * (met + stayed))
    assert done.terms == pytest.approx(2 * 6 * 6 + products)
    assert done.memory_bits == pytest.approx(49 * met + 48 * stayed + 13 * done.terms)
    blind = work(config, q, k, np.ones(23, bool))
    assert blind.kept == blind.candidates == 0 and blind.multiplications == 6 * 24

"""Figures of the attention engines beside those of an independent model, as a Markdown table."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from rtl import unit

from .. import metrics, model, reference
from ..data import synthetic
from ..model.attention.selection import candidates, kept, predicted
from .tools import largest, table

__all__ = ["EXPECTED", "FEW", "FINE_ENGINES", "TABLES", "Figures", "effective", "few_keys",
           "figures"]


@dataclasses.dataclass(frozen=True)
class Figures:
    """What an engine finds, keeps and loses, averaged over queries; None where nothing is said.

    Attributes
    ----------
    candidates, kept : float
        Shares of the keys.
    mass : float
        Sum of the exact weights of the keys that are kept.
    cosine, relative : float
        As in :class:`~sim.metrics.AttentionErrors`, against float64 attention.
    """

    candidates: float | None = None
    kept: float | None = None
    mass: float | None = None
    cosine: float | None = None
    relative: float | None = None


# The other model predicts from leading ones.
LEADING_ONE = {"select": "predict", "predictor": "leading-one"}

FINE_ENGINES = {
    "dense": {}, "top-k, 40": {**LEADING_ONE, "rule": "top-k", "top_k": 40}, "mean, 2": LEADING_ONE,
    "conservative": unit("attention").PRESETS["conservative"],
    "aggressive": unit("attention").PRESETS["aggressive"]}
"""Engines of :data:`EXPECTED`, as parameters."""

FEW = "fewest for 1 %"
"""Row of :func:`few_keys`."""

EXPECTED = {
    ("random", 1): (195, {
        "conservative": Figures(0.331, 0.251, 0.49, 0.833, 1.01),
        "aggressive": Figures(0.113, 0.072, 0.19, 0.553, 2.5)}),
    ("random", 4): (10, {
        "dense": Figures(relative=0.027), "top-k, 40": Figures(relative=0.036),
        "mean, 2": Figures(kept=0.23, relative=0.027), FEW: Figures(kept=0.213),
        "conservative": Figures(0.327, 0.019, 0.77, 0.931, 0.38),
        "aggressive": Figures(0.113, 0.010, 0.41, 0.590, 1.10)}),
    ("cluster", 2): (11, {
        "dense": Figures(relative=0.006), "top-k, 40": Figures(relative=0.017),
        "mean, 2": Figures(kept=0.10, relative=0.010), FEW: Figures(kept=0.078),
        "conservative": Figures(0.325, 0.044, 0.91, 0.9985, 0.045),
        "aggressive": Figures(0.112, 0.024, 0.65, 0.971, 0.19)}),
    ("cluster", 4): (5, {
        FEW: Figures(kept=0.050),
        "conservative": Figures(0.311, 0.019, 0.93, 0.9991, 0.037),
        "aggressive": Figures(0.109, 0.012, 0.76, 0.980, 0.16)}),
    ("needle", 4): (1.2, {
        "dense": Figures(relative=0.016), "top-k, 40": Figures(relative=0.013),
        "mean, 2": Figures(kept=0.09, relative=0.010), FEW: Figures(kept=0.019),
        "conservative": Figures(0.328, 0.004, 0.97, 0.979, 0.043),
        "aggressive": Figures(0.113, 0.004, 0.78, 0.795, 0.31)}),
    ("lowrank", 4): (17, {
        "dense": Figures(relative=0.035), "top-k, 40": Figures(relative=0.083),
        "mean, 2": Figures(relative=0.048), FEW: Figures(kept=0.403),
        "conservative": Figures(0.359, 0.030, 0.84, 0.996, 0.22),
        "aggressive": Figures(0.120, 0.015, 0.69, 0.928, 0.57)}),
}
"""Effective keys, and figures of engines, that another model found in data of the same kinds.

By kind and beta, 320 keys of 64. It has elements of 8 bits (A3: sign, 4 and 4 bits), but a softmax
and outputs that are more exact than the default configuration's.
"""


def _drawn(name, beta, seeds, queries):
    for seed in seeds:
        yield synthetic.DATA[name](np.random.default_rng(seed), queries, 320, 64, beta)


def figures(name: str, beta: float, seeds: Iterable[int] = range(4), queries: int = 50,
            **parameters: object) -> Figures:
    """Figures of an engine of :func:`~sim.data.synthetic.fine`, over sets of 320 keys of 64."""
    rows = []
    for q, k, v in _drawn(name, beta, seeds, queries):
        config = synthetic.fine(q, k, v, **parameters)
        integers = synthetic.quantised(config, q, k, v)
        chosen = kept(config, *integers[:2])
        found = (candidates(config, *integers[:2]) if config.select == "greedy"
                 else np.ones(chosen.shape))
        e = metrics.attention_errors(reference.attention(q, k, v),
                                     model.run(config, *integers) * config.output_scale)
        rows.append((found.mean(), chosen.mean(),
                     (reference.softmax(q @ k.T / 8) * chosen).sum(axis=1).mean(),
                     e.cosine, e.relative))
    return Figures(*np.mean(rows, axis=0).tolist())


def effective(name: str, beta: float, seeds: Iterable[int] = range(4),
              queries: int = 50) -> float:
    """Effective keys of exact attention, over sets of 320 keys of 64."""
    return float(np.mean([synthetic.effective_keys(reference.softmax(q @ k.T / 8))
                          for q, k, _ in _drawn(name, beta, seeds, queries)]))


def few_keys(name: str, beta: float, seeds: Iterable[int] = range(4),
             queries: int = 50) -> float:
    """Share of the keys, the best by leading ones, that costs attention of integers 1 %."""
    shares = []
    for q, k, v in _drawn(name, beta, seeds, queries):
        config = synthetic.fine(q, k, v, **LEADING_ONE)
        codes = synthetic.quantised(config, q, k, v)
        q, k, v = (x * scale for x, scale in zip(
            codes, (config.query_scale, config.key_scale, config.value_scale), strict=True))
        exact, scores = reference.attention(q, k, v), predicted(config, *codes[:2])

        def within(count, q=q, k=k, v=v, exact=exact, scores=scores):
            hidden = ~largest(scores, np.full(len(q), count))
            y = reference.softmax(q @ k.T / 8, hidden) @ v
            return metrics.attention_errors(exact, y).relative <= 0.01

        shares.append(next(count for count in range(1, 321) if within(count)) / 320)
    return float(np.mean(shares))


def expected() -> str:
    """Figures of fine engines beside those that were to be expected, 200 queries."""
    def cell(value, wanted, digits, percent=False):
        # Without a search all keys are candidates, and without any selection all are kept.
        if value is None or value == 1:
            return ""
        factor, unit_of_it = (100, " %") if percent else (1, "")
        text = f"{factor * value:.{digits}f}{unit_of_it}"
        return text if wanted is None else f"{text} ({factor * wanted:.4g}{unit_of_it})"

    rows = []
    for (name, beta), (keys, engines) in EXPECTED.items():
        for engine, wanted in engines.items():
            have = (Figures(kept=few_keys(name, beta)) if engine == FEW
                    else figures(name, beta, **FINE_ENGINES[engine]))
            rows.append((f"{name}, {beta}", f"{effective(name, beta):.1f} ({keys})", engine, *(
                cell(getattr(have, field), getattr(wanted, field), *form) for field, *form in (
                    ("candidates", 1, True), ("kept", 1, True), ("mass", 0, True), ("cosine", 4),
                    ("relative", 3)))))
    return table(("data, beta", "effective keys", "engine", "candidates", "kept",
                  "softmax mass kept", "cosine", "error"), rows)


TABLES = {"attention-expected": expected}

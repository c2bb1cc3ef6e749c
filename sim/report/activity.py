"""Table of the switching activity of attention engines, on a head of a real Transformer."""

from __future__ import annotations

import pathlib
import tempfile

import numpy as np

from rtl import UnitConfig

from ..bench.attention import AttentionJob
from ..data import synthetic
from ..runner import Design, Simulation
from . import switching as activity
from .attention import captured_head, key_sets
from .tools import table

__all__ = ["TABLES", "attention", "toggles"]

# Queries of a short and of a long run. What the longer one has more is that of the queries alone,
# without the loading of keys and values.
FEW, MANY = 8, 24


def toggles(config: UnitConfig, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> activity.Activity:
    """Return the activity per query (:class:`sim.report.switching.Activity`, of real numbers)."""
    design = Design.of(config)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        simulation = Simulation(design, "verilator", folder, waves=True)
        for count in FEW, MANY:
            job = AttentionJob(config, key_sets(config, [(q[:count], k, v)]), 0, "core",
                               design.latency)
            result, = simulation.run(job, ["sets_back_to_back"])
            if result.failure:
                raise RuntimeError(result.failure)
            found.append(activity.measure(design, pathlib.Path(folder, "dump.vcd")))
    few, many = found
    queries = MANY - FEW
    return activity.Activity((many.toggles - few.toggles) / queries,
                             (many.loaded - few.loaded) / queries)


def attention() -> str:
    """Return the table: toggles per query of each engine, same queries of a captured head."""
    keys = len(captured_head()[1])
    variants = [
        ("dense", False, {}),
        ("leading-one, mean", False, {"select": "predict"}),
        ("leading-one, top eighth", False,
         {"select": "predict", "rule": "top-k", "top_k": keys // 8}),
        ("prefix of 8, top eighth", True,
         {"select": "predict", "predictor": "prefix", "rule": "top-k", "top_k": keys // 8}),
        ("A3, conservative", False, {"select": "greedy", "iterations_per_key": 0.5,
                                     "percent": 5.0}),
        ("A3, aggressive", False, {"select": "greedy", "iterations_per_key": 0.125,
                                   "percent": 10.0}),
    ]
    rows, base = [], None
    for title, turned, parameters in variants:
        q, k, v = captured_head(turned)
        config = synthetic.fitted(q, k, v, **parameters)
        found = toggles(config, *synthetic.quantised(config, q, k, v))
        base = base or found
        rows.append((title, f"{found.toggles:,.0f}", f"{100 * found.toggles / base.toggles:.0f} %",
                     f"{found.loaded:,.0f}", f"{100 * found.loaded / base.loaded:.0f} %"))
    return table(("engine", "toggles per query", "of dense", "with their loads", "of dense"), rows)


TABLES = {"attention-activity": attention}

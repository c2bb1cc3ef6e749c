"""Measured tables of selections with several keys a cycle, as Markdown."""

import numpy as np

from rtl.attention.kept_keys import KeptKeys
from rtl.attention.predict.prediction import Prediction
from rtl.emit import synthesis, verilog

from ..data import captured, sample, synthetic
from ..model.attention.places import beats
from ..model.attention.selection import selected
from .attention_work import work
from .tools import table

__all__ = ["TABLES"]

LANES = (2, 4, 8)

CAPTURED = (("top-k, 22", {"select": "predict", "rule": "top-k", "top_k": 22}),
            ("top-k, 45", {"select": "predict", "rule": "top-k", "top_k": 45}),
            ("mean, 2", {"select": "predict"}),
            ("A3, conservative", {"select": "greedy"}),
            ("A3, aggressive", {"select": "greedy", "iterations_per_key": 0.125, "percent": 10.0}))

COSTS = tuple({"select": "predict", "rule": "top-k", "top_k": 40, "lanes": lanes,
               "predict_lanes": predicted} for lanes, predicted in (
                   (1, 8), (2, 8), (2, 16), (4, 8), (4, 32), (3, 16)))


def kept_beats() -> str:
    """Beats of the exact stages per query of captured heads, by how kept keys are handed out."""
    rows = []
    for name, parameters in CAPTURED:
        found = []
        for head in captured.load_heads(sample("heads")):
            vectors = head.real()
            config = synthetic.fitted(*vectors, **parameters)
            met, _ = selected(config, *synthetic.quantised(config, *vectors)[:2])
            number = met.sum(axis=1)
            found.append([number.mean(), *(figure.mean() for lanes in LANES for figure in (
                _words(met, lanes), beats(lanes, met), np.ceil(number / lanes)))])
        one, *others = np.mean(found, axis=0)
        rows.append((name, f"{one:.1f}", *(" / ".join(f"{x:.1f}" for x in others[at:at + 3])
                                           for at in range(0, len(others), 3))))
    return table(("selection", "kept keys", *(f"lanes {lanes}" for lanes in LANES)), rows)


def _words(met, lanes):
    """Words of neighbours with a key that is met."""
    pad = -met.shape[1] % lanes
    return np.pad(met, ((0, 0), (0, pad))).reshape(len(met), -1, lanes).any(axis=2).sum(axis=1)


def cost() -> str:
    """Cycles of a query, and area and delay of what hands out its keys."""
    q, k, v = synthetic.DATA["random"](np.random.default_rng(0), 128, 320, 64, 4)
    rows = []
    for parameters in COSTS:
        config = synthetic.fitted(q, k, v, **parameters)
        done = work(config, *synthetic.quantised(config, q, k, v)[:2])
        f = synthesis.measure(verilog.of_components({"hand_out": KeptKeys(
            config.predict_lanes, config.lanes, config.max_keys,
            Prediction.rows_of(config) * config.predict_words, memory="auto")}), "hand_out")
        rows.append((config.lanes, config.predict_lanes, f"{done.cycles:.1f}",
                     f"{320 / done.cycles:.1f}", f.lut, f.ff, f"{f.bram:g}",
                     f"{f.delay_ps / 1000:.2f}"))
    return table(("lanes", "predict_lanes", "cycles per query", "times dense with one lane",
                  "hand-out: LUT", "FF", "BRAM36", "logic delay, ns"), rows)


TABLES = {"attention-lanes": kept_beats, "attention-lanes-cost": cost}

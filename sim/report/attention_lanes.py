"""Measured tables of selections with several keys a cycle, as Markdown."""

import numpy as np

from rtl import unit

from ..data import captured, sample, synthetic
from ..model.attention.places import beats
from ..model.attention.selection import selected
from .attention_work import work
from .tools import cores, table

__all__ = ["TABLES"]

LANES = (2, 4, 8)

CAPTURED = (("top-k, 22", {"select": "predict", "rule": "top-k", "top_k": 22}),
            ("top-k, 45", {"select": "predict", "rule": "top-k", "top_k": 45}),
            ("mean, 2", {"select": "predict"}),
            ("A3, conservative", {"select": "greedy"}),
            ("A3, aggressive", {"select": "greedy", "iterations_per_key": 0.125, "percent": 10.0}))

TOP = {"select": "predict", "predictor": "octave", "rule": "top-k", "top_k": 40}
COSTS = tuple({**TOP, "lanes": lanes, "predict_lanes": 8 * lanes} for lanes in (1, 2, 4))


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
    """Area and delay of the core, and cycles of a query, with several keys a cycle."""
    q, k, v = synthetic.DATA["random"](np.random.default_rng(0), 128, 320, 64, 4)
    configs = [unit("attention")(**parameters) for parameters in COSTS]
    rows = []
    for parameters, config, f in zip(COSTS, configs, cores(configs), strict=True):
        own = synthetic.fitted(q, k, v, **parameters)
        done = work(own, *synthetic.quantised(own, q, k, v)[:2])
        name = (f"top eighth, {config.predict_lanes} predicted a cycle"
                if config.select == "predict" else "dense")
        rows.append((name, config.lanes, f"{done.cycles:.1f}", f"{320 / done.cycles:.1f}", f.lut,
                     f.ff, f.dsp, f"{f.bram:g}", f"{f.delay_ps / 1000:.2f}"))
    return table(("engine", "lanes", "cycles per query", "times dense", "LUT", "FF", "DSP",
                  "BRAM36", "logic delay, ns"), rows)


TABLES = {"attention-lanes": kept_beats, "attention-lanes-cost": cost}

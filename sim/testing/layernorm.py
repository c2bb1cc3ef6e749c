"""LayerNorm units in Amaranth's own simulator, with loads of parameters between the rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from amaranth.lib import wiring

from rtl.layernorm.config import LayerNormConfig

from .. import model
from ..bench.jobs import load_beats
from .pysim import ends_of, exchange, row_beats, rows_of

__all__ = ["simulate"]


def simulate(config: LayerNormConfig, rows: Sequence[np.ndarray], *, gaps: float = 0.0,
             stalls: float = 0.0, seed: int = 0, loads: Sequence[LayerNormConfig] = (),
             load_gaps: float = 0.0, ignore_short: bool = False,
             dut: wiring.Component | None = None) -> dict[str, object]:
    """Stream rows through a unit, and loads meanwhile, and compare with the model.

    Parameters
    ----------
    config : LayerNormConfig
        Configuration of the unit.
    rows : sequence of integer arrays
        Rows.
    gaps, stalls : float
        Probability of a cycle without an input beat, and without output ready.
    loads : sequence of LayerNormConfig
        Configs whose parameters are loaded, one after the other.
    load_gaps : float
        Probability of a cycle without a beat of a load.
    ignore_short : bool
        Rows shorter than the unit takes are allowed, and what comes of them does not matter, if it
        is as many elements.

    Returns
    -------
    dict
        ``mismatches``: wrong elements; ``latency``: that of each row; ``cycles``: from the first
        beat accepted to the last one out; ``loaded``: number of the load that each row was to be
        normalised with, 0 before the first; ``error``: the unit's.
    """
    sent = {"i": row_beats(config, rows, None, seed)}
    if loads:
        sent["load"] = [beat for other in loads for beat in load_beats(other)]
    traffic = exchange(dut or config.create(), sent, len(rows), stalls=stalls, seed=seed,
                       gaps={"i": gaps, "load": load_gaps}, patience=1000 + 4 * config.max_length)
    starts, ends = ends_of(sent["i"], traffic.cycles["i"])
    firsts, _ = ends_of(traffic.beats, traffic.cycles["o"])
    _, loaded = ends_of(sent.get("load", ()), traffic.cycles.get("load", ()))
    configs = [config, *loads]
    # A load holds for the rows that begin after its last beat.
    numbers = [int(np.searchsorted(loaded, start, "left")) for start in starts]
    mismatches = 0
    for row, number, got in zip(rows, numbers, rows_of(traffic.beats, config.lanes), strict=True):
        short = ignore_short and len(row) < config.least_length
        expected = (np.array(got, np.int64) if short and len(got) == len(row)
                    else model.run(configs[number], np.asarray(row)))
        mismatches += (np.count_nonzero(expected != got) if len(got) == len(expected)
                       else len(expected))
    return {"mismatches": mismatches, "latency": [b - a for a, b in zip(ends, firsts, strict=True)],
            "cycles": traffic.cycles["o"][-1] - starts[0], "loaded": numbers,
            "error": traffic.error}

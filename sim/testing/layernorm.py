"""LayerNorm units in Amaranth's own simulator, with loads of parameters between the rows."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from amaranth.sim import Simulator

from rtl.layernorm.config import LayerNormConfig

from .. import model
from ..stimuli.layernorm import load_beats

__all__ = ["simulate"]


def simulate(config: LayerNormConfig, rows: Sequence[np.ndarray], *, gaps: float = 0.0,
             stalls: float = 0.0, seed: int = 0, loads: Sequence[LayerNormConfig] = (),
             load_gaps: float = 0.0, ignore_short: bool = False) -> dict:
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
    rng = random.Random(seed)
    unit, lanes = config.create(), config.lanes
    low, high = config.raw_range
    outputs: list[list[int]] = [[]]
    starts, ends, firsts, loaded = [], [], [], []
    last_out = error = 0

    async def source(ctx):
        for row in rows:
            for start in range(0, len(row), lanes):
                while rng.random() < gaps:
                    await ctx.tick()
                part = [int(value) for value in row[start:start + lanes]]
                ctx.set(unit.i.payload, {
                    "data": part + [rng.randint(low, high) for _ in range(lanes - len(part))],
                    "keep": (1 << len(part)) - 1, "last": start + lanes >= len(row)})
                ctx.set(unit.i.valid, 1)
                await ctx.tick().until(unit.i.ready)
                ctx.set(unit.i.valid, 0)

    async def loader(ctx):
        for other in loads:
            for beat in load_beats(other):
                while rng.random() < load_gaps:
                    await ctx.tick()
                ctx.set(unit.load.payload, beat)
                ctx.set(unit.load.valid, 1)
                await ctx.tick().until(unit.load.ready)
                ctx.set(unit.load.valid, 0)

    async def sink(ctx):
        nonlocal last_out, error
        cycle, begins, opens = 0, True, True
        load = [unit.load.valid, unit.load.ready, unit.load.payload.last] if config.loaded else []
        while len(outputs) <= len(rows):
            ctx.set(unit.o.ready, rng.random() >= stalls)
            values = await ctx.tick().sample(
                unit.o.valid, unit.o.ready, unit.o.payload, unit.i.valid, unit.i.ready,
                unit.i.payload.last, unit.error, *load)
            valid, ready, beat, i_valid, i_ready, i_last, error = values[2:9]
            cycle += 1
            assert cycle < 5000 + 100 * sum(map(len, rows)), "the unit hangs"
            if i_valid and i_ready:
                if begins:
                    starts.append(cycle)
                begins = bool(i_last)
                if i_last:
                    ends.append(cycle)
            if load and all(values[9:]):
                loaded.append(cycle)
            if valid and ready:
                if opens:
                    firsts.append(cycle)
                opens = bool(beat.last)
                # An output of a lane that is not kept must be 0; another one shows.
                outputs[-1] += [beat.data[k] for k in range(lanes)
                                if beat.keep >> k & 1 or beat.data[k]]
                last_out = cycle
                if beat.last:
                    outputs.append([])

    simulator = Simulator(unit)
    simulator.add_clock(1e-6)
    for bench in source, sink, *([loader] if loads else []):
        simulator.add_testbench(bench, background=bench is not sink)
    simulator.run()

    configs = [config, *loads]
    # A load holds for the rows that begin after its last beat.
    numbers = [int(np.searchsorted(loaded, start, "left")) for start in starts]
    mismatches = 0
    for row, number, got in zip(rows, numbers, outputs[:-1], strict=True):
        short = ignore_short and len(row) < config.least_length
        expected = (np.array(got, np.int64) if short and len(got) == len(row)
                    else model.run(configs[number], np.asarray(row)))
        mismatches += (np.count_nonzero(expected != got) if len(got) == len(expected)
                       else len(expected))
    return {"mismatches": mismatches, "latency": [b - a for a, b in zip(ends, firsts, strict=True)],
            "cycles": last_out - starts[0], "loaded": numbers, "error": error}

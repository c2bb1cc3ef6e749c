"""Table of area and delay of the attention engine, as Markdown."""

from __future__ import annotations

from rtl import unit

from .figures import cores, shells
from .tools import table

__all__ = ["COSTS", "TABLES", "cost"]

# XC7Z035: LUT, flip-flops, DSP blocks, block RAMs of 36 Kib (DS190).
DEVICE = {"lut": 171900, "ff": 343800, "dsp": 900, "bram": 500}

_PREDICT = {"select": "predict"}
_LEADING_ONE = {**_PREDICT, "predictor": "leading-one"}
_PREFIX = {**_PREDICT, "predictor": "prefix"}
_RESIDENT = {"store": "resident", "sets": 8, "causal": True}
_EVERY = {**_RESIDENT, "scales": "run-time", "heads": 12, "window": 128, "sinks": 4, "chunk": 16}
_ONLINE = {"datapath": "online"}

#: The engines, by the parameters that are not the default's.
COSTS: tuple[dict[str, object], ...] = (
    {}, {"scales": "run-time"}, {"lanes": 2}, {"lanes": 4}, {"causal": True}, {"dim": 32},
    {"softmax": "softmax-split:paper"}, _ONLINE, {**_ONLINE, "lanes": 4},
    _RESIDENT, {**_RESIDENT, "lanes": 4}, _EVERY, {**_EVERY, "lanes": 4},
    {**_EVERY, **_ONLINE}, {**_EVERY, **_ONLINE, "lanes": 4},
    _PREDICT, {**_PREDICT, "rule": "threshold"}, {**_PREDICT, "rule": "top-k"},
    _PREFIX, {**_PREFIX, "rule": "top-k"}, _LEADING_ONE, {**_LEADING_ONE, "rule": "top-k"},
    {**_PREDICT, "predictor": "sign"}, {**_PREDICT, "predictor": "4-bit"},
    {"select": "greedy"}, {"select": "greedy", "sort": "host"}, {"reuse": True})


def cost() -> str:
    """Return the table: area with the share of the device, delay, latency of one key."""
    configs = [unit("attention")(**parameters) for parameters in COSTS]
    rows = []
    for parameters, config, f, shell in zip(COSTS, configs, cores(configs), shells(configs),
                                            strict=True):
        shares = [f"{getattr(f, figure):g} ({100 * getattr(f, figure) / total:.1f} %)"
                  for figure, total in DEVICE.items()]
        name = ", ".join(f"{n} {x}" for n, x in parameters.items()) or "default"
        rows.append((name, *shares, shell.lut, f"{f.delay_ps / 1000:.2f}", config.latency))
    return table(("engine", "LUT", "FF", "DSP", "BRAM36", "LUT with the shell",
                  "logic delay, ns", "latency of one key, cycles"), rows)


TABLES = {"attention-cost": cost}

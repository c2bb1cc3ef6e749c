"""Table of what to buy: cycles, switching activity, area and errors of attention engines."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile

import numpy as np

from rtl import UnitConfig, unit

from .. import metrics, model, reference
from ..bench.attention import AttentionJob
from ..data import synthetic
from ..runner import Design, Simulation
from . import switching
from .attention import captured_head, captured_heads, key_sets
from .figures import cores
from .tools import table

__all__ = ["ENGINES", "TABLES", "Engine", "Query", "buy", "errors", "measured"]

# Queries of a short and of a long run. What the longer one has more is that of the queries alone,
# without the loading of keys and values.
FEW, MANY = 8, 24


@dataclasses.dataclass(frozen=True)
class Engine:
    """A row of the table."""

    #: Name in the table.
    title: str
    #: Parameters of the configuration.
    parameters: dict[str, object] = dataclasses.field(default_factory=dict)
    #: One key of so many stays, the best; 0 where a rule or a search decides.
    part: int = 0
    #: Whether Q and K are in the basis that was calibrated for each head.
    turned: bool = False

    def config(self, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> UnitConfig:
        """Return the configuration with scales that fit a head."""
        top = {"rule": "top-k", "top_k": len(k) // self.part} if self.part else {}
        return synthetic.fitted(q, k, v, **self.parameters, **top)


_OCTAVE = {"select": "predict"}
_PREFIX = {**_OCTAVE, "predictor": "prefix"}

#: Those of about equal cycles stand together; shares are of the first one.
ENGINES: tuple[Engine, ...] = (
    Engine("dense, 1 lane"),
    Engine("dense, 2 lanes", {"lanes": 2}),
    Engine("`octave`, top half", _OCTAVE, 2),
    Engine("A3, conservative", {**unit("attention").PRESETS["conservative"]}),
    Engine("dense, 4 lanes", {"lanes": 4}),
    Engine("`octave`, top half, 2 lanes", {**_OCTAVE, "lanes": 2}, 2),
    Engine("`octave`, top quarter", _OCTAVE, 4),
    Engine("`prefix` of 8, top quarter", _PREFIX, 4, turned=True),
    Engine("dense, 8 lanes", {"lanes": 8}),
    Engine("`octave`, top quarter, 2 lanes", {**_OCTAVE, "lanes": 2}, 4),
    Engine("`octave`, top eighth", _OCTAVE, 8),
    Engine("`prefix` of 8, top eighth", _PREFIX, 8, turned=True),
    Engine("A3, aggressive", {**unit("attention").PRESETS["aggressive"]}),
)


@dataclasses.dataclass(frozen=True)
class Query:
    """What a query takes in an engine that is full, simulated."""

    #: Cycles from one query to the next.
    cycles: float
    #: Toggles of registers and memory outputs, each with its loads.
    activity: float


def measured(config: UnitConfig, q: np.ndarray, k: np.ndarray, v: np.ndarray,
             store: str | None = None) -> Query:
    """Return what a query takes of one set; the outputs are compared with the model's.

    ``store`` as of :class:`~sim.runner.Simulation`.
    """
    design = Design.of(config)
    cycles, toggles = [], []
    with tempfile.TemporaryDirectory() as folder:
        simulation = Simulation(design, "verilator", folder, store=store, waves=True)
        for count in FEW, MANY:
            job = AttentionJob(config, key_sets(config, [(q[:count], k, v)]), 0, "core",
                               design.latency)
            result, = simulation.run(job, ["sets_back_to_back"])
            if result.failure:
                raise RuntimeError(result.failure)
            cycles.append(result.cycles)
            toggles.append(switching.measure(design, pathlib.Path(folder, "dump.vcd")).loaded)
    return Query(*((many - few) / (MANY - FEW) for few, many in (cycles, toggles)))


def errors(engine: Engine) -> tuple[float, float]:
    """Return the relative error of an engine's outputs on the captured heads: mean and worst."""
    found = []
    for exact, vectors in zip(captured_heads(), captured_heads(engine.turned),
                              strict=True):
        config = engine.config(*vectors)
        y = model.run(config, *synthetic.quantised(config, *vectors)) * config.output_scale
        found.append(metrics.attention_errors(reference.attention(*exact), y).relative)
    return float(np.mean(found)), max(found)


def buy() -> str:
    """Return the table: one captured head for cycles, activity and area, all heads for errors."""
    vectors = [captured_head(engine.turned) for engine in ENGINES]
    configs = [engine.config(*head) for engine, head in zip(ENGINES, vectors, strict=True)]
    with tempfile.TemporaryDirectory() as store:
        queries = [measured(config, *synthetic.quantised(config, *head), store)
                   for config, head in zip(configs, vectors, strict=True)]
    rows, first = [], queries[0]
    for engine, query, area in zip(ENGINES, queries, cores(configs), strict=True):
        mean, worst = errors(engine)
        rows.append((engine.title, f"{query.cycles:.1f}", f"{query.activity / 1000:,.0f}",
                     f"{100 * query.activity / first.activity:.0f} %", area.lut, area.dsp,
                     f"{area.bram:g}", f"{mean:.3f}", f"{worst:.3f}"))
    return table(("engine", "cycles per query", "activity per query, thousands", "of dense", "LUT",
                  "DSP", "BRAM36", "error", "error of the worst head"), rows)


TABLES = {"attention-buy": buy}

"""Tests of LayerNorm units whose parameters are loaded, under load and under traffic.

Run inside the simulator by :mod:`sim.runner`, once for each :class:`LoadJob`; see
:mod:`sim.bench.bench`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import cocotb
import numpy as np

from rtl.config import UnitConfig
from rtl.layernorm.config import LayerNormConfig

from ..stimuli.layernorm import load_beats
from .bench import Bench, require, tests_of
from .row_unit import differences
from .rows import Rows
from .stream import Sink, Source, Stall, gaps, stalls

__all__ = ["LoadJob"]


@dataclasses.dataclass(frozen=True, eq=False)
class LoadJob:
    """What a simulation is given.

    Attributes
    ----------
    config : LayerNormConfig
        Configuration of the unit, ``channel_parameters="loaded"``.
    loads : list of LayerNormConfig
        Configs whose parameters are loaded, in this order.
    rows : Rows
        Input rows.
    expected : int64 array (1 + loads, elements)
        Output for each element of ``rows.values``, with the config's own parameters first.
    seed : int
        Seed of all that is random in the bench.
    """

    config: LayerNormConfig
    loads: list[LayerNormConfig]
    rows: Rows
    expected: np.ndarray
    seed: int = 0

    #: Ports of the design.
    ports = "core"

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the job to an ``.npz`` file."""
        np.savez(path, configs=[config.to_json() for config in (self.config, *self.loads)],
                 values=self.rows.values, lengths=self.rows.lengths, seed=self.seed,
                 names=np.array(self.rows.names, dtype=np.str_), expected=self.expected)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> LoadJob:
        """Read the job of an ``.npz`` file."""
        with np.load(path, allow_pickle=False) as content:
            config, *loads = [UnitConfig.from_json(str(text)) for text in content["configs"]]
            values = content["values"]
            rows = Rows(values, np.zeros(len(values), bool), content["lengths"],
                        [str(name) for name in content["names"]])
            return cls(config, loads, rows, content["expected"], int(content["seed"]))


class _Bench(Bench):
    """The design with its clock, its streams and the job's rows."""

    JOB = LoadJob

    def __init__(self, dut, test: str) -> None:
        super().__init__(dut, test)
        self.i, self.load, self.o = self.ports.values()

    async def restart(self) -> None:
        """Reset the design and load the config's own parameters, which a reset does not bring."""
        await self.reset()
        await Source(self.clock, self.load).run(self.beats_of(self.config))

    def beats_of(self, config: LayerNormConfig) -> list[str]:
        """Beats that load a config's parameters."""
        beats = load_beats(config)
        return self.load.format.encode(np.array([beat["data"] for beat in beats], np.int64), None,
                                       np.array([beat["last"] for beat in beats]))

    async def exchange(self, loads: Sequence[str], *, pauses: float = 0.0, load_pauses: float = 0.0,
                       stall: Stall | None = None, ignored: bool = False) -> np.ndarray:
        """Send the job's rows and beats of loads side by side, and compare what comes out.

        A load holds for the rows that begin after its last beat, unless it is to be ``ignored``.
        Returns the cycles in which the input beats were accepted.
        """
        rows, config = self.job.rows, self.config
        beats = self.i.format.from_rows(rows, self.random)
        source, loader, sink = (Source(self.clock, self.i), Source(self.clock, self.load),
                                Sink(self.clock, self.o))
        tasks = [cocotb.start_soon(source.run(beats, gaps(self.random, len(beats), pauses))),
                 cocotb.start_soon(loader.run(loads, gaps(self.random, len(loads), load_pauses)))]
        patience = 40 * (2 * config.max_beats + config.latency + 16)
        await sink.run(len(beats), stall=stall, patience=patience)
        await sink.quiet(4 * config.max_beats + config.latency)
        for task in tasks:
            if not task.done():
                # A last load waits for a row that never comes.
                task.cancel()
        counts = rows.beats(config.lanes)
        accepted = np.array(source.accepted)
        starts = accepted[np.cumsum(counts) - counts]
        ends = [cycle for cycle, beat in zip(loader.accepted, loads, strict=False)
                if beat[0] == "1" and not ignored]
        number = np.searchsorted(ends, starts, "left")
        values = self.job.expected[np.repeat(number, rows.lengths), np.arange(len(rows.values))]
        outputs = dataclasses.replace(rows, values=values)
        mismatches, difference = differences(self.o.format, outputs,
                                             self.o.format.from_rows(outputs), sink.beats)
        self.report["outputs"] += len(values)
        self.report["mismatches"] += mismatches
        self.report["beats"] += len(beats)
        self.report["cycles"] += sink.cycles[-1]
        require(not difference, difference)
        self.loaded = number
        return accepted


_test = tests_of(_Bench)


def _all_loads(bench: _Bench) -> list[str]:
    return [beat for config in bench.job.loads for beat in bench.beats_of(config)]


@_test
async def rows_without_loads(bench):
    """The config's own parameters hold until a load; the first test, as no reset restores them."""
    await bench.exchange([])
    require(not bench.loaded.any(), "a load was taken")
    bench.error(0)


@_test
async def loads_back_to_back(bench):
    """Loads and rows without gaps: exact, and not one input beat waits for a load."""
    await bench.restart()
    accepted = await bench.exchange(_all_loads(bench))
    require((np.diff(accepted) == 1).all() or bench.config.variable, "an input beat had to wait")
    require(bench.loaded[-1] == len(bench.job.loads), "not all loads were taken")
    bench.error(0)


@_test
async def loads_with_gaps_and_stalls(bench):
    """Gaps and stalls everywhere: exact."""
    await bench.restart()
    pauses, load_pauses, stall = bench.random.choice([0.1, 0.4, 0.7], 3)
    await bench.exchange(_all_loads(bench), pauses=pauses, load_pauses=load_pauses,
                         stall=stalls(bench.random, stall))
    bench.error(0)


@_test
async def loads_of_wrong_length(bench):
    """A load that is too short or too long raises ``error`` and changes nothing."""
    whole = bench.beats_of(bench.job.loads[0])
    longer = ["0" + beat[1:] for beat in whole] + whole
    shorter = whole[1:]
    for wrong in longer, longer[:1] + longer, shorter:
        if wrong:
            await bench.restart()
            await bench.exchange(wrong, ignored=True)
            bench.error(1)

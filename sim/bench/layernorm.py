"""Tests of LayerNorm units whose parameters are loaded, under load and under traffic.

Run inside the simulator by :mod:`sim.runner`, once for each
:class:`~sim.bench.jobs.LoadJob`; see :mod:`sim.bench.bench`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from rtl.layernorm.config import LayerNormConfig

from .bench import Bench, tests_of
from .compare import places_of_rows, require
from .jobs import LoadJob, load_beats
from .stream import Source, Stall, gaps, stalls

__all__: list[str] = []


class _Bench(Bench):
    """The design with its clock, its streams and the job's rows."""

    JOB = LoadJob

    def __init__(self, dut, test: str) -> None:
        super().__init__(dut, test)
        self.i, self.load, self.o = self.ports.values()

    @property
    def patience(self) -> int:
        """Two rows of full length are on their way."""
        return 2 * self.config.max_beats + self.job.latency + 16

    async def restart(self) -> None:
        """Reset the design and load the config's own parameters, which a reset does not bring."""
        await self.reset()
        await Source(self.clock, self.load).run(self.beats_of(self.config))

    def beats_of(self, config: LayerNormConfig) -> list[str]:
        """Return the beats that load a config's parameters."""
        beats = load_beats(config)
        return self.load.format.encode(np.array([beat["data"] for beat in beats], np.int64), None,
                                       np.array([beat["last"] for beat in beats]))

    async def exchange(self, loads: Sequence[str], *, pauses: float = 0.0, load_pauses: float = 0.0,
                       stall: Stall | None = None, ignored: bool = False) -> np.ndarray:
        """Send the job's rows and beats of loads side by side, and compare what comes out.

        A load holds for the rows that begin after its last beat, unless it is to be ``ignored``.
        Returns the cycles in which the input beats were accepted.
        """
        rows, lanes = self.job.loads.rows, self.config.lanes
        beats = self.i.format.from_rows(rows, self.random)
        # A last load waits for a row that never comes.
        done = await self.transfer(
            {"i": beats, "load": loads}, len(beats), leftover=["load"], stall=stall,
            patience=40 * self.patience,
            pauses={"i": gaps(self.random, len(beats), pauses),
                    "load": gaps(self.random, len(loads), load_pauses)})
        self.report["beats"] += len(beats)
        counts, accepted = rows.beats(lanes), done.accepted["i"]
        require(len(accepted) == len(beats), done.failure)
        starts = accepted[np.cumsum(counts) - counts]
        ends = [cycle for cycle, beat in zip(done.accepted["load"], loads, strict=False)
                if beat[0] == "1" and not ignored]
        self.loaded = np.searchsorted(ends, starts, "left")
        values = self.job.expected[np.repeat(self.loaded, rows.lengths),
                                   np.arange(len(rows.values))]
        outputs = dataclasses.replace(rows, values=values)
        self.compare(done, self.o.format.from_rows(outputs), places_of_rows(outputs, lanes),
                     len(values))
        return accepted


_test = tests_of(_Bench)


def _all_loads(bench: _Bench) -> list[str]:
    return [beat for config in bench.job.loads.configs for beat in bench.beats_of(config)]


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
    require(bench.loaded[-1] == len(bench.job.loads.configs), "not all loads were taken")
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
    whole = bench.beats_of(bench.job.loads.configs[0])
    longer = ["0" + beat[1:] for beat in whole] + whole
    shorter = whole[1:]
    for wrong in longer, longer[:1] + longer, shorter:
        if wrong:
            await bench.restart()
            await bench.exchange(wrong, ignored=True)
            bench.error(1)

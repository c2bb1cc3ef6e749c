"""LayerNorm units whose parameters are loaded, compared under load and under traffic."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from rtl.layernorm.config import LayerNormConfig

from ..bench.compare import require
from ..bench.jobs import LoadJob, load_beats
from ..runner import TestResult
from .comparison import Comparison, run_tests
from .rows import check_rows
from .simulation import CompiledSimulation, Result

__all__ = ["LoadComparison", "compare_loads"]


def compare_loads(simulation: CompiledSimulation, job: LoadJob,
                  tests: Sequence[str] | None = None) -> list[TestResult]:
    """Run the tests of :class:`LoadComparison` with a :class:`~sim.bench.jobs.LoadJob`."""
    return run_tests(LoadComparison, simulation, job, tests)


class LoadComparison(Comparison):
    """Tests of a unit whose parameters are loaded.

    Parameters
    ----------
    simulation : CompiledSimulation
        The design.
    job : LoadJob
        Rows, parameters, and what is expected of the rows with each of them.
    test : str
        Name of the test.
    """

    TESTS = ("rows_without_loads", "loads_back_to_back", "loads_with_gaps_and_stalls",
             "loads_of_wrong_length")

    def __init__(self, simulation: CompiledSimulation, job: LoadJob, test: str) -> None:
        super().__init__(simulation, job.seed, test)
        self.job = job
        self.i, self.load, self.o = (simulation.ports[name] for name in ("i", "load", "o"))

    @property
    def patience(self) -> int:
        """The longest row on its way in and another on its way out, and a load."""
        return 4 * self.config.max_beats + self.simulation.design.latency + 16

    def disturb(self, streams: Sequence[str] | None = None) -> None:
        """Send random rows; the parameters stay."""
        super().disturb(["i"])

    def begin(self) -> None:
        """Reset the design and load its own parameters, which a reset does not bring."""
        self.simulation.reset()
        result = self.transfer({"load": self.beats_of(self.config)}, 0)
        require(not result.unsent["load"], "a load is not taken")

    def beats_of(self, *configs: LayerNormConfig) -> np.ndarray:
        """Beats that load the parameters of configs, one behind the other."""
        beats = [beat for config in configs for beat in load_beats(config)]
        return self.load.encode(np.array([beat["data"] for beat in beats], np.int64),
                                last=np.array([beat["last"] for beat in beats], bool))

    def exchange(self, loads: np.ndarray, *, error: int = 0, ignored: bool = False,
                 **traffic) -> Result:
        """Send the job's rows and beats of loads side by side, and compare what comes out.

        A load holds for the rows that begin after its last beat, unless it is to be ``ignored``.
        """
        rows = self.job.loads.rows
        beats = self.i.rows(rows, self.random)
        result = self.transfer({"i": beats, "load": loads}, len(beats), **traffic)
        moved = result.moved
        last = self.load.decode(loads[:len(moved["load"])])["last"].ravel()
        ends = moved["load"][last] if not ignored else []
        counts = rows.beats(self.i.lanes)
        starts = np.cumsum(counts) - counts
        # Rows that have not begun, as the design hangs, are not compared.
        begun = starts < len(moved["i"])
        self.loaded = np.zeros(len(rows), np.int64)
        self.loaded[begun] = np.searchsorted(ends, moved["i"][starts[begun]], "left")
        number = np.repeat(self.loaded, rows.lengths)
        values = self.job.expected[number, np.arange(len(number))]
        outputs = dataclasses.replace(rows, values=values)
        check_rows(self, outputs, self.o.rows(outputs), result)
        self.check_error(result, error)
        return result

    def rows_without_loads(self) -> None:
        """The config's own parameters hold until a load."""
        self.exchange(self.load.encode(np.zeros((0, self.load.lanes), np.int64),
                                       last=np.zeros(0, bool)))

    def loads_back_to_back(self) -> None:
        """Loads and rows without gaps: exact, and not one input beat waits for a load."""
        self.begin()
        result = self.exchange(self.beats_of(*self.job.loads.configs))
        require(self.config.variable or (result.moved["i"] == result.offered["i"]).all(),
                "an input beat had to wait")
        require(self.loaded[-1] == len(self.job.loads.configs), "not all loads were taken")

    def loads_with_gaps_and_stalls(self) -> None:
        """Gaps and stalls everywhere: exact."""
        self.begin()
        gaps = {name: self.gaps(self.pauses())[name] for name in ("i", "load")}
        self.exchange(self.beats_of(*self.job.loads.configs), gaps=gaps,
                      **self.stalls(self.pauses()))

    def loads_of_wrong_length(self) -> None:
        """A load that is too short or too long raises ``error`` and changes nothing."""
        whole = self.beats_of(self.job.loads.configs[0])
        open_ = whole.copy()
        word, bit = divmod(self.load.places["last"], 32)
        open_[:, word] &= ~np.uint32(1 << bit)
        longer = np.concatenate([open_, whole])
        for wrong in longer, np.concatenate([longer[:1], longer]), whole[1:]:
            if len(wrong):
                self.begin()
                self.exchange(wrong, ignored=True, error=1)

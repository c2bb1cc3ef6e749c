"""Units that turn rows into rows of equal length, compared with what a job expects of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..bench.compare import require
from ..bench.jobs import RowJob
from ..bench.rows import Rows, malformed_keeps
from ..bench.timing import check_schedule, needless_waits
from ..runner import TestResult
from .comparison import Comparison, Wrong, run_tests
from .packing import members_of
from .simulation import CompiledSimulation, Result, pattern_of_gaps

__all__ = ["RowComparison", "check_rows", "compare_rows"]

# Beats around one event (a reset, an error).
FEW_BEATS = 300


def compare_rows(simulation: CompiledSimulation, job: RowJob,
                 tests: Sequence[str] | None = None) -> list[TestResult]:
    """Run the tests of :class:`RowComparison` with the rows of a job."""
    return run_tests(RowComparison, simulation, job, tests)


class RowComparison(Comparison):
    """Tests of a unit with rows: exactness, timing, stream rules, reset and errors.

    Parameters
    ----------
    simulation : CompiledSimulation
        The design.
    job : RowJob
        Rows, and what is expected of them.
    test : str
        Name of the test.
    """

    TESTS = ("rows_back_to_back", "rows_with_gaps", "rows_with_stalls",
             "rows_with_gaps_and_stalls", "rows_to_patient_sink", "latency_of_idle_unit",
             "reset_within_row", "over_long_row", "malformed_keep")

    def __init__(self, simulation: CompiledSimulation, job: RowJob, test: str) -> None:
        super().__init__(simulation, job.seed, test)
        self.job = job
        self.i, self.o = simulation.ports["i"], simulation.ports["o"]

    @property
    def patience(self) -> int:
        """The longest row on its way in and another on its way out."""
        config = self.config
        return (config.passes + 1) * config.max_beats + self.simulation.design.latency + 16

    def disturb(self, streams: Sequence[str] | None = None) -> None:
        """Send random rows; parameters that could be loaded stay."""
        super().disturb(["i"])

    def exchange(self, rows: Rows, outputs: Rows, *, error: int = 0,
                 beats: np.ndarray | None = None, ignore: int | None = None,
                 **traffic) -> Result:
        """Send rows and compare what comes out.

        Parameters
        ----------
        rows, outputs : Rows
            Input and expected output.
        error : int
            What ``error`` must be in the end.
        beats : uint32 array (beats, words)
            Input beats, if they are not those of ``rows``.
        ignore : int
            A row whose output elements do not matter.
        traffic
            Gaps and stalls, as of :meth:`~sim.compiled.comparison.Comparison.transfer`.
        """
        if beats is None:
            beats = self.i.rows(rows, self.random)
        expected = self.o.rows(outputs)
        result = self.transfer({"i": beats}, len(expected), **traffic)
        if ignore is not None:
            ends = np.cumsum(outputs.beats(self.o.lanes))
            part = slice(ends[ignore - 1] if ignore else 0, ends[ignore])
            last = [self.o.decode(side[part])["last"].ravel() for side in (result.beats, expected)]
            require(np.array_equal(*last), "last is not where it was")
            result.beats[part] = expected[part]
        check_rows(self, outputs, expected, result)
        self.check_error(result, error)
        return result

    def some(self, budget: int = FEW_BEATS) -> tuple[Rows, Rows]:
        """Return some of the job's rows of up to ``budget`` beats together, at random."""
        beats = self.job.rows.beats(self.i.lanes)
        order = self.random.permutation(len(beats))[:budget]
        taken = max(int(np.searchsorted(np.cumsum(beats[order]), budget, "right")), 1)
        return self.take(order[:taken])

    def take(self, indices: Sequence[int]) -> tuple[Rows, Rows]:
        """Return rows of the job, and what is expected of them."""
        return self.job.rows.take(indices), self.job.outputs.take(indices)

    # Exactness and timing ----------------------------------------------------------------------

    def check_schedule(self, rows: Rows, result: Result) -> None:
        """Check the cycle of every output beat, with the output always ready."""
        check_schedule(rows, self.i.lanes, result.moved["i"], result.moved["o"],
                       self.simulation.design.latency, self.config.passes)

    def rows_back_to_back(self) -> None:
        """No gaps, no stalls: exact, one beat per cycle, every output beat in its cycle."""
        rows = self.job.rows
        result = self.exchange(rows, self.job.outputs)
        self.check_schedule(rows, result)
        waits = needless_waits(result.offered["i"], result.moved["i"], result.moved["o"],
                               rows.beats(self.config.lanes), self.job.waits)
        require(not len(waits), f"input beat {waits[:1]} had to wait, with fewer than "
                                f"{self.job.waits[waits[:1]]} rows inside")

    def rows_with_gaps(self) -> None:
        """Gaps before input beats, no stalls: exact, every output beat in its cycle."""
        result = self.exchange(self.job.rows, self.job.outputs, gaps=self.gaps(self.pauses()))
        self.check_schedule(self.job.rows, result)

    def rows_with_stalls(self) -> None:
        """Stalls at the output, no gaps: exact."""
        self.exchange(self.job.rows, self.job.outputs, **self.stalls(self.pauses()))

    def rows_with_gaps_and_stalls(self) -> None:
        """Gaps and stalls, of like and unlike frequency: exact."""
        self.exchange(self.job.rows, self.job.outputs, gaps=self.gaps(self.pauses()),
                      **self.stalls(self.pauses()))

    def rows_to_patient_sink(self) -> None:
        """Ready comes after valid only: valid does not wait for ready."""
        self.exchange(*self.some(), **self.waits())

    def latency_of_idle_unit(self) -> None:
        """Every row comes ``row_latency`` cycles after its last beat, if nothing else is to do."""
        config = self.config
        rows, outputs = self.some()
        beats = rows.beats(config.lanes)
        # The ports may add to the latency of the core.
        promised = np.array([config.row_latency(count) for count in beats.tolist()])
        promised += self.simulation.design.latency - config.latency
        ends = np.cumsum(beats)
        gaps = np.zeros(int(ends[-1]), np.int64)
        # Each row waits until the one before it has left.
        gaps[ends[:-1]] = (beats + promised)[:-1] + self.random.integers(0, 4, len(beats) - 1)
        result = self.exchange(rows, outputs, gaps={"i": pattern_of_gaps(gaps)})
        latency = result.moved["o"][ends - beats] - result.moved["i"][ends - 1]
        wrong = np.flatnonzero(latency != promised)[:1]
        for row in wrong.tolist():
            require(False, f"row {row} ({rows.names[row]}): latency is {latency[row]} instead of "
                           f"{promised[row]}")

    # Reset and errors --------------------------------------------------------------------------

    def reset_within_row(self) -> None:
        """A reset at any time, with rows on their way in and out, leaves nothing behind."""
        for attempt in range(6):
            beats = self.i.rows(self.some()[0], self.random)
            cycles = int(self.random.integers(1, len(beats) + self.simulation.design.latency))
            result = self.transfer({"i": beats}, len(beats), limit=cycles,
                                   **(self.stalls(0.3) if attempt % 2 else {}))
            require(not result.failure, result.failure)
            self.simulation.reset(int(self.random.integers(1, 3)))
            self.exchange(*self.some(FEW_BEATS // 4))

    def over_long_row(self) -> None:
        """A row of more than ``max_length`` elements is cut, and raises ``error`` for good."""
        config, lanes = self.config, self.i.lanes
        whole = np.flatnonzero(self.job.rows.lengths == config.max_length)
        require(len(whole), "the job has no row of max_length elements")
        room = config.max_beats * lanes - config.max_length
        for excess in sorted({1, room, lanes, 2 * config.max_beats * lanes + room + 1} - {0}):
            self.simulation.reset()
            before, behind = self.some(FEW_BEATS // 8), self.some(FEW_BEATS // 8)
            chosen, result = self.take([self.random.choice(whole)])
            self.exchange(before[0] + chosen, before[1] + result)
            limit = 1 << self.i.form.fields["data"].width - 1
            # Unsigned elements keep their digits, whatever sign they are given here.
            extra = self.random.integers(-limit, limit, excess)
            too_long = Rows.of([(
                "over-long row", np.concatenate([chosen.values, extra]),
                np.concatenate([chosen.mask, self.random.random(excess) < 0.5]))], chosen.fields)
            self.exchange(before[0] + too_long + behind[0], before[1] + result + behind[1],
                          error=1)
            self.exchange(*behind, error=1)
        self.simulation.reset()
        self.exchange(*self.some(FEW_BEATS // 8))

    def malformed_keep(self) -> None:
        """A row whose ``keep`` is not of the stream's form raises ``error``, hurts no other row."""
        lanes = self.i.lanes
        counts = self.job.rows.beats(lanes)
        for place, pattern in malformed_keeps(lanes, self.config.max_beats):
            candidates = np.flatnonzero(counts > (place == "first"))
            if not len(candidates):
                continue
            self.simulation.reset()
            before, behind = self.some(FEW_BEATS // 8), self.some(FEW_BEATS // 8)
            chosen, result = self.take([self.random.choice(candidates)])
            rows, outputs = before[0] + chosen + behind[0], before[1] + result + behind[1]
            members = members_of(rows, self.i.form, self.random)
            end = int((before[0] + chosen).beats(lanes).sum())
            beat = end - int(chosen.beats(lanes)[0]) if place == "first" else end - 1
            members["keep"][beat] = pattern
            self.exchange(rows, outputs, beats=self.i.encode(**members), ignore=len(before[0]),
                          error=1)


def check_rows(comparison: Comparison, rows: Rows, expected: np.ndarray, result: Result) -> None:
    """Compare what came with the beats that rows are expected as, and count."""
    form = comparison.simulation.ports["o"]
    wrong = Wrong(form, expected, result.beats, result.moved["o"])
    comparison.outputs += len(rows.values)
    comparison.mismatches += wrong.mismatches
    problems = [result.failure]
    if wrong.beat is not None:
        counts = rows.beats(form.lanes)
        ends = np.cumsum(counts)
        row = int(np.searchsorted(ends, wrong.beat, "right"))
        beat = wrong.beat - int(ends[row] - counts[row])
        problems.insert(0, f"row {row} ({rows.names[row]}, {rows.lengths[row]} elements), "
                           f"beat {beat}: {wrong.describe(beat * form.lanes)}")
    elif not result.failure and result.unsent["i"]:
        problems.append(f"{result.unsent['i']} input beats are not taken")
    require(not any(problems), "; ".join(filter(None, problems)))

"""Tests of any unit that turns rows into rows of equal length: exactness, timing, stream rules.

Run inside the simulator by :mod:`sim.runner`, once for each :class:`~sim.bench.jobs.RowJob`; see
:mod:`sim.bench.bench`.
"""

from __future__ import annotations

from collections.abc import Sequence

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge

from .bench import Bench, tests_of
from .compare import places_of_rows, require
from .jobs import RowJob
from .rows import Rows, malformed_keeps
from .stream import Sink, Source, Stall, gaps, patient, stalls
from .timing import check_schedule, early_stalls

__all__: list[str] = []

# Rows that a test of one event (a reset, an error) sends around it, in beats.
FEW_BEATS = 300


# Bench

class _Bench(Bench):
    """The design with its clock, its streams and the job's rows."""

    JOB = RowJob

    def __init__(self, dut, test: str) -> None:
        super().__init__(dut, test)
        self.i, self.o = self.ports.values()

    @property
    def patience(self) -> int:
        """The longest row is on its way in, and another one on its way out."""
        return (self.config.passes + 1) * self.config.max_beats + self.job.latency + 16

    async def exchange(self, rows: Rows, outputs: Rows, *, pauses: Sequence[int] | None = None,
                       stall: Stall | None = None, beats: Sequence[str] | None = None,
                       ignore: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Send rows and compare what comes out.

        Parameters
        ----------
        rows, outputs : Rows
            Input and expected output.
        pauses : sequence of int
            Cycles without a beat before each input beat.
        stall : callable
            Policy of the sink.
        beats : sequence of str
            Input beats, if they are not those of ``rows``.
        ignore : int
            A row whose output elements do not matter.

        Returns
        -------
        array, array
            Cycles in which each input beat was accepted, and each output beat came.
        """
        if beats is None:
            beats = self.i.format.from_rows(rows, self.random)
        expected = self.o.format.from_rows(outputs)
        longest = max(pauses, default=0) if pauses is not None else 0
        patience = self.patience * (1 + (stall is not None)) * 2 + longest * self.config.max_beats
        done = await self.transfer({"i": beats}, len(expected), pauses={"i": pauses}, stall=stall,
                                   patience=patience)
        self.report["beats"] += len(beats)
        ignored = []
        if ignore is not None:
            counts = outputs.beats(self.o.format.lanes)
            end = int(np.cumsum(counts)[ignore])
            ignored.append(slice(end - int(counts[ignore]), end))
            require(all(beat[0] == want[0] for beat, want in
                        zip(done.beats[ignored[0]], expected[ignored[0]], strict=False)),
                    "last is not where it was")
        self.compare(done, expected, places_of_rows(outputs, self.o.format.lanes),
                     len(outputs.values), ignored)
        return done.accepted["i"], done.cycles

    def some(self, budget: int = FEW_BEATS) -> tuple[Rows, Rows]:
        """Return some of the job's rows of up to ``budget`` beats together, at random."""
        beats = self.job.rows.beats(self.config.lanes)
        order = self.random.permutation(len(beats))
        taken = max(int(np.searchsorted(np.cumsum(beats[order]), budget, "right")), 1)
        return self.take(order[:taken])

    def take(self, indices: Sequence[int]) -> tuple[Rows, Rows]:
        """Return rows of the job, and what is expected of them."""
        return self.job.rows.take(indices), self.job.outputs.take(indices)


_test = tests_of(_Bench)


# Exactness and timing

def _check_schedule(bench: _Bench, rows: Rows, accepted: np.ndarray, cycles: np.ndarray) -> None:
    check_schedule(rows, bench.config.lanes, accepted, cycles, bench.job.latency,
                   bench.config.passes)


@_test
async def rows_back_to_back(bench):
    """No gaps, no stalls: exact, one beat per cycle, every output beat in its cycle."""
    rows = bench.job.rows
    accepted, cycles = await bench.exchange(rows, bench.job.outputs)
    _check_schedule(bench, rows, accepted, cycles)
    beats = rows.beats(bench.config.lanes)
    early = early_stalls(accepted, cycles, beats, bench.job.waits)
    if len(early):
        beat = np.searchsorted(accepted, early[0])
        raise AssertionError(f"input beat {beat} had to wait in cycle {early[0]}, with fewer than "
                             f"{bench.job.waits[beat]:g} rows inside")
    bench.error(0)


@_test
async def rows_with_gaps(bench):
    """Gaps before input beats, no stalls: exact, every output beat in its cycle."""
    rows = bench.job.rows
    count = int(rows.beats(bench.config.lanes).sum())
    pauses = gaps(bench.random, count, bench.random.choice([0.05, 0.3, 0.7]))
    accepted, cycles = await bench.exchange(rows, bench.job.outputs, pauses=pauses)
    _check_schedule(bench, rows, accepted, cycles)
    bench.error(0)


@_test
async def rows_with_stalls(bench):
    """Stalls at the output, no gaps: exact."""
    await bench.exchange(bench.job.rows, bench.job.outputs,
                         stall=stalls(bench.random, bench.random.choice([0.05, 0.3, 0.7])))
    bench.error(0)


@_test
async def rows_with_gaps_and_stalls(bench):
    """Gaps and stalls, of like and unlike frequency: exact."""
    rows, outputs = bench.job.rows, bench.job.outputs
    count = int(rows.beats(bench.config.lanes).sum())
    gap, stall = bench.random.choice([0.05, 0.3, 0.7], 2)
    await bench.exchange(rows, outputs, pauses=gaps(bench.random, count, gap),
                         stall=stalls(bench.random, stall))
    bench.error(0)


@_test
async def rows_to_patient_sink(bench):
    """Ready comes after valid only: valid does not wait for ready."""
    rows, outputs = bench.some()
    await bench.exchange(rows, outputs, stall=patient(bench.random, 3))
    bench.error(0)


@_test
async def latency_of_idle_unit(bench):
    """Every row comes ``row_latency`` cycles after its last beat, if nothing else is to do."""
    config = bench.config
    rows, outputs = bench.some()
    beats = rows.beats(config.lanes)
    # The ports may add to the latency of the core.
    promised = np.array([config.row_latency(count) for count in beats.tolist()])
    promised += bench.job.latency - config.latency
    ends = np.cumsum(beats)
    pauses = np.zeros(int(beats.sum()), np.int64)
    # Each row waits until the one before it has left.
    pauses[ends[:-1]] = (beats[:-1] + promised[:-1]
                         + bench.random.integers(0, 4, len(beats) - 1))
    accepted, cycles = await bench.exchange(rows, outputs, pauses=pauses.tolist())
    latency = cycles[ends - beats] - accepted[ends - 1]
    wrong = np.flatnonzero(latency != promised)
    if len(wrong):
        row = wrong[0]
        raise AssertionError(f"row {row} ({rows.names[row]}): latency is {latency[row]} instead "
                             f"of {promised[row]}")


# Reset and errors

@_test
async def reset_within_row(bench):
    """A reset at any time, with rows on their way in and out, leaves nothing behind."""
    for attempt in range(6):
        rows, _ = bench.some()
        beats = bench.i.format.from_rows(rows, bench.random)
        source, sink = Source(bench.clock, bench.i), Sink(bench.clock, bench.o)
        stall = stalls(bench.random, 0.3) if attempt % 2 else None
        tasks = [cocotb.start_soon(source.run(beats)),
                 cocotb.start_soon(sink.run(len(beats), stall=stall, patience=4 * bench.patience))]
        for _ in range(int(bench.random.integers(1, len(beats) + bench.job.latency))):
            await FallingEdge(bench.clock)
            if len(sink.beats) == len(beats):
                break
        for task in tasks:
            task.cancel()
        await bench.reset(int(bench.random.integers(1, 3)))
        rows, outputs = bench.some(FEW_BEATS // 4)
        await bench.exchange(rows, outputs)
        bench.error(0)


@_test
async def over_long_row(bench):
    """A row of more than ``max_length`` elements is cut there, and raises ``error`` for good."""
    config, lanes = bench.config, bench.config.lanes
    whole = np.flatnonzero(bench.job.rows.lengths == config.max_length)
    require(len(whole), "the job has no row of max_length elements")
    room = config.max_beats * lanes - config.max_length
    excesses = sorted({1, room, lanes, 2 * config.max_beats * lanes + room + 1} - {0})
    for excess in excesses:
        await bench.reset()
        before, behind = bench.some(FEW_BEATS // 8), bench.some(FEW_BEATS // 8)
        chosen, result = bench.take([bench.random.choice(whole)])
        await bench.exchange(before[0] + chosen, before[1] + result)
        bench.error(0)
        limit = 1 << bench.i.format.fields["data"].width - 1
        # Unsigned elements keep their digits, whatever sign they are given here.
        extra = bench.random.integers(-limit, limit, excess)
        too_long = Rows.of([("over-long row", np.concatenate([chosen.values, extra]),
                             np.concatenate([chosen.mask, bench.random.random(excess) < 0.5]))],
                           chosen.fields)
        sent = before[0] + too_long + behind[0]
        await bench.exchange(sent, before[1] + result + behind[1])
        bench.error(1)
        await bench.exchange(*behind)
        bench.error(1)
    await bench.reset()
    bench.error(0)


@_test
async def malformed_keep(bench):
    """A row whose ``keep`` is not of the stream's form raises ``error`` and hurts no other row."""
    lanes = bench.config.lanes
    counts = bench.job.rows.beats(lanes)
    for place, pattern in malformed_keeps(lanes, bench.config.max_beats):
        candidates = np.flatnonzero(counts > (place == "first"))
        if not len(candidates):
            continue
        await bench.reset()
        before, behind = bench.some(FEW_BEATS // 8), bench.some(FEW_BEATS // 8)
        chosen, result = bench.take([bench.random.choice(candidates)])
        rows, outputs = before[0] + chosen + behind[0], before[1] + result + behind[1]
        members = bench.i.format.decode(bench.i.format.from_rows(rows, bench.random))
        end = int((before[0] + chosen).beats(lanes).sum())
        beat = end - int(chosen.beats(lanes)[0]) if place == "first" else end - 1
        members["keep"][beat] = pattern
        beats = bench.i.format.encode(**members)
        bench.error(0)
        await bench.exchange(rows, outputs, beats=beats, ignore=len(before[0]))
        bench.error(1)

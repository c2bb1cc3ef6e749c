"""SVD-softmax engines, compared with what batches of hidden vectors are to give."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..bench.svd import BROKEN, SvdBatch, SvdJob, broken_setups, foreign
from ..runner import TestResult
from .comparison import Comparison, Wrong, require, run_tests
from .port_memory import PortMemory
from .simulation import CompiledSimulation, Result

__all__ = ["SvdComparison", "compare_svd"]


def compare_svd(simulation: CompiledSimulation, job: SvdJob,
                tests: Sequence[str] | None = None) -> list[TestResult]:
    """Run the tests of :class:`SvdComparison` with a job of batches."""
    return run_tests(SvdComparison, simulation, job, tests)


class SvdComparison(Comparison):
    """Tests of an engine with batches: exactness, memory of any latency, reset and errors.

    Parameters
    ----------
    simulation : CompiledSimulation
        The design.
    job : SvdJob
        Batches, and what is expected of them.
    test : str
        Name of the test.
    """

    TESTS = ("batches_back_to_back", "batches_with_gaps_and_stalls", "reset_at_any_time",
             "refusals")

    def __init__(self, simulation: CompiledSimulation, job: SvdJob, test: str) -> None:
        super().__init__(simulation, job.seed, test)
        self.job = job

    @property
    def patience(self) -> int:
        """A vector comes and goes, behind a memory that is often busy."""
        most = max(self.config.token_cycles(*map(int, batch.registers[1:]))
                   for batch in self.job.batches)
        return 4 * most + 4000

    def encode(self, name: str, data: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Return beats of a stream of words."""
        return self.simulation.ports[name].encode(data=np.asarray(data, np.int64),
                                                  last=np.asarray(last, bool))

    def sent(self, batches: Sequence[SvdBatch]) -> dict[str, np.ndarray]:
        """Return the beats of the inputs."""
        x = [batch.x.reshape(-1, 1) for batch in batches]
        last = [np.arange(len(each)) == len(each) - 1 for each in x]
        return {"setup": self.encode("setup", np.stack([batch.registers for batch in batches]),
                                     self.random.random(len(batches)) < 0.5),
                "h": self.encode("h", np.concatenate(x), np.concatenate(last))}

    def memory(self, **options) -> PortMemory:
        """Return the job's memory."""
        config = self.config
        return PortMemory(self.job.content, config.port_bytes, config.burst, **options)

    def exchange(self, batches: Sequence[SvdBatch], *, causes: Sequence[str] = (),
                 wrong: bool = False, memory: dict | None = None, **traffic) -> Result:
        """Send batches and compare what comes out; not the words, if they are ``wrong``.

        An answer of another number of words than were asked for is a cause by itself.
        ``memory`` has options of :class:`~sim.compiled.port_memory.PortMemory`, ``traffic`` gaps
        and stalls.
        """
        expected = self.encode("o", np.concatenate([batch.y for batch in batches]),
                               np.concatenate([batch.ends for batch in batches]))
        result = self.transfer(self.sent(batches), len(expected),
                               memory=self.memory(**(memory or {})), **traffic)
        if wrong:
            result.beats[:] = expected[:len(result.beats)]
        different = Wrong(self.simulation.ports["o"], expected, result.beats, result.moved["o"])
        self.outputs += 4 * len(expected)
        self.mismatches += different.mismatches
        problems = [result.failure]
        if different.beat is not None:
            counts = np.cumsum([len(batch.y) for batch in batches])
            number = int(np.searchsorted(counts, different.beat, "right"))
            place = different.beat - int(counts[number] - len(batches[number].y))
            problems.insert(0, f"batch {number}, output {place}: {different.describe(0)}")
        elif not result.failure:
            problems += [f"{count} beats of {name} are not taken"
                         for name, count in result.unsent.items() if count]
        require(not any(problems), "; ".join(filter(None, problems)))
        asked, extra = result.memory.asked, (memory or {}).get("extra", 0)
        # An answer of no word can not be.
        if asked and asked + extra:
            causes = [*causes, "RESPONSE"]
        self.check_error(result, int(bool(causes)))
        got = self.simulation.flag("causes")
        found = [name for place, name in enumerate(self.config.causes) if got >> place & 1]
        require(found == [*causes], f"causes are {found} instead of {[*causes]}")
        return result

    def batches_back_to_back(self) -> None:
        """A memory that answers at once: exact."""
        self.exchange(self.job.batches)

    def batches_with_gaps_and_stalls(self) -> None:
        """Gaps at the inputs, stalls at the output, a slow memory that refuses and rests: exact."""
        gaps = {name: pattern for name, pattern in self.gaps(self.pauses()).items()
                if name != "response"}
        self.exchange(self.job.batches, gaps=gaps, **self.stalls(self.pauses()),
                      memory={"latency": (1, 60), "gap": self.pauses(), "refuse": self.pauses()})

    def reset_at_any_time(self) -> None:
        """A reset of engine and memory in the middle of a vector leaves nothing behind."""
        batches = self.job.batches[:1]
        for _ in range(4):
            result = self.transfer(
                self.sent(batches), len(batches[0].y), memory=self.memory(latency=(1, 40)),
                limit=int(self.random.integers(1, self.patience // 4)))
            require(not result.failure, result.failure)
            self.simulation.reset(int(self.random.integers(1, 3)))
        self.exchange(batches)

    def refusals(self) -> None:
        """A setup that can not be, a broken vector, a short and a long response: one cause each."""
        good = self.job.batches[0]
        for _, cause, registers in broken_setups(self.config, good, foreign(self.job.content)):
            self.simulation.reset()
            bad = dataclasses.replace(good, registers=np.array(registers), y=good.y[:0],
                                      ends=good.ends[:0])
            self.exchange([bad, good], causes=[cause])
        if self.config.dim > 1:
            self.simulation.reset()
            broken = dataclasses.replace(good, x=good.x.reshape(-1)[:self.config.dim - 1],
                                         y=good.y[:0], ends=good.ends[:0])
            self.exchange([broken, good], causes=["VECTOR"])
        for extra in -1, 1:
            self.simulation.reset()
            self.exchange([good], memory={"broken": BROKEN, "extra": extra}, wrong=True)

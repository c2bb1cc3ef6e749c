"""Attention engines with resident sets, compared with what scripts of commands are to give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rtl.attention.resident.arrival import TOKEN_CYCLES

from ..bench.compare import require
from ..bench.resident import ResidentJob, Script, beats_of, decoding, misplaced_of
from ..runner import TestResult
from .comparison import Comparison, Wrong, run_tests
from .simulation import CompiledSimulation, Result

__all__ = ["ResidentComparison", "compare_resident"]


def compare_resident(simulation: CompiledSimulation, job: ResidentJob,
                     tests: Sequence[str] | None = None) -> list[TestResult]:
    """Run the tests of :class:`ResidentComparison` with a job."""
    return run_tests(ResidentComparison, simulation, job, tests)


class ResidentComparison(Comparison):
    """Tests of an engine with a script: exactness, cycles, stream rules, reset and errors.

    Parameters
    ----------
    simulation : CompiledSimulation
        The design.
    job : ResidentJob
        Scripts, and what is expected of them.
    test : str
        Name of the test.
    """

    TESTS = ("commands_back_to_back", "latency_of_idle_engine", "commands_with_gaps",
             "commands_with_gaps_and_stalls", "commands_to_patient_sink", "reset_at_any_time",
             "misplaced_lasts")

    def __init__(self, simulation: CompiledSimulation, job: ResidentJob, test: str) -> None:
        super().__init__(simulation, job.seed, test)
        self.job = job

    @property
    def patience(self) -> int:
        """Sets are loaded, and queries run."""
        config = self.config
        return (4 * (config.max_keys + 8) * config.stream_beats
                + 4 * config.query_latency(config.max_keys) + 2 * config.sets + 200)

    def beats(self, name: str, script: Script) -> np.ndarray:
        """Return the beats of a stream that carry its part of a script."""
        return self.encode(name, beats_of(self.config, script, name, self.random))

    def encode(self, name: str, members: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the beats of a stream that have these members."""
        return self.simulation.ports[name].encode(**members)

    def exchange(self, script: Script, *, beats: Mapping[str, np.ndarray] | None = None,
                 wrong: bool = False, error: int | None = None, **traffic) -> Result:
        """Send a script and compare what comes out.

        ``beats`` has the beats of streams that are not those of the script; with ``wrong`` the
        outputs do not matter. ``traffic`` are gaps and stalls.
        """
        streams = {name: self.beats(name, script) for name in self.simulation.inputs
                   if name not in (beats or {})}
        expected = self.beats("o", script)
        result = self.transfer({**streams, **(beats or {})}, len(expected), **traffic)
        if wrong:
            result.beats[:] = expected[:len(result.beats)]
        different = Wrong(self.simulation.ports["o"], expected, result.beats, result.moved["o"])
        self.outputs += script.y.size
        self.mismatches += different.mismatches
        problems = [result.failure]
        if different.beat is not None:
            query, beat = divmod(different.beat, self.config.value_beats)
            problems.insert(0, f"query {query}: "
                               f"{different.describe(beat * self.config.io_lanes)}")
        elif not result.failure:
            problems += [f"{count} beats of {name} are not taken"
                         for name, count in result.unsent.items() if count]
        require(not any(problems), "; ".join(filter(None, problems)))
        self.check_error(result, int(script.error) if error is None else error)
        return result

    def commands_back_to_back(self) -> None:
        """No gaps, no stalls: exact."""
        self.exchange(self.job.script)

    def latency_of_idle_engine(self) -> None:
        """A query comes in time behind its last beat; a decoded token ``TOKEN_CYCLES`` later."""
        config, script = self.config, self.job.first
        counts, keys = decoding(config, script)
        beats = {name: self.beats(name, script) for name in counts}
        size = config.value_beats
        output = self.beats("o", script)
        for token in range(len(script.y)):
            own = {name: beats[name][count:] if token else beats[name][:count]
                   for name, count in counts.items()}
            none = {name: each[:0] for name, each in own.items()}
            counted = ("q", "k", "v") if token else ("q",)
            late = (*counted, *(["b"] if "b" in counts else []))
            early = {name: own[name] if name not in late else none[name] for name in counts}
            unsent = self.transfer(early, 0).unsent
            require(not any(unsent.values()), "what comes early is not taken")
            result = self.transfer({**none, **{name: own[name] for name in late}}, size)
            require((result.beats == output[token * size:(token + 1) * size]).all(),
                    f"output {token} is wrong")
            latency = result.moved["o"][0] - max(result.moved[name][-1] for name in counted)
            expected = (config.query_latency(keys + token) + TOKEN_CYCLES * token
                        + self.simulation.design.latency - config.latency)
            require(latency == expected, f"latency with {keys + token} keys is {latency} instead "
                                         f"of {expected}")
            self.outputs += config.value_dim

    def commands_with_gaps(self) -> None:
        """Gaps at every input: exact."""
        self.exchange(self.job.script, gaps=self.gaps(self.pauses()))

    def commands_with_gaps_and_stalls(self) -> None:
        """Gaps and stalls: exact."""
        self.exchange(self.job.script, gaps=self.gaps(self.pauses()),
                      **self.stalls(self.pauses()))

    def commands_to_patient_sink(self) -> None:
        """Ready comes after valid only: valid does not wait for ready."""
        self.exchange(self.job.first, **self.waits())

    def reset_at_any_time(self) -> None:
        """A reset with vectors on their way in and answers on their way out leaves nothing."""
        for _ in range(4):
            script = self.job.script
            self.transfer({name: self.beats(name, script) for name in self.simulation.inputs},
                          len(script.y) * self.config.value_beats,
                          limit=int(self.random.integers(1, self.patience)))
            self.simulation.reset(int(self.random.integers(1, 3)))
            self.exchange(self.job.first)

    def misplaced_lasts(self) -> None:
        """An append or packet that is short or long raises ``error`` and holds up nothing."""
        script = self.job.first
        for name in self.simulation.inputs:
            if name in ("c", "p"):
                continue
            for beats in misplaced_of(self.config, script, name, self.random):
                self.simulation.reset()
                self.exchange(script, beats={name: self.encode(name, beats)}, error=1,
                              # Queries that are too many are dropped.
                              wrong=name != "q")
        self.simulation.reset()
        self.exchange(script)

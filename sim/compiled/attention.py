"""Attention engines, compared with what sets of queries, keys and values are to give."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from ..bench.attention import marked, unordered
from ..bench.biases import bias_beats, wrong_rows
from ..bench.compare import require
from ..bench.timing import check_queries
from ..runner import TestResult
from .comparison import Comparison, Wrong, run_tests
from .simulation import CompiledSimulation, Result

__all__ = ["AttentionComparison", "compare_attention"]


def compare_attention(simulation: CompiledSimulation, job: object,
                      tests: Sequence[str] | None = None) -> list[TestResult]:
    """Run the tests of :class:`AttentionComparison` with a job of sets.

    The job is a :class:`sim.bench.attention.AttentionJob`.
    """
    return run_tests(AttentionComparison, simulation, job, tests)


class AttentionComparison(Comparison):
    """Tests of an engine with sets: exactness, cycles, stream rules, reset and errors.

    Parameters
    ----------
    simulation : CompiledSimulation
        The design.
    job : AttentionJob
        Sets, and what is expected of them.
    test : str
        Name of the test.
    """

    TESTS = ("sets_back_to_back", "latency_of_idle_engine", "sets_with_gaps", "sets_with_stalls",
             "sets_with_gaps_and_stalls", "sets_to_patient_sink", "reset_at_any_time",
             "broken_sets")

    def __init__(self, simulation: CompiledSimulation, job: object, test: str) -> None:
        super().__init__(simulation, job.seed, test)
        self.job = job

    @property
    def patience(self) -> int:
        """A set is loaded, and its first query runs."""
        config = self.config
        return (2 * config.max_keys * config.stream_beats + config.stream_beats
                + 2 * config.sort_cycles(config.max_keys)
                + config.query_latency(config.max_keys) + 64)

    def beats(self, name: str, sets: Sequence[object]) -> np.ndarray:
        """Return the beats of a stream that carry its part of the sets."""
        vectors = [getattr(keys, "y" if name == "o" else name) for keys in sets]
        return self.encode(name, vectors, sets)

    def encode(self, name: str, vectors: Sequence[np.ndarray],
               sets: Sequence[object]) -> np.ndarray:
        """Return the beats of a stream that carry vectors (vectors, size), arrays of sets."""
        form, config, random = self.simulation.ports[name], self.config, self.random
        if name == "b":
            rows = [bias_beats(config, each, random) for each in vectors]
            return form.encode(**{member: np.concatenate([each[member] for each in rows])
                                  for member in ("data", "last")})
        size = config.beats_of(name) if name != "p" else 1
        sent = [(array, keys) for array, keys in zip(vectors, sets, strict=True) if len(array)]
        data = np.concatenate([array.reshape(-1, form.form.lanes) for array, _ in sent]
                              or [np.zeros((0, form.form.lanes))]).astype(np.int64)
        ends = np.cumsum([len(array) * size for array, _ in sent], dtype=np.int64) - 1
        last = np.zeros(len(data), bool)
        last[ends] = True
        members = {"data": data, "last": last}
        if "mask" in form.places:
            # The mask counts in a vector's last beat only.
            members["mask"] = random.random(len(data)) < 0.5
            if sent:
                members["mask"][size - 1::size] = np.concatenate([keys.mask for _, keys in sent])
        if name == "o":
            members["use"] = np.zeros(len(data), np.int64)
        elif "use" in form.places:
            # What a set is for counts in its last beat only.
            members["use"] = random.integers(0, 1 << form.form.fields["use"].width, len(data))
            members["use"][ends] = [keys.use for _, keys in sent]
        return form.encode(**members)

    def exchange(self, sets: Sequence[object], *, error: int = 0, wrong: Sequence[int] = (),
                 end: bool = False, beats: Mapping[str, np.ndarray] | None = None,
                 **traffic) -> Result:
        """Send sets and compare what comes out.

        Parameters
        ----------
        sets : sequence of KeySet
            What to send.
        error : int
            What ``error`` must be in the end.
        wrong : sequence of int
            Sets that fail: their outputs do not matter, but must be marked, all others not.
        end : bool
            Whether only the last output of such a set is marked.
        beats : dict of uint32 array
            Beats of streams, where they are not those of ``sets``.
        traffic
            Gaps and stalls, as of :meth:`~sim.compiled.comparison.Comparison.transfer`.
        """
        streams = {name: self.beats(name, sets) for name in self.simulation.inputs
                   if name not in (beats or {})}
        expected = self.beats("o", sets)
        result = self.transfer({**streams, **(beats or {})}, len(expected), **traffic)
        size = self.config.value_beats
        ends = np.cumsum([len(keys.y) * size for keys in sets], dtype=np.int64)
        for number in wrong:
            part = slice(ends[number] - len(sets[number].y) * size, ends[number])
            own = self.simulation.ports["o"].decode(result.beats[part])
            require(result.failure or marked(own["use"], size, end=end),
                    "a set that failed is not marked")
            result.beats[part] = expected[part][:len(result.beats[part])]
        different = Wrong(self.simulation.ports["o"], expected, result.beats, result.moved["o"])
        self.outputs += len(expected) * self.config.io_lanes
        self.mismatches += different.mismatches
        unsent = {name: count for name, count in result.unsent.items() if count}
        problems = [result.failure]
        if different.beat is not None:
            number = int(np.searchsorted(ends, different.beat, "right"))
            query, beat = divmod(different.beat - int(ends[number]) + len(sets[number].y) * size,
                                 size)
            problems.insert(0, f"set {number} of {len(sets[number].v)} keys, query {query}: "
                               f"{different.describe(beat * self.config.io_lanes)}")
        elif not result.failure and unsent:
            problems += [f"{count} beats of {name} are not taken" for name, count in
                         unsent.items()]
        require(not any(problems), "; ".join(filter(None, problems)))
        self.check_error(result, error)
        return result

    # Exactness and timing ----------------------------------------------------------------------

    def sets_back_to_back(self) -> None:
        """No gaps, no stalls: exact, and no bubble between the queries of a set."""
        check_queries(self.config, self.job.sets, self.exchange(self.job.sets).moved["o"])

    def latency_of_idle_engine(self) -> None:
        """A query comes ``query_latency`` cycles after its last beat, if all else is there.

        With a selection that is known for one key only.
        """
        config = self.config
        # Iterations that come with the set take their time.
        own = config.run_time and "iterations" in config.limits
        for keys in self.job.sets[:4]:
            if not len(keys.q):
                continue
            self.simulation.reset()
            loads = {name: self.beats(name, [keys]) for name in self.simulation.inputs
                     if name not in ("q", "b")}
            unsent = self.transfer(loads, 0).unsent
            require(not any(unsent.values()), "keys or values are not taken")
            single = dataclasses.replace(keys, q=keys.q[:1], y=keys.y[:1], b=keys.b[:1])
            nothing = {name: beats[:0] for name, beats in loads.items()}
            result = self.exchange([single], beats=nothing)
            latency = result.moved["o"][0] - result.moved["q"][-1]
            if config.select == "none" or (len(keys.k) == 1 and not own):
                seen = 1 if config.causal else len(keys.k)
                expected = (config.query_latency(seen) + self.simulation.design.latency
                            - config.latency)
                require(latency == expected,
                        f"latency with {seen} keys is {latency} instead of {expected}")

    def sets_with_gaps(self) -> None:
        """Gaps at every input: exact."""
        self.exchange(self.job.sets, gaps=self.gaps(self.pauses()))

    def sets_with_stalls(self) -> None:
        """Stalls at the output: exact."""
        self.exchange(self.job.sets, **self.stalls(self.pauses()))

    def sets_with_gaps_and_stalls(self) -> None:
        """Gaps and stalls: exact."""
        self.exchange(self.job.sets, gaps=self.gaps(self.pauses()), **self.stalls(self.pauses()))

    def sets_to_patient_sink(self) -> None:
        """Ready comes after valid only: valid does not wait for ready."""
        self.exchange(self.job.sets[:4], **self.waits())

    # Reset and errors --------------------------------------------------------------------------

    def reset_at_any_time(self) -> None:
        """A reset with sets on their way in and queries on their way out leaves nothing behind."""
        sets = self.job.sets
        for _ in range(4):
            beats = {name: self.beats(name, sets) for name in self.simulation.ports}
            cycles = int(self.random.integers(1, 2 * self.patience))
            result = self.transfer(beats, len(beats["o"]), limit=cycles)
            require(not result.failure, result.failure)
            self.simulation.reset(int(self.random.integers(1, 3)))
            self.exchange(sets[:2])

    def broken_sets(self) -> None:
        """A set that is too long, broken off or uneven is marked, and hurts no other set."""
        inputs, sets = self.simulation.inputs, self.job.sets[:3]
        ways = [(name, way) for way in ("long", "short", "broken") for name in inputs
                if name not in ("q", "p", "b")]
        ways += [("q", "broken"), *([("c", "beyond"), ("c", "unordered")] if "c" in inputs else []),
                 *([("b", "short"), ("b", "long")] if "b" in inputs else [])]
        for name, way in ways:
            self.simulation.reset()
            beats = self._broken(name, way, sets)
            if beats is None:
                continue
            self.exchange(sets[:1])
            self.exchange(sets[1:], wrong=[0], error=1, end=name == "q", beats={
                name: np.concatenate([beats, self.beats(name, sets[2:])])})
            self.exchange(sets[:1], error=1)
        self.simulation.reset()
        self.exchange(sets[:1])

    def _broken(self, name: str, way: str, sets: Sequence[object]) -> np.ndarray | None:
        """Beats of a stream for the second set, broken in one way; None if that can not be."""
        config, keys = self.config, sets[1]
        if name == "b":
            rows = wrong_rows(bias_beats(config, keys.b, self.random))
            return self.simulation.ports[name].encode(**rows[way]) if way in rows else None
        size, beats = config.beats_of(name), self.beats(name, [keys])
        if way == "long":
            excess = ((config.max_keys + 1) * size - len(beats)
                      + int(self.random.integers(2 * size)))
            fill = beats.copy()
            word, bit = divmod(self.simulation.ports[name].places["last"], 32)
            fill[:, word] &= ~np.uint32(1 << bit)
            return np.concatenate([np.resize(fill, (excess, fill.shape[1])), beats])
        if way == "short" and len(beats) > size:
            return beats[size:]
        if way == "broken" and size > 1:
            return np.delete(beats, len(beats) - size, axis=0)
        if way == "beyond" and not keys.mask.all() and len(keys.k) < config.max_keys:
            vectors = keys.c
            vectors[self.random.integers(len(vectors)), -1] = len(keys.k) << 8
            return self.encode(name, [vectors], [keys])
        if way == "unordered" and len(keys.c) > 1:
            return self.encode(name, [unordered(keys.c, self.random)], [keys])
        return None

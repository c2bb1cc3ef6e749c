"""Tests of the attention engine with resident sets: exactness, cycles, stream rules, reset, errors.

Run inside the simulator by :mod:`sim.runner`, once for each :class:`ResidentJob`; see
:mod:`sim.bench.bench`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import cocotb
import numpy as np

from rtl.attention.resident.arrival import TOKEN_CYCLES
from rtl.attention.resident.layouts import COMMAND, Operation
from rtl.config import UnitConfig

from .bench import Bench, tests_of
from .biases import row_beats, wrong_rows
from .compare import require
from .jobs import Job
from .stream import Sink, Source, Stall, gaps, patient, stalls

__all__ = ["ResidentJob", "Script", "beats_of", "decoding", "misplaced", "misplaced_of"]

#: Columns of a script's commands.
FIELDS = ("operation", "set", "head", "count", "offset")


@dataclasses.dataclass(frozen=True, eq=False)
class Script:
    """Commands, and the vectors that they speak of.

    Attributes
    ----------
    commands : int array (commands, 5)
        :data:`FIELDS` of each.
    q : int array (queries, dim)
        Queries of all packets.
    k, v : int arrays (keys, dim), (keys, value_dim)
        Keys and values of all appends.
    mask : bool array (keys,)
        True: the key takes no part.
    p : int array (loads of heads, words)
        Beats of parameters.
    b : int array (queries, elements)
        With ``config.bias``, the elements of each query's row of biases, as long as rows may be;
        empty without.
    row_words : int array (queries,)
        Words of keys of each query's row; None, before the model was asked.
    y : int array (queries, value_dim)
        Expected outputs; None, before the model was asked.
    marked : bool array (queries,)
        Expected marks; None, before the model was asked.
    error : bool
        Whether ``error`` is raised.
    """

    commands: np.ndarray
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    mask: np.ndarray
    p: np.ndarray
    b: np.ndarray
    row_words: np.ndarray | None = None
    y: np.ndarray | None = None
    marked: np.ndarray | None = None
    error: bool = False

    def counts(self, operation: Operation) -> np.ndarray:
        """Return the counts of the commands of a kind that bring vectors."""
        found = self.commands[self.commands[:, 0] == operation.value, 3]
        return found[found > 0]

    def words(self) -> np.ndarray:
        """Return the commands as two words of 32 bits each."""
        bits = [COMMAND.const({**dict(zip(FIELDS, map(int, row), strict=True)),
                               "operation": Operation(int(row[0]))}).as_bits()
                for row in self.commands]
        return np.array([(each & 0xFFFFFFFF, each >> 32) for each in bits],
                        np.int64).reshape(-1, 2)


@dataclasses.dataclass(frozen=True, eq=False)
class ResidentJob(Job):
    """Script for an engine with resident sets.

    Attributes
    ----------
    script : Script
        What to do, and what comes of it.
    first : Script
        The append of keys to an empty set, a query, then the append of one more and its query.
    """

    BENCH = "sim.bench.resident"

    config: UnitConfig
    script: Script
    first: Script
    seed: int
    ports: str
    latency: int

    def arrays(self) -> dict[str, object]:
        return {f"{name}_{field.name}": getattr(getattr(self, name), field.name)
                for name in ("script", "first") for field in dataclasses.fields(Script)}

    @classmethod
    def members(cls, content: dict[str, np.ndarray]) -> dict[str, object]:
        return {name: Script(**{field.name: content[f"{name}_{field.name}"]
                                for field in dataclasses.fields(Script)})
                for name in ("script", "first")}


def beats_of(config: UnitConfig, script: Script, name: str,
             random: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the members of a stream's beats: ``data``, ``last``, and ``mask`` or ``use``."""
    if name == "c":
        words = script.words()
        # TLAST of commands says nothing.
        return {"data": words, "last": random.random(len(words)) < 0.5}
    if name == "p":
        return {"data": script.p, "last": random.random(len(script.p)) < 0.5}
    if name == "b":
        # The biases of an answer that fails may have any number of beats.
        more = random.integers(0, 3, len(script.row_words)) * script.marked
        return row_beats(config, script.b, script.row_words + more, random)
    size = config.beats_of(name)
    vectors = script.y if name == "o" else getattr(script, name)
    counts = script.counts(Operation.APPEND if name in "kv" else Operation.QUERY)
    last = np.zeros(len(vectors) * size, bool)
    last[np.cumsum(counts) * size - 1] = True
    found = {"data": vectors.reshape(-1, config.io_lanes).astype(np.int64), "last": last}
    if name == "k":
        # The mask counts in a vector's last beat only.
        found["mask"] = random.random(len(last)) < 0.5
        found["mask"][size - 1::size] = script.mask
    if name == "o":
        found["use"] = script.marked.repeat(size).astype(np.int64)
    return found


def misplaced(beats: Mapping[str, np.ndarray], size: int) -> Iterator[tuple[str, dict]]:
    """Yield members of beats whose first command's ``last`` is a vector early, or a vector late."""
    end = int(np.flatnonzero(beats["last"])[0])
    short = {name: np.delete(values, np.arange(size) + end - 2 * size + 1, axis=0)
             for name, values in beats.items()}
    start = end - size + 1
    long = {name: np.insert(values, start, values[start:end + 1], axis=0)
            for name, values in beats.items()}
    long["last"][start:start + size] = False
    if end >= 2 * size - 1:
        yield "short", short
    yield "long", long


def misplaced_of(config: UnitConfig, script: Script, name: str,
                 random: np.random.Generator) -> Iterator[dict]:
    """Yield members of a stream's beats in which ``last`` is not where it should be."""
    members = beats_of(config, script, name, random)
    if name == "b":
        yield from wrong_rows(members).values()
    else:
        yield from (beats for _, beats in misplaced(members, config.beats_of(name)))


def decoding(config: UnitConfig, script: Script) -> tuple[dict[str, int], int]:
    """Return how many beats of each input the commands up to the first query have, and the keys."""
    commands = 1 + int(np.flatnonzero(script.commands[:, 0] == Operation.QUERY.value)[0])
    keys = int(script.counts(Operation.APPEND)[0])
    counts = {"c": commands, "q": config.vector_beats, "k": keys * config.vector_beats,
              "v": keys * config.value_beats, "p": len(script.p),
              "b": int(script.row_words[0])}
    return {name: counts[name] for name in config.streams if name != "o"}, keys


class _Bench(Bench):
    """The design with its clock, its streams and the job's script."""

    JOB = ResidentJob

    @property
    def patience(self) -> int:
        """Sets are loaded, and queries run."""
        config = self.config
        return (4 * (config.max_keys + 8) * config.stream_beats
                + 4 * config.query_latency(config.max_keys) + 2 * config.sets + 200)

    def encode(self, name: str, members: Mapping[str, np.ndarray]) -> list[str]:
        """Return the beats of a stream that have these members."""
        mask = members.get("mask")
        return self.ports[name].format.encode(
            members["data"], None, members["last"], None if mask is None else mask[:, None],
            members.get("use"))

    def beats(self, name: str, script: Script) -> list[str]:
        """Return the beats of a stream that carry its part of a script."""
        return self.encode(name, beats_of(self.config, script, name, self.random))

    async def exchange(self, script: Script, *, gap: float = 0.0, stall: Stall | None = None,
                       beats: Mapping[str, list[str]] | None = None, wrong: bool = False
                       ) -> np.ndarray:
        """Send a script, compare what comes out, and return the cycles of the outputs.

        ``beats`` has the beats of streams that are not those of the script; with ``wrong`` the
        outputs do not matter.
        """
        sent = {name: (beats or {}).get(name) or self.beats(name, script) for name in self.inputs}
        expected = self.beats("o", script)
        done = await self.transfer(
            sent, len(expected), stall=stall,
            pauses={name: gaps(self.random, len(sent[name]), gap) for name in sent},
            patience=int(self.patience * (1 + (stall is not None)) * 3 / (1.0 - gap)))
        self.report["beats"] += len(expected)
        size = self.config.value_beats
        self.compare(done, expected, lambda beat: (f"query {beat // size}",
                                                   beat % size * self.config.io_lanes),
                     script.y.size, [slice(0, len(expected))] if wrong else [])
        return done.cycles


_test = tests_of(_Bench)


@_test
async def commands_back_to_back(bench):
    """No gaps, no stalls: exact."""
    await bench.exchange(bench.job.script)
    bench.error(int(bench.job.script.error))


@_test
async def latency_of_idle_engine(bench):
    """A query comes in time behind its last beat; a decoded token ``TOKEN_CYCLES`` later.

    The report's cycles are the latencies' sum.
    """
    config, script = bench.config, bench.job.first
    counts, keys = decoding(config, script)
    beats = {name: bench.beats(name, script) for name in counts}
    size = config.value_beats
    output = bench.beats("o", script)
    parts = [{name: slice(0, count) for name, count in counts.items()},
             {name: slice(count, None) for name, count in counts.items()}]
    sink = Sink(bench.clock, bench.ports["o"])
    for token, part in enumerate(parts):
        # The queries come last, behind all else or beside the last key.
        sources = {name: Source(bench.clock, bench.ports[name]) for name in counts}
        late = ["q"] if not token else ["q", "k", "v"]
        counted = [*late]
        late += ["b"] * ("b" in counts)
        early = [name for name in counts if name not in late]
        for names in early, late:
            tasks = [cocotb.start_soon(sources[name].run(beats[name][part[name]]))
                     for name in names]
            if names is early:
                for task in tasks:
                    await task
                for _ in range(16):
                    await bench._fall
        await sink.run(size, patience=bench.patience)
        for task in tasks:
            await task
        require(sink.beats[-size:] == output[token * size:(token + 1) * size],
                f"output {token} is wrong")
        latency = sink.cycles[-size] - max(sources[name].accepted[-1] for name in counted)
        bench.report["cycles"] += latency
        expected = (config.query_latency(keys + token) + TOKEN_CYCLES * token
                    + bench.job.latency - config.latency)
        require(latency == expected, f"latency with {keys + token} keys is {latency} instead of "
                                     f"{expected}")


@_test
async def commands_with_gaps(bench):
    """Gaps at every input: exact."""
    await bench.exchange(bench.job.script, gap=float(bench.random.choice([0.1, 0.5, 0.8])))
    bench.error(int(bench.job.script.error))


@_test
async def commands_with_gaps_and_stalls(bench):
    """Gaps and stalls: exact."""
    await bench.exchange(bench.job.script, gap=0.3, stall=stalls(bench.random, 0.4))
    bench.error(int(bench.job.script.error))


@_test
async def commands_to_patient_sink(bench):
    """Ready comes after valid only: valid does not wait for ready."""
    await bench.exchange(bench.job.first, stall=patient(bench.random, 3))
    bench.error(0)


@_test
async def reset_at_any_time(bench):
    """A reset with vectors on their way in and answers on their way out leaves nothing behind."""
    script = bench.job.script
    for _ in range(3):
        tasks = [cocotb.start_soon(Source(bench.clock, bench.ports[name]).run(
            bench.beats(name, script))) for name in bench.inputs]
        bench.ports["o"].set_ready("1")
        for _ in range(int(bench.random.integers(1, bench.patience))):
            await bench._fall
        for task in tasks:
            task.cancel()
        await bench.reset(int(bench.random.integers(1, 3)))
        await bench.exchange(bench.job.first)
        bench.error(0)


@_test
async def misplaced_lasts(bench):
    """An append or packet that is short or long raises ``error`` and holds up nothing."""
    script = bench.job.first
    for name in bench.inputs:
        if name in ("c", "p"):
            continue
        for beats in misplaced_of(bench.config, script, name, bench.random):
            await bench.reset()
            # Queries that are too many are dropped.
            await bench.exchange(script, beats={name: bench.encode(name, beats)}, wrong=name != "q")
            bench.error(1)
    await bench.reset()
    await bench.exchange(script)
    bench.error(0)

"""Tests of the attention engine: exactness, cycles, stream rules, reload, reset and errors.

Run inside the simulator by :mod:`sim.runner`, once for each :class:`AttentionJob`; see
:mod:`sim.bench.bench`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import cocotb
import numpy as np

from rtl.config import UnitConfig
from sim.data.columns import sort

from .bench import Bench, tests_of
from .biases import bias_beats, wrong_rows
from .compare import require
from .jobs import Job
from .stream import Sink, Source, Stall, gaps, patient, stalls
from .timing import check_queries

__all__ = ["AttentionJob", "KeySet", "marked", "unordered"]


@dataclasses.dataclass(frozen=True, eq=False)
class KeySet:
    """Keys, values, their mask, and the queries that meet them, with what must come out.

    Attributes
    ----------
    q, k, v : int arrays (queries, dim), (keys, dim), (keys, value_dim)
        Elements.
    mask : bool array (keys,)
        True: the key takes no part.
    y : int array (queries, value_dim)
        Expected outputs; None, before the model was asked.
    use : int
        What the values are for, where their stream says so. Those that reuse a map come with
        neither queries nor keys.
    p : int array (1, words)
        With scales at run time, the beat of parameters; empty for those of the configuration.
    b : int array (queries, keys)
        With ``config.bias``, the elements of each query's row of biases; empty without.
    """

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    mask: np.ndarray
    y: np.ndarray | None = None
    use: int = 0
    p: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0), np.int64))
    b: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 0), np.int64))

    @property
    def c(self) -> np.ndarray:
        """Sorted columns of the keys, for an engine that does not sort them itself."""
        return sort(self.k, self.mask).vectors()


@dataclasses.dataclass(frozen=True, eq=False)
class AttentionJob(Job):
    """Sets for an attention engine.

    Attributes
    ----------
    sets : list of KeySet
        Sets in their order.
    """

    BENCH = "sim.bench.attention"

    config: UnitConfig
    sets: list[KeySet]
    seed: int
    ports: str
    latency: int

    def arrays(self) -> dict[str, object]:
        arrays = {f"{name}{number}": getattr(keys, name) for number, keys in enumerate(self.sets)
                  for name in ("q", "k", "v", "mask", "y", "p", "b")}
        return {**arrays, "use": np.array([keys.use for keys in self.sets])}

    @classmethod
    def members(cls, content: dict[str, np.ndarray]) -> dict[str, object]:
        return {"sets": [KeySet(*(content[f"{name}{number}"] for name in
                                  ("q", "k", "v", "mask", "y")), int(use),
                                *(content[f"{name}{number}"] for name in ("p", "b")))
                         for number, use in enumerate(content["use"])]}


def unordered(columns: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return sorted columns, of which two neighbours of one have changed places."""
    place, column = (int(random.integers(size)) for size in (len(columns) - 1, columns.shape[1]))
    found = columns.copy()
    found[place:place + 2, column] = columns[place:place + 2, column][::-1]
    return found


def marked(use: np.ndarray, size: int, *, end: bool) -> bool:
    """Return whether the beats of a set that failed are marked; with ``end`` those of its last row.

    ``use`` has the marks, ``size`` is the number of beats of a row.
    """
    return bool((use[-size:] if end else use).all())


class _Bench(Bench):
    """The design with its clock, its streams and the job's sets."""

    JOB = AttentionJob

    @property
    def patience(self) -> int:
        """A set is loaded, and its first query runs."""
        config = self.config
        return (2 * config.max_keys * config.stream_beats + config.stream_beats
                + 2 * config.sort_cycles(config.max_keys)
                + config.query_latency(config.max_keys) + 64)

    def beats(self, name: str, sets: Sequence[KeySet]) -> list[str]:
        """Return the beats of a stream that carry its part of the sets."""
        return [beat for keys in sets
                for beat in self.encode(name, getattr(keys, "y" if name == "o" else name), keys)]

    def encode(self, name: str, vectors: np.ndarray, keys: KeySet) -> list[str]:
        """Return the beats of a stream that carry vectors, as those of a set."""
        form, config = self.ports[name].format, self.config
        if not len(vectors):
            return []
        if name == "b":
            return form.encode(keep=None, **bias_beats(config, vectors, self.random))
        data = vectors.reshape(-1, form.lanes)
        last = np.zeros(len(data), bool)
        last[-1] = True
        mask = use = None
        if name == "k":
            # The mask counts in a vector's last beat only.
            mask = self.random.random(len(last)) < 0.5
            mask[config.vector_beats - 1::config.vector_beats] = keys.mask
            mask = mask[:, None]
        if name == "o":
            use = np.zeros(len(data), np.int64)
        elif "use" in form.fields:
            # What a set is for counts in its last beat only.
            use = self.random.integers(0, 1 << form.fields["use"].width, len(last))
            use[-1] = keys.use
        return form.encode(data, None, last, mask, use)

    async def exchange(self, sets: Sequence[KeySet], *, gap: float = 0.0,
                       stall: Stall | None = None, wrong: Iterable[int] = (), end: bool = False,
                       beats: dict[str, list[str]] | None = None) -> dict[str, np.ndarray]:
        """Send sets and compare what comes out.

        Parameters
        ----------
        sets : sequence of KeySet
            What to send.
        gap : float
            Probability of a cycle without a beat, at each input.
        stall : callable
            Policy of the sink.
        wrong : iterable of int
            Sets that fail: their outputs do not matter, but must be marked, all others not.
        end : bool
            Whether only the last output of such a set is marked.
        beats : dict of list
            Beats of streams, where they are not those of ``sets``.

        Returns
        -------
        dict of array
            Cycles in which each beat of each stream was transferred.
        """
        sent = {name: (beats or {}).get(name) or self.beats(name, sets) for name in self.inputs}
        expected = self.beats("o", sets)
        done = await self.transfer(
            sent, len(expected), stall=stall,
            pauses={name: gaps(self.random, len(sent[name]), gap) for name in sent},
            patience=int(self.patience * (1 + (stall is not None)) * 3 / (1.0 - gap)))
        self.report["beats"] += len(expected)
        size = self.config.value_beats
        sizes = [len(keys.y) * size for keys in sets]
        ends = np.cumsum(sizes)

        def where(beat: int) -> tuple[str, int]:
            number = int(np.searchsorted(ends, beat, "right"))
            query, place = divmod(beat - int(ends[number] - sizes[number]), size)
            return (f"set {number} of {len(sets[number].v)} keys, query {query}",
                    place * self.config.io_lanes)

        parts = [slice(ends[number] - sizes[number], ends[number]) for number in wrong]
        self.compare(done, expected, where, sum(keys.y.size for keys in sets), parts)
        for part in parts:
            require(marked(self.ports["o"].format.decode(done.beats[part])["use"], size, end=end),
                    "a set that failed is not marked")
        return {"o": done.cycles, **done.accepted}


_test = tests_of(_Bench)


# Exactness and timing

@_test
async def sets_back_to_back(bench):
    """No gaps, no stalls: exact, and no bubble between the queries of a set."""
    cycles = await bench.exchange(bench.job.sets)
    check_queries(bench.config, bench.job.sets, cycles["o"])
    bench.error(0)


@_test
async def latency_of_idle_engine(bench):
    """A query comes ``query_latency`` cycles after its last beat, if all else is there.

    With a selection that is known for one key only. The report's cycles are the latencies' sum.
    """
    config = bench.config
    # Iterations that come with the set take their time.
    own = config.run_time and "iterations" in config.limits
    for keys in bench.job.sets[:4]:
        if not len(keys.q):
            continue
        await bench.reset()
        loads = [cocotb.start_soon(Source(bench.clock, bench.ports[name]).run(
            bench.beats(name, [keys]))) for name in bench.inputs if name not in ("q", "b")]
        for load in loads:
            await load
        for _ in range(1 + config.sort_cycles(len(keys.k))):
            await bench._fall
        single = dataclasses.replace(keys, q=keys.q[:1], y=keys.y[:1], b=keys.b[:1])
        sources = {name: Source(bench.clock, bench.ports[name]) for name in ("q", "b")
                   if name in bench.inputs}
        sending = [cocotb.start_soon(source.run(bench.beats(name, [single])))
                   for name, source in sources.items()]
        query, sink = sources["q"], Sink(bench.clock, bench.ports["o"])
        await sink.run(config.value_beats, patience=bench.patience)
        for each in sending:
            await each
        require(sink.beats == bench.beats("o", [single]), "the output is wrong")
        latency = sink.cycles[0] - query.accepted[-1]
        bench.report["cycles"] += latency
        if config.select == "none" or (len(keys.k) == 1 and not own):
            seen = 1 if config.causal else len(keys.k)
            expected = config.query_latency(seen) + bench.job.latency - config.latency
            require(latency == expected,
                    f"latency with {seen} keys is {latency} instead of {expected}")


@_test
async def sets_with_gaps(bench):
    """Gaps at every input: exact."""
    await bench.exchange(bench.job.sets, gap=float(bench.random.choice([0.1, 0.5, 0.8])))
    bench.error(0)


@_test
async def sets_with_stalls(bench):
    """Stalls at the output: exact."""
    await bench.exchange(bench.job.sets,
                         stall=stalls(bench.random, bench.random.choice([0.1, 0.5, 0.9])))
    bench.error(0)


@_test
async def sets_with_gaps_and_stalls(bench):
    """Gaps and stalls: exact."""
    await bench.exchange(bench.job.sets, gap=0.3, stall=stalls(bench.random, 0.4))
    bench.error(0)


@_test
async def sets_to_patient_sink(bench):
    """Ready comes after valid only: valid does not wait for ready."""
    await bench.exchange(bench.job.sets[:4], stall=patient(bench.random, 3))
    bench.error(0)


# Reset and errors

@_test
async def reset_at_any_time(bench):
    """A reset with sets on their way in and queries on their way out leaves nothing behind."""
    sets = bench.job.sets
    for _ in range(4):
        tasks = [cocotb.start_soon(Source(bench.clock, bench.ports[name]).run(
            bench.beats(name, sets))) for name in bench.inputs]
        bench.ports["o"].set_ready("1")
        for _ in range(int(bench.random.integers(1, 2 * bench.patience))):
            await bench._fall
        for task in tasks:
            task.cancel()
        await bench.reset(int(bench.random.integers(1, 3)))
        await bench.exchange(sets[:2])
        bench.error(0)


@_test
async def broken_sets(bench):
    """A set that is too long, broken off or uneven is marked, and hurts no other set."""
    config, sets = bench.config, bench.job.sets[:3]
    ways = [(name, way) for way in ("long", "short", "broken") for name in bench.inputs
            if name not in ("q", "p", "b")]
    ways.append(("q", "broken"))
    if "b" in bench.inputs:
        ways += [("b", "short"), ("b", "long")]
    if "c" in bench.inputs:
        ways += [("c", "beyond"), ("c", "unordered")]
    for name, way in ways:
        await bench.reset()
        beats = [bench.beats(name, [keys]) for keys in sets]
        bad, size = beats[1], config.beats_of(name)
        if name == "b":
            rows = wrong_rows(bias_beats(config, sets[1].b, bench.random))
            if way not in rows:
                continue
            bad[:] = bench.ports["b"].format.encode(keep=None, **rows[way])
        elif way == "long":
            excess = (config.max_keys + 1) * size - len(bad) + int(bench.random.integers(2 * size))
            # The top digit of a beat is its last.
            fill = ["0" + beat[1:] for beat in bad]
            bad[:] = (fill * (excess // len(fill) + 1))[:excess] + bad
        elif way == "short" and len(bad) > size:
            del bad[:size]
        elif way == "broken" and size > 1:
            del bad[len(bad) - size]
        elif way == "beyond" and not sets[1].mask.all() and len(sets[1].k) < config.max_keys:
            vectors = sets[1].c
            vectors[bench.random.integers(len(vectors)), -1] = len(sets[1].k) << 8
            bad[:] = bench.encode(name, vectors, sets[1])
        elif way == "unordered" and len(sets[1].c) > 1:
            bad[:] = bench.encode(name, unordered(sets[1].c, bench.random), sets[1])
        else:
            continue
        await bench.exchange(sets[:1])
        bench.error(0)
        await bench.exchange(sets[1:], wrong=[0], end=name == "q", beats={name: bad + beats[2]})
        bench.error(1)
        await bench.exchange(sets[:1])
        bench.error(1)
    await bench.reset()
    bench.error(0)

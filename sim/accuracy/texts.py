"""Texts that a model reads: sentences of a file, put together to texts of a length."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..data.real import DATA
from .errors import AccuracyError

__all__ = ["SENTENCES", "compose", "find_sentences", "make_batches", "read_sentences"]

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


def find_sentences(argument: Path | None) -> list[str]:
    """Return the sentences of a file; of the default one, or some built in, for None."""
    if argument is not None:
        return read_sentences(argument)
    folder = os.environ.get(DATA)
    if folder:
        return read_sentences(Path(folder) / "stsb" / "sts-dev.tsv")
    return list(SENTENCES)


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
        raise AccuracyError(f"Cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise AccuracyError(f"{path} is not UTF-8 text: {error.reason}") from None
    lines = [line for line in lines if line.strip()]
    if lines and lines[0].count("\t") >= 6:
        fields = [line.split("\t") for line in lines]
        for number, parts in enumerate(fields, start=1):
            if len(parts) < 7:
                raise AccuracyError(f"{path}: sentence pair {number} must have at least 7 "
                                   f"tab-separated fields, not {len(parts)}")
        lines = [parts[5] for parts in fields] + [parts[6] for parts in fields]
    sentences = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not sentences:
        raise AccuracyError(f"{path} has no sentences")
    return sentences


def compose(counts: Sequence[int], start: int, limit: int) -> range:
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


def make_batches(tokens: Sequence[list[int]], lengths: Sequence[int], texts: int,
                 ends: int) -> list[list[list[int]]]:
    """Return a batch for each of the ascending lengths: a list of texts, longest first.

    A text is whole sentences of ``tokens``, without the ``ends`` tokens that open and close it.
    """
    counts = [len(item) for item in tokens]
    batches: list[list[list[int]]] = []
    for place, length in enumerate(lengths):
        batch = []
        for text in range(texts):
            # Starts lie all over the file, whose neighbours are of one kind.
            start = len(tokens) * (place * texts + text) // (len(lengths) * texts)
            run = compose(counts, start, length * (texts - text) // texts - ends)
            if run:
                batch.append([token for sentence in run for token in tokens[sentence]])
        # Too few sentences for this length: the batch would repeat the one before.
        if batch and (not batches or len(batch[0]) > len(batches[-1][0])):
            batches.append(batch)
    if not batches:
        raise AccuracyError(f"No sentence is short enough for a row of {max(lengths)} keys")
    return batches

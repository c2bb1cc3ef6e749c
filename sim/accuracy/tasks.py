"""Tasks that a sentence encoder is measured on: data, predictions, score."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch

from .bootstrap import spearman
from .encoder import Encoder
from .errors import AccuracyError

__all__ = ["DATA", "Sentiment", "Similarity", "TASKS", "Task", "fit_probe"]

#: Environment variable that names the folder of data.
DATA = "TRANSFORMER_RTL_DATA"

Progress = Callable[[Sequence[object]], Iterator]


class Task(Protocol):
    """Data and score.

    Attributes
    ----------
    title, unit : str
        What is measured, and the score's name.
    labels : array, shape (examples,)
        Labels of the dev part.
    calibration : list of str
        Texts of the train part.
    """

    title: str
    unit: str
    labels: np.ndarray
    calibration: list[str]

    def predict(self, encoder: Encoder, progress: Progress = iter) -> np.ndarray:
        """Return the predictions (examples,) for the dev part."""

    @staticmethod
    def score(predictions: np.ndarray, labels: np.ndarray) -> float:
        """Return the score in points, 0..100."""


class Similarity:
    """STS benchmark, dev: cosine of two sentences' embeddings, Spearman's correlation.

    Parameters
    ----------
    examples : int or None
        Pairs, spread evenly over the file; None takes all.
    """

    title, unit = "STS-B dev", "Spearman"

    def __init__(self, examples: int | None = None) -> None:
        lines = _spread(_lines("stsb/sts-dev.tsv", 7), examples)
        self._pairs = [(line[5], line[6]) for line in lines]
        self.labels = np.array([float(line[4]) for line in lines])
        self.calibration = [line[5] for line in _lines("stsb/sts-train.tsv", 7)]

    def predict(self, encoder: Encoder, progress: Progress = iter) -> np.ndarray:
        """Return the cosine of each pair."""
        texts = list(dict.fromkeys(text for pair in self._pairs for text in pair))
        embeddings = dict(zip(texts, encoder.embed(texts, progress).double(), strict=True))
        return np.array([float(embeddings[a] @ embeddings[b]) for a, b in self._pairs])

    score = staticmethod(spearman)


class Sentiment:
    """Stanford Sentiment Treebank, dev: a linear probe on frozen embeddings, share that is right.

    The probe is a logistic regression that is fitted once, on the embeddings of the float model.

    Parameters
    ----------
    examples : int or None
        Sentences, spread evenly over the file; None takes all.
    """

    title, unit = "SST-2 dev", "accuracy"
    TRAINED = 6000

    def __init__(self, examples: int | None = None) -> None:
        lines = _spread(_lines("sst2/dev.tsv", 2)[1:], examples)
        self._texts = [line[0].strip() for line in lines]
        self.labels = np.array([int(line[1]) for line in lines])
        train = _lines("sst2/train.tsv", 2)[1:]
        self.calibration = [line[0].strip() for line in train]
        self._train = _spread(train, self.TRAINED)
        self._probe: tuple[torch.Tensor, torch.Tensor] | None = None

    def predict(self, encoder: Encoder, progress: Progress = iter) -> np.ndarray:
        """Return the probe's logits; the first call fits the probe, and must be in float."""
        if self._probe is None:
            embeddings = encoder.embed([line[0].strip() for line in self._train], progress)
            self._probe = fit_probe(embeddings, [int(line[1]) for line in self._train])
        weight, bias = self._probe
        return (encoder.embed(self._texts, progress).double() @ weight + bias).numpy()

    @staticmethod
    def score(predictions: np.ndarray, labels: np.ndarray) -> float:
        """Return the share of logits whose sign is right, in points."""
        return float(100.0 * np.mean((predictions > 0) == labels))


TASKS: dict[str, type[Similarity] | type[Sentiment]] = {"stsb": Similarity, "sst2": Sentiment}


def fit_probe(embeddings: torch.Tensor, labels: Sequence[int],
              decay: float = 1e-4) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight (dim,) and bias of a logistic regression, float64, by L-BFGS."""
    x = embeddings.detach().double()
    y = torch.tensor(labels, dtype=torch.float64)
    weight = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros((), dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        search.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(x @ weight + bias, y)
        loss = loss + decay * weight.square().sum()
        loss.backward()
        return loss

    search.step(closure)
    return weight.detach(), bias.detach()


def _lines(name: str, fields: int) -> list[list[str]]:
    folder = os.environ.get(DATA)
    if not folder:
        raise AccuracyError(f"Environment variable {DATA} must name the folder of {name}; it is "
                            "not set")
    path = pathlib.Path(folder) / name
    try:
        lines = [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n") if line]
    except OSError as error:
        raise AccuracyError(f"File {str(path)!r} can not be read: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        if len(line) < fields:
            raise AccuracyError(f"File {str(path)!r}, line {number}, must have {fields} fields, "
                                f"not {len(line)}")
    return lines


def _spread(lines: list[list[str]], examples: int | None) -> list[list[str]]:
    if examples is None or examples >= len(lines):
        return lines
    return [lines[n * len(lines) // examples] for n in range(examples)]

"""Tasks of sentence encoders: similarity of two sentences, sentiment of one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..bootstrap import spearman
from ..encoder import Encoder
from ..files import read_lines, spread
from .task import Progress

__all__ = ["Sentiment", "Similarity", "fit_probe"]

# Texts that units are calibrated with.
CALIBRATION_TEXTS = 256


class _OfSentences:
    """What both have: an encoder, and texts of the train part to calibrate with."""

    relative, kinds, row = False, ("softmax", "layernorm"), 0

    def __init__(self, name: str, calibration: list[str]) -> None:
        self.name = name
        self._encoder = Encoder(name)
        self.model = self._encoder.model
        self._calibration = sorted(spread(calibration, CALIBRATION_TEXTS), key=len)

    def batches(self) -> list[dict[str, torch.Tensor]]:
        """Return batches of texts of the train part."""
        return self._encoder.batches(self._calibration)


class Similarity(_OfSentences):
    """STS benchmark, dev: cosine of two sentences' embeddings, Spearman's correlation.

    Parameters
    ----------
    name : str
        Model, as of :class:`~sim.accuracy.encoder.Encoder`.
    examples : int or None
        Pairs, spread evenly over the file; None takes all.
    """

    title, unit = "STS-B dev", "Spearman"

    def __init__(self, name: str, examples: int | None = None) -> None:
        lines = spread(read_lines("stsb/sts-dev.tsv", 7), examples)
        super().__init__(name, [line[5] for line in read_lines("stsb/sts-train.tsv", 7)])
        self._pairs = [(line[5], line[6]) for line in lines]
        self.labels = np.array([float(line[4]) for line in lines])

    def predict(self, progress: Progress = iter) -> np.ndarray:
        """Return the cosine of each pair."""
        texts = list(dict.fromkeys(text for pair in self._pairs for text in pair))
        vectors = self._encoder.embed(texts, progress).double()
        embeddings = dict(zip(texts, vectors, strict=True))
        return np.array([float(embeddings[a] @ embeddings[b]) for a, b in self._pairs])

    score = staticmethod(spearman)


class Sentiment(_OfSentences):
    """Stanford Sentiment Treebank, dev: a linear probe on frozen embeddings, share that is right.

    The probe is a logistic regression that is fitted once, on the embeddings of the float model.

    Parameters
    ----------
    name : str
        Model, as of :class:`~sim.accuracy.encoder.Encoder`.
    examples : int or None
        Sentences, spread evenly over the file; None takes all.
    """

    title, unit = "SST-2 dev", "accuracy"
    TRAINED = 6000

    def __init__(self, name: str, examples: int | None = None) -> None:
        lines = spread(read_lines("sst2/dev.tsv", 2)[1:], examples)
        train = read_lines("sst2/train.tsv", 2)[1:]
        super().__init__(name, [line[0].strip() for line in train])
        self._texts = [line[0].strip() for line in lines]
        self.labels = np.array([int(line[1]) for line in lines])
        self._train = spread(train, self.TRAINED)
        self._probe: tuple[torch.Tensor, torch.Tensor] | None = None

    def predict(self, progress: Progress = iter) -> np.ndarray:
        """Return the probe's logits; the first call fits the probe, and must be in float."""
        if self._probe is None:
            embeddings = self._encoder.embed([line[0].strip() for line in self._train], progress)
            self._probe = fit_probe(embeddings, [int(line[1]) for line in self._train])
        weight, bias = self._probe
        return (self._encoder.embed(self._texts, progress).double() @ weight + bias).numpy()

    @staticmethod
    def score(predictions: np.ndarray, labels: np.ndarray) -> float:
        """Return the share of logits whose sign is right, in points."""
        return float(100.0 * np.mean((predictions > 0) == labels))


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

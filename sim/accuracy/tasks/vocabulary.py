"""Masked words: the softmax over a vocabulary, on hidden states that are data."""

from __future__ import annotations

import zipfile

import numpy as np
import torch
from torch import nn

from ..errors import AccuracyError
from ..files import data_file, spread
from ..pretrained import load_model
from .task import Progress

__all__ = ["CANDIDATES", "MaskedWords", "OutputSoftmax"]

#: Words of a row: the most that a softmax unit takes.
CANDIDATES = 4096

BATCH = 64
# Every so many-th position is for calibration.
CALIBRATION_PART = 10


class OutputSoftmax(nn.Module):
    """Softmax of logits (positions, words), all of the model that a unit takes over."""

    def __init__(self) -> None:
        super().__init__()
        self.softmax = nn.Softmax(-1)

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the weights (positions, words)."""
        return self.softmax(logits)


class MaskedWords:
    """Masked words of WikiText-2, from the hidden states in ``mlm/head.npz``.

    The data is what a fine-tuned encoder has put out; the encoder is not there. So nothing but the
    softmax over the words is approximated: hidden states, output matrix (the word embeddings of the
    model) and logits are float. No unit takes the row of a whole vocabulary: it gets the 4,096
    largest logits, as a screen in front of it would leave them, and the other words weigh 0.

    An example is right if its word has the largest weight; equal ones share. A log-likelihood would
    not be finite: in 8 bits most words weigh 0.

    Parameters
    ----------
    name : str
        Model with the word embeddings: ``"minilm"``.
    examples : int or None
        Positions, spread evenly; None takes all that are not for calibration.
    """

    title, unit = "masked words", "accuracy"
    relative, kinds = False, ("softmax",)

    def __init__(self, name: str, examples: int | None = None) -> None:
        hidden, words, bias = _head()
        self.name = name
        embedding = load_model(name).get_input_embeddings().weight.detach()
        if embedding.shape != (len(bias), hidden.shape[1]):
            raise AccuracyError(f"Model {name!r} must have word embeddings of the shape "
                                f"{(len(bias), hidden.shape[1])}, as mlm/head.npz, not "
                                f"{tuple(embedding.shape)}")
        self.model = OutputSoftmax().eval()
        self.row = min(CANDIDATES, len(bias))
        numbers = torch.arange(len(words))
        held = numbers % CALIBRATION_PART == 0
        chosen = torch.tensor(spread(numbers[~held].tolist(), examples))
        self._calibration = self._logits(hidden[held], embedding, bias)[0]
        self._rows, candidates = self._logits(hidden[chosen], embedding, bias)
        # Place of the word among the candidates; none has the place -1.
        found = candidates == words[chosen][:, None]
        self._place = torch.where(found.any(-1), found.int().argmax(-1), -1)
        self.labels = np.ones(len(chosen))

    def _logits(self, hidden: torch.Tensor, embedding: torch.Tensor,
                bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        parts = [(part @ embedding.T + bias).topk(self.row) for part in hidden.split(BATCH)]
        return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])

    def batches(self) -> list[torch.Tensor]:
        """Return logits of every tenth position."""
        return list(self._calibration.split(BATCH))

    def predict(self, progress: Progress = iter) -> np.ndarray:
        """Return for each position 1 if its word has the largest weight, shared by equal ones."""
        right = []
        with torch.no_grad():
            for rows, place in progress(list(zip(self._rows.split(BATCH),
                                                 self._place.split(BATCH), strict=True))):
                weights = self.model(rows)
                top = weights == weights.amax(-1, keepdim=True)
                mine = top.gather(-1, place.clamp(min=0)[:, None])[:, 0] & (place >= 0)
                right.append(mine / top.sum(-1))
        return torch.cat(right).double().numpy()

    @staticmethod
    def score(predictions: np.ndarray, labels: np.ndarray) -> float:
        """Return the share that is right, in points."""
        return float(100.0 * predictions.mean())


def _head() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Hidden states (positions, dim), words (positions,) and bias (vocabulary,)."""
    path = data_file("mlm/head.npz")
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = [content[name] for name in ("hidden", "label", "bias")]
    except OSError as error:
        raise AccuracyError(f"File {str(path)!r} can not be read: "
                            f"{error.strerror or error}") from None
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile):
        raise AccuracyError(f"File {str(path)!r} must have the arrays hidden, label and "
                            "bias") from None
    hidden, words, bias = arrays
    if hidden.ndim != 2 or words.shape != hidden.shape[:1] or bias.ndim != 1:
        raise AccuracyError(f"File {str(path)!r}: hidden, label and bias must be of the shapes "
                            f"(positions, dim), (positions,) and (words,), not {hidden.shape}, "
                            f"{words.shape} and {bias.shape}")
    return (torch.tensor(hidden, dtype=torch.float32), torch.tensor(words, dtype=torch.int64),
            torch.tensor(bias, dtype=torch.float32))

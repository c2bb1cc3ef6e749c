"""Perplexity of a causal language model: it sees what scores of similarity hide."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional
from transformers import AutoModelForCausalLM

from ..errors import AccuracyError
from ..files import read_text, spread
from ..pretrained import load_model, load_tokenizer
from .task import Progress

__all__ = ["Perplexity", "held_out", "windows"]

# Tokens of a window, and windows of a batch.
TOKENS = 128
BATCH = 16
CALIBRATION_WINDOWS = 64


class Perplexity:
    """WikiText-2: perplexity of the last tenth of the text, in windows of 128 tokens.

    Each window is read by itself: its first token is given, the others are predicted. Perplexities
    of models with other tokenizers do not compare; a unit's difference does.

    Parameters
    ----------
    name : str
        Folder of a causal model and its tokenizer; :mod:`sim.accuracy.train` makes a small one.
    examples : int or None
        Windows, spread evenly over the text; None takes all.
    """

    title, unit = "WikiText-2, last tenth", "perplexity"
    relative, kinds, row = True, ("softmax", "layernorm"), 0

    def __init__(self, name: str, examples: int | None = None) -> None:
        text = read_text("wikitext2/valid.txt")
        self.name = name
        tokenizer = load_tokenizer(name)
        self.model = load_model(name, AutoModelForCausalLM)
        size = min(TOKENS, getattr(self.model.config, "max_position_embeddings", TOKENS))
        train, last = (windows(tokenizer(part, verbose=False)["input_ids"], size)
                       for part in held_out(text))
        self._calibration = torch.stack(spread(list(train), CALIBRATION_WINDOWS))
        self._windows = torch.stack(spread(list(last), examples))
        self.labels = np.full(len(self._windows), size - 1)

    def batches(self) -> list[dict[str, torch.Tensor]]:
        """Return windows of the first nine tenths of the text."""
        return [{"input_ids": part} for part in self._calibration.split(BATCH)]

    def predict(self, progress: Progress = iter) -> np.ndarray:
        """Return the negative log-likelihood of each window, the sum over its tokens, in nats."""
        sums = []
        with torch.no_grad():
            for ids in progress(self._windows.split(BATCH)):
                logits = self.model(input_ids=ids, use_cache=False).logits[:, :-1].double()
                losses = functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:],
                                                  reduction="none")
                sums.append(losses.sum(-1))
        return torch.cat(sums).numpy()

    @staticmethod
    def score(predictions: np.ndarray, labels: np.ndarray) -> float:
        """Return the perplexity: e to the mean of a token; ``labels`` are tokens of a window."""
        return float(np.exp(predictions.sum() / labels.sum()))


def held_out(text: str) -> tuple[str, str]:
    """Return the first nine tenths of a text and the rest, parted at the end of a line."""
    end = text.find("\n", len(text) * 9 // 10)
    if not 0 < end < len(text) - 1:
        raise AccuracyError("File wikitext2/valid.txt must have more lines of text")
    return text[:end + 1], text[end + 1:]


def windows(tokens: list[int], size: int) -> torch.Tensor:
    """Return token ids as windows (windows, size), one after the other; what is left is dropped."""
    if len(tokens) < size:
        raise AccuracyError(f"File wikitext2/valid.txt must have {size} tokens at least in each of "
                            f"its parts, not {len(tokens)}")
    return torch.tensor(tokens[:len(tokens) // size * size]).view(-1, size)

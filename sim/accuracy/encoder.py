"""Sentence encoders of Transformers: text to batches, and to embeddings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from .pretrained import MINILM, load_model, load_tokenizer

__all__ = ["Encoder"]

BATCH = 32


class Encoder:
    """Model and tokenizer, and the mean of the last hidden states as a text's embedding.

    Parameters
    ----------
    name : str
        ``"minilm"``, or a folder with the files of a Transformers model and its tokenizer.
    max_tokens : int
        Longer texts are cut.

    Attributes
    ----------
    name : str
        As it was given.
    model : nn.Module
        In evaluation mode, in float32.
    """

    def __init__(self, name: str = MINILM, max_tokens: int = 128) -> None:
        self.name = name
        self._tokenizer = load_tokenizer(name)
        self.model: nn.Module = load_model(name)
        self._max_tokens = max_tokens

    def batches(self, texts: Sequence[str]) -> list[dict[str, torch.Tensor]]:
        """Return batches of texts, in their order, padded on the right."""
        return [self._batch(texts[start:start + BATCH]) for start in range(0, len(texts), BATCH)]

    def embed(self, texts: Sequence[str],
              progress: Callable[[Sequence[object]], Iterator] = iter) -> torch.Tensor:
        """Return embeddings of length 1 (texts, dim), float32.

        Texts of one length share a batch, so the batches are the same in every run.
        """
        order = sorted(range(len(texts)), key=lambda n: (len(texts[n]), n))
        starts = range(0, len(order), BATCH)
        parts = []
        with torch.no_grad():
            for start in progress(starts):
                batch = self._batch([texts[n] for n in order[start:start + BATCH]])
                hidden = self.model(**batch).last_hidden_state
                live = batch["attention_mask"][..., None].to(hidden.dtype)
                # Not a product: padded tokens may hold anything.
                total = torch.where(live > 0, hidden, 0.0).sum(1)
                parts.append(nn.functional.normalize(total / live.sum(1), dim=-1))
        gathered = torch.cat(parts)
        result = torch.empty_like(gathered)
        result[torch.tensor(order)] = gathered
        return result

    def _batch(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        encoded = self._tokenizer(list(texts), padding=True, truncation=True,
                                  max_length=self._max_tokens, padding_side="right",
                                  return_tensors="pt")
        return dict(encoded)

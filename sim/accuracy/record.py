"""What the places of a model are seen to get while it runs in float: the data of a calibration."""

from __future__ import annotations

import numpy as np
import torch

from .engine_fitting import AttentionRows
from .engine_place import EnginePlace
from .errors import AccuracyError
from .logits import HeadRows
from .mask import live_queries, padded_queries
from .place import EngineInputs, NormPlace, SoftmaxPlace

__all__ = ["Recorder"]

# Rows that are kept of each head and of each LayerNorm.
HEAD_ROWS = 192
NORM_ROWS = 2048
# Vectors that are kept of each attention's queries, and as many of its keys.
VECTORS = 1024


class Recorder:
    """Observer that keeps rows of each place.

    Attributes
    ----------
    batches : int
        Batches that are to come; each gives the same number of rows.
    tokens : None, or boolean tensor (batch, tokens)
        Which tokens of the batch that runs are no padding.
    """

    takes_over = False

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self.tokens: torch.Tensor | None = None
        self._maxima: dict[SoftmaxPlace, list[torch.Tensor]] = {}
        self._rows: dict[SoftmaxPlace, list[torch.Tensor]] = {}
        self._inputs: dict[NormPlace, list[torch.Tensor]] = {}
        self._vectors: dict[EnginePlace, list[list[torch.Tensor]]] = {}
        self._causal: dict[EnginePlace, bool] = {}
        self._window: dict[EnginePlace, int] = {}
        self._generator = torch.Generator().manual_seed(0)

    # Observer

    def softmax(self, place: SoftmaxPlace, logits: torch.Tensor, dead: torch.Tensor | None,
                weights: torch.Tensor) -> None:
        """Keep the maxima of all rows, and some rows."""
        logits = logits.to(torch.float32)
        if torch.isnan(logits).any():
            raise AccuracyError(f"Activations at {place.name} must be numbers, not NaN")
        if dead is not None:
            logits = logits.masked_fill(dead, -torch.inf)
        maxima = logits.amax(-1)
        live = torch.isfinite(maxima)
        padded = padded_queries(dead, logits.shape)
        if padded is not None:
            live = live & ~padded
        # The same queries of all heads, where all heads have them.
        together = live.all(1).nonzero()
        if not len(together):
            return
        wanted = max(1, HEAD_ROWS // self.batches)
        chosen = torch.randperm(len(together), generator=self._generator)[:wanted]
        texts, queries = together[chosen].T
        self._maxima.setdefault(place, []).append(
            maxima.transpose(0, 1)[:, live.all(1)])
        self._rows.setdefault(place, []).append(logits.transpose(0, 1)[:, texts, queries])

    def attention(self, *_: object) -> None:
        """Keep nothing."""

    def engine(self, place: EnginePlace, inputs: EngineInputs, exact: torch.Tensor,
               output: torch.Tensor) -> None:
        """Keep rows of logits, and some queries, keys, values and outputs."""
        self.softmax(place, inputs.logits, inputs.dead, exact)
        if inputs.causal is not None and self._causal.setdefault(
                place, inputs.causal) != inputs.causal:
            raise AccuracyError(f"Attention at {place.name} must be causal always or never, for "
                                "an engine")
        if inputs.window and self._window.setdefault(place, inputs.window) != inputs.window:
            raise AccuracyError(f"Attention at {place.name} must have one window for an engine, "
                                f"not {self._window[place]} and {inputs.window}")
        live = live_queries(inputs.dead, inputs.logits.shape).all(1)
        keys = torch.ones(len(live), inputs.key.shape[-2], dtype=torch.bool)
        if inputs.dead is not None:
            keys &= ~inputs.dead.expand(inputs.logits.shape).all(-2).any(1)
        kept = []
        for part, tensors in ((live, (inputs.query, exact)), (keys, (inputs.key, inputs.value))):
            places = part.nonzero()
            some = torch.randperm(len(places), generator=self._generator)
            texts, tokens = places[some[:max(1, VECTORS // self.batches)]].T
            kept += [x.transpose(0, 1)[:, texts, tokens].to(torch.float64) for x in tensors]
        self._vectors.setdefault(place, []).append(kept)

    def norm(self, place: NormPlace, inputs: torch.Tensor, exact: torch.Tensor,
             output: torch.Tensor) -> None:
        """Keep some rows."""
        if not torch.isfinite(inputs).all():
            raise AccuracyError(f"Activations at {place.name} must be finite numbers")
        tokens = self.tokens
        if tokens is not None and inputs.ndim >= 3 and inputs.shape[:2] == tokens.shape:
            inputs = inputs[tokens]
        rows = inputs.reshape(-1, inputs.shape[-1])
        wanted = max(1, NORM_ROWS // self.batches)
        chosen = torch.randperm(len(rows), generator=self._generator)[:wanted]
        self._inputs.setdefault(place, []).append(rows[chosen].to(torch.float64))

    # Results

    def heads(self, place: SoftmaxPlace) -> list[HeadRows]:
        """Return what each head of a place has put out; empty if it was not seen."""
        if place not in self._rows:
            return []
        longest = max(rows.shape[-1] for rows in self._rows[place])
        rows = torch.cat([torch.nn.functional.pad(part, (0, longest - part.shape[-1]),
                                                  value=-torch.inf)
                          for part in self._rows[place]], dim=1)
        maxima = torch.cat(self._maxima[place], dim=1)
        return [HeadRows(top.numpy().astype(np.float64), part.numpy().astype(np.float64))
                for top, part in zip(maxima, rows, strict=True)]

    def attention_rows(self, place: EnginePlace) -> AttentionRows | None:
        """Return what an attention was seen to get; None if it was not seen."""
        heads = self.heads(place)
        if not heads:
            return None
        queries, outputs, keys, values = (torch.cat(parts, dim=1).numpy()
                                          for parts in zip(*self._vectors[place], strict=True))
        return AttentionRows(queries, keys, values, outputs, heads,
                             self._causal.get(place, False), self._window.get(place, 0))

    def inputs(self, place: NormPlace) -> np.ndarray | None:
        """Return rows of inputs (rows, channels) of a place; None if it was not seen."""
        return torch.cat(self._inputs[place]).numpy() if place in self._inputs else None

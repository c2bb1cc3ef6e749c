"""Figures of a model with units in it against the model in float."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import torch

from ..metrics import attention_errors, softmax_errors
from .engine_pace import pace
from .engine_place import EnginePlace
from .mask import live_queries
from .place import EngineInputs, NormPlace, SoftmaxPlace, exact_softmax

__all__ = ["Comparison", "PlaceErrors", "Watcher"]


@dataclasses.dataclass(frozen=True)
class PlaceErrors:
    """Errors of one place, over its live rows.

    Attributes
    ----------
    name : str
        Module.
    error : float or None
        Length of the error of an attention output, or of a LayerNorm output, over the length of
        the float one, averaged over the rows; None for a softmax whose product is not seen.
    kl : float or None
        Kullback-Leibler divergence of a row of weights in nats; None for a LayerNorm and an engine,
        whose weights are not seen.
    flips : float or None
        Share of the rows whose largest weight in float is not among the largest of the unit's.
    rows : int
        Rows.
    heads : tuple of float
        ``error`` of each head; empty where it is not seen.
    seen, met, cycles : float or None
        Of an engine: keys that a query sees, those that it meets, and its cycles, as of
        :class:`~sim.accuracy.engine_pace.Pace`.
    """

    name: str
    error: float | None
    kl: float | None
    flips: float | None
    rows: int
    heads: tuple[float, ...] = ()
    seen: float | None = None
    met: float | None = None
    cycles: float | None = None


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What :meth:`~sim.accuracy.approximation.Approximation.compare` returns; prints as a table.

    Attributes
    ----------
    places : tuple of PlaceErrors
        One a softmax, attention and LayerNorm.
    output, largest : float
        Of the model's output: length of the difference over the length in float, averaged over the
        last axis's vectors; largest difference.
    """

    places: tuple[PlaceErrors, ...]
    output: float
    largest: float

    def to_markdown(self) -> str:
        """Return a Markdown table."""
        def cell(value: float | None, form: str) -> str:
            return "" if value is None else format(value, form)
        lines = ["| place | output error | KL, nats | argmax flips | rows |",
                 "| --- | ---: | ---: | ---: | ---: |"]
        lines += [f"| {p.name} | {cell(p.error, '.4f')} | {cell(p.kl, '.4f')} | "
                  f"{cell(p.flips, '.2%')} | {p.rows} |" for p in self.places]
        lines.append(f"| model output | {self.output:.4f} | | | largest {self.largest:.3g} |")
        return "\n".join(lines)

    def to_json(self) -> str:
        """Return JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Comparison:
        """Build what :func:`dataclasses.asdict` has made plain."""
        places = tuple(PlaceErrors(**{**place, "heads": tuple(place["heads"])})
                       for place in values["places"])
        return Comparison(**{**values, "places": places})

    __str__ = to_markdown


class _Mean:
    """Mean over batches, by rows."""

    def __init__(self) -> None:
        self.total, self.rows = 0.0, 0

    def add(self, value: float, rows: int) -> None:
        self.total += float(value) * rows
        self.rows += rows

    @property
    def value(self) -> float | None:
        return self.total / self.rows if self.rows else None


class Watcher:
    """Observer that compares each place's unit with float, on the inputs that the unit gets.

    Attributes
    ----------
    tokens : None, or boolean tensor (batch, tokens)
        Which tokens of the batch that runs are no padding.
    """

    takes_over = True

    def __init__(self) -> None:
        self.tokens: torch.Tensor | None = None
        self._figures: dict[tuple[str, str], _Mean] = {}
        self._heads: dict[str, list[_Mean]] = {}
        self._live: torch.Tensor | None = None
        self._exact: torch.Tensor | None = None
        self._output = _Mean()
        self._largest = 0.0

    # Observer

    def softmax(self, place: SoftmaxPlace, logits: torch.Tensor, dead: torch.Tensor | None,
                weights: torch.Tensor) -> None:
        """Compare weights."""
        exact = exact_softmax(logits.to(torch.float64), dead)
        live = live_queries(dead, logits.shape)
        self._live, self._exact = live, exact
        if not live.any():
            return
        errors = softmax_errors(exact[live].numpy(), weights[live].to(torch.float64).numpy())
        rows = int(live.sum())
        self._add(place.name, "kl", errors.kl, rows)
        self._add(place.name, "flips", 1.0 - errors.top1_tied, rows)

    def attention(self, place: SoftmaxPlace, weights: torch.Tensor, value: torch.Tensor,
                  output: torch.Tensor) -> None:
        """Compare outputs."""
        exact = torch.matmul(self._exact, value.to(torch.float64))
        self._by_head(place.name, exact, output, self._live)

    def engine(self, place: EnginePlace, inputs: EngineInputs, exact: torch.Tensor,
               output: torch.Tensor) -> None:
        """Compare outputs."""
        if place.configs:
            live = live_queries(inputs.dead, inputs.logits.shape)
            self._by_head(place.name, exact, output, live)
            found = pace(place, inputs)
            for kind in ("seen", "met", "cycles"):
                self._add(place.name, kind, getattr(found, kind), found.queries)

    def norm(self, place: NormPlace, inputs: torch.Tensor, exact: torch.Tensor,
             output: torch.Tensor) -> None:
        """Compare outputs."""
        if place.config is not None:
            self._vectors(place.name, self._no_padding(exact), self._no_padding(output))

    def output(self, exact: torch.Tensor, approximate: torch.Tensor) -> None:
        """Compare outputs of the model."""
        x, y = (self._no_padding(tensor).to(torch.float64).numpy()
                for tensor in (exact, approximate))
        x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
        errors = attention_errors(x, y)
        self._output.add(errors.relative, len(x))
        self._largest = max(self._largest, float(errors.largest))

    # Result

    def result(self) -> Comparison:
        """Return the figures of all batches."""
        places = tuple(PlaceErrors(name, *(self._mean(name, kind)
                                           for kind in ("error", "kl", "flips")),
                                   max(mean.rows for (n, _), mean in self._figures.items()
                                       if n == name),
                                   tuple(head.value or 0.0 for head in self._heads.get(name, ())),
                                   *(self._mean(name, kind)
                                     for kind in ("seen", "met", "cycles")))
                       for name in dict.fromkeys(name for name, _ in self._figures))
        return Comparison(places, self._output.value, self._largest)

    def _by_head(self, name: str, exact: torch.Tensor, output: torch.Tensor,
                 live: torch.Tensor) -> None:
        """Compare outputs (batch, heads, queries, dim), of all heads and of each."""
        self._vectors(name, exact[live], output[live])
        heads = self._heads.setdefault(name, [_Mean() for _ in range(exact.shape[1])])
        for number, head in enumerate(heads):
            x, y = (tensor[:, number][live[:, number]].to(torch.float64).numpy()
                    for tensor in (exact, output))
            if np.linalg.norm(x, axis=-1).any():
                head.add(attention_errors(x, y).relative, len(x))

    def _vectors(self, name: str, exact: torch.Tensor, output: torch.Tensor) -> None:
        x, y = (tensor.to(torch.float64).reshape(-1, tensor.shape[-1]).numpy()
                for tensor in (exact, output))
        length = np.linalg.norm(x, axis=-1)
        if len(x) and length.any():
            self._add(name, "error", attention_errors(x, y).relative, len(x))

    def _no_padding(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.tokens
        return x[tokens] if tokens is not None and x.ndim >= 3 and x.shape[:2] == tokens.shape \
            else x

    def _add(self, name: str, kind: str, value: float, rows: int) -> None:
        self._figures.setdefault((name, kind), _Mean()).add(value, rows)

    def _mean(self, name: str, kind: str) -> float | None:
        mean = self._figures.get((name, kind))
        return None if mean is None else mean.value

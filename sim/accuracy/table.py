"""Scores of a model on a task, by units: as rows, Markdown and JSON."""

from __future__ import annotations

import dataclasses
import json

from .comparison import Comparison
from .errors import AccuracyError

__all__ = ["PlaceCost", "Result", "Table"]


@dataclasses.dataclass(frozen=True)
class PlaceCost:
    """What the unit of one place costs, all others in float.

    Attributes
    ----------
    name : str
        Module.
    difference, error : float, float or None
        Score less that in float, and the standard error.
    output : float
        Relative difference of the model's output.
    """

    name: str
    difference: float
    error: float | None
    output: float


@dataclasses.dataclass(frozen=True)
class Result:
    """Score with one set of units.

    Attributes
    ----------
    units : str
        Units, as they were named.
    score, difference : float
        Score, and less that in float; in percent of it if the table is ``relative``.
    error : float or None
        Standard error of the difference; None if there is one example.
    output : float
        Relative difference of the model's output, as of
        :class:`~sim.accuracy.comparison.Comparison`, on some of the batches of the calibration.
    attention, kl, flips : float or None
        Means over the softmaxes, on the same batches: error of the attention's output, divergence
        and flips of the weights.
    places : Comparison
        Figures of each place.
    alone : tuple of PlaceCost
        What each place costs alone, the dearest first, if it was asked for.
    seen, met, cycles : float or None
        Means over the engines, on the same batches: keys that a query sees and meets, and cycles.
    """

    units: str
    score: float
    difference: float
    error: float | None
    output: float
    attention: float | None
    kl: float | None
    flips: float | None
    places: Comparison
    alone: tuple[PlaceCost, ...] = ()
    seen: float | None = None
    met: float | None = None
    cycles: float | None = None

    def explained(self) -> list[tuple[str, ...]]:
        """Return the cells of a table of what each place costs alone, titles first."""
        return [("place", "output difference", "difference", "standard error"),
                *((cost.name, f"{cost.output:.4f}", f"{cost.difference:+.3f}",
                   _cell(cost.error, ".3f")) for cost in self.alone)]


@dataclasses.dataclass(frozen=True)
class Table:
    """Scores of a model on a task.

    Attributes
    ----------
    model, task, unit : str
        Model, task, and name of the score.
    calibration : str
        Method, and whether outputs have a step for each channel.
    examples : int
        Examples.
    score : float
        In float.
    relative : bool
        Differences are in percent of the score in float.
    results : tuple of Result
        One a set of units.
    """

    model: str
    task: str
    unit: str
    calibration: str
    examples: int
    score: float
    relative: bool = False
    results: tuple[Result, ...] = ()

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table's cells, titles first; figures that no units have are left out."""
        columns = [("units", "float", [r.units for r in self.results]),
                   (f"{self.task}, {self.unit}", f"{self.score:.2f}",
                    [f"{r.score:.2f}" for r in self.results])]
        for name, title, form in (
                ("difference", f"difference{', %' * self.relative}", "+.3f"),
                ("error", "standard error", ".3f"), ("output", "output difference", ".4f"),
                ("attention", "attention error", ".4f"), ("kl", "KL, nats", ".4f"),
                ("flips", "argmax flips", ".2%"), ("seen", "keys seen", ".1f"),
                ("met", "keys met", ".1f"), ("cycles", "cycles a query", ".1f")):
            cells = [_cell(getattr(r, name), form) for r in self.results]
            if any(cells):
                columns.append((title, "", cells))
        return list(zip(*((title, first, *cells) for title, first, cells in columns), strict=True))

    def to_markdown(self) -> str:
        """Return Markdown: the table, and one for each result that is explained."""
        parts = [markdown(self.rows())]
        parts += [f"{r.units}, each place alone:\n\n{markdown(r.explained())}"
                  for r in self.results if r.alone]
        return "\n".join(parts)

    def to_json(self) -> str:
        """Return JSON text, with the figures of each place."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"

    @staticmethod
    def from_json(text: str) -> Table:
        """Build the table that :meth:`to_json` has written."""
        try:
            values = json.loads(text)
            results = []
            for result in values.pop("results"):
                result["places"] = Comparison.from_dict(result["places"])
                result["alone"] = tuple(PlaceCost(**cost) for cost in result["alone"])
                results.append(Result(**result))
            return Table(**values, results=tuple(results))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise AccuracyError(f"Table is damaged: {error}") from None


def markdown(rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table of cells, titles first."""
    header, *body = rows
    lines = [header, ("---", *["---:"] * (len(header) - 1)), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)

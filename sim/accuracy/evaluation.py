"""A model's score on a task, in float and with units in it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from .approximation import approximate
from .bootstrap import difference_error
from .comparison import Comparison, PlaceErrors
from .encoder import Encoder
from .errors import AccuracyError
from .tasks import Progress, Task

__all__ = ["DEFAULT_UNITS", "Result", "Table", "evaluate", "parse_units"]

#: What is evaluated if no unit is named.
DEFAULT_UNITS = ("softmax-e2:plus", "softmax-e2:paper", "softmax-rexp:plus", "softmax-lut2d:plus",
                 "softmax-split:plus", "softmax-softermax:plus", "layernorm-ai", "layernorm-exact",
                 "layernorm-exact:bits=10", "softmax-e2:plus+layernorm-exact:bits=10")

# Texts to calibrate with, and to compare places on.
CALIBRATION_TEXTS = 256
COMPARED_BATCHES = 2


@dataclasses.dataclass(frozen=True)
class Result:
    """Score with one set of units.

    Attributes
    ----------
    units : str
        Units, as they were named.
    score, difference, error : float
        Points; less those in float; standard error of the difference.
    output : float
        Relative difference of the model's output, as of
        :class:`~sim.accuracy.comparison.Comparison`, on some of the texts of the calibration.
    kl, flips : float or None
        Means over the softmaxes, on the same texts.
    places : Comparison
        Figures of each place.
    """

    units: str
    score: float
    difference: float
    error: float
    output: float
    kl: float | None
    flips: float | None
    places: Comparison


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
    results : tuple of Result
        One a set of units.
    """

    model: str
    task: str
    unit: str
    calibration: str
    examples: int
    score: float
    results: tuple[Result, ...] = ()

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table's cells, titles first."""
        rows = [("units", f"{self.task}, {self.unit}", "difference", "standard error",
                 "output difference", "KL, nats", "argmax flips"),
                ("float", f"{self.score:.2f}", "", "", "", "", "")]
        for r in self.results:
            rows.append((r.units, f"{r.score:.2f}", f"{r.difference:+.3f}", f"{r.error:.3f}",
                         f"{r.output:.4f}", "" if r.kl is None else f"{r.kl:.4f}",
                         "" if r.flips is None else f"{r.flips:.2%}"))
        return rows

    def to_markdown(self) -> str:
        """Return a Markdown table."""
        header, *rows = self.rows()
        lines = [header, ("---", *["---:"] * (len(header) - 1)), *rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"

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
                places = result.pop("places")
                errors = tuple(PlaceErrors(**place) for place in places.pop("places"))
                results.append(Result(**result, places=Comparison(errors, **places)))
            return Table(**values, results=tuple(results))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise AccuracyError(f"Table is damaged: {error}") from None


def parse_units(text: str) -> dict[str, str]:
    """Return the arguments of ``approximate`` for ``"softmax-e2:plus+layernorm-ai"``."""
    found: dict[str, str] = {}
    for part in text.split("+"):
        kind = part.partition("-")[0]
        if kind not in ("softmax", "layernorm") or kind in found:
            raise AccuracyError(f"Units {text!r} must be a softmax, a LayerNorm, or one of each "
                                "joined by +")
        found[kind] = part
    return found


def evaluate(encoder: Encoder, task: Task, units: Iterable[str] = DEFAULT_UNITS, *,
             known: Table | None = None, method: str = "least-squares", per_channel: bool = True,
             progress: Callable[[str], Progress] = lambda title: iter) -> Iterator[Table]:
    """Yield the table after each set of units: in float first.

    Parameters
    ----------
    encoder : Encoder
        Model.
    task : Task
        Task. Units are calibrated on texts of its train part.
    units : iterable of str
        Sets of units, as of :func:`parse_units`.
    known : Table or None
        Its results are taken over, and their units not run again.
    method, per_channel
        As of :func:`~sim.accuracy.approximation.approximate`.
    progress : callable
        Is given a title; returns what is iterated in place of ``iter``.

    Raises
    ------
    AccuracyError
        If ``known`` is of another model, task or calibration.
    """
    wanted = [(text, parse_units(text)) for text in units]
    texts = task.calibration
    texts = [texts[n * len(texts) // CALIBRATION_TEXTS] for n in range(CALIBRATION_TEXTS)]
    batches = encoder.batches(sorted(texts, key=len))
    exact = task.predict(encoder, progress("float"))
    table = Table(encoder.name, task.title, task.unit,
                  f"{method}, {'a step for each channel' if per_channel else 'one step'}",
                  len(task.labels), task.score(exact, task.labels))
    if known is not None:
        found = dataclasses.replace(known, score=table.score, results=())
        if found != table or abs(known.score - table.score) > 0.01:
            raise AccuracyError(f"Table must be of {table.model}, {table.task}, {table.calibration}"
                                f", {table.examples} examples and a score of {table.score:.2f} in "
                                "float: remove the file to begin anew")
        table = dataclasses.replace(table, results=known.results)
    yield table
    order = {text: number for number, (text, _) in enumerate(wanted)}
    done = {result.units for result in table.results}
    for text, arguments in wanted:
        if text in done:
            continue
        hw = approximate(encoder.model, calibrate=batches, method=method, per_channel=per_channel,
                         **arguments)
        try:
            predictions = task.predict(encoder, progress(text))
            places = hw.compare(batches[:: max(1, len(batches) // COMPARED_BATCHES)])
        finally:
            hw.restore()
        score = task.score(predictions, task.labels)
        softmaxes = [place for place in places.places if place.kl is not None]
        result = Result(text, score, score - table.score,
                        difference_error(task.score, exact, predictions, task.labels),
                        places.output, _mean([place.kl for place in softmaxes]),
                        _mean([place.flips for place in softmaxes]), places)
        every = [*table.results, result]
        # In the order that was asked for; what else is known comes last.
        table = dataclasses.replace(table, results=tuple(sorted(every, key=lambda result: (
            order.get(result.units, len(order))))))
        yield table


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None

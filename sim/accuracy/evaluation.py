"""A model's score on a task, in float and with units in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from .approximation import Approximation, approximate
from .bootstrap import difference_error
from .errors import AccuracyError
from .table import PlaceCost, Result, Table
from .tasks import Progress, Task
from .units import parse_units, with_length

__all__ = ["DEFAULT_UNITS", "default_units", "evaluate"]

#: What is evaluated if no unit is named.
DEFAULT_UNITS = ("softmax-e2:plus", "softmax-e2:paper", "softmax-rexp:plus", "softmax-lut2d:plus",
                 "softmax-split:plus", "softmax-softermax:plus", "layernorm-ai", "layernorm-exact",
                 "layernorm-exact:bits=10", "softmax-e2:plus+layernorm-exact:bits=10")

# Batches of the calibration to compare places on.
COMPARED_BATCHES = 2


def default_units(task: Task) -> list[str]:
    """Return the units of ``DEFAULT_UNITS`` that a task's model has places for."""
    return [text for text in DEFAULT_UNITS if set(parse_units(text)) <= set(task.kinds)]


def evaluate(task: Task, units: Iterable[str] | None = None, *, known: Table | None = None,
             method: str = "least-squares", per_channel: bool = True, per_head: bool = False,
             explain: bool = False,
             progress: Callable[[str], Progress] = lambda title: iter) -> Iterator[Table]:
    """Yield the table after each set of units: in float first.

    Parameters
    ----------
    task : Task
        Task with its model. Units are calibrated on the task's own batches.
    units : iterable of str
        Sets of units, as of :func:`~sim.accuracy.units.parse_units`.
    known : Table or None
        Its results are taken over, and their units not run again.
    method, per_channel, per_head
        As of :func:`~sim.accuracy.approximation.approximate`.
    explain : bool
        Also score the model with the unit of one place at a time.
    progress : callable
        Is given a title; returns what is iterated in place of ``iter``.

    Raises
    ------
    AccuracyError
        If ``known`` is of another model, task or calibration.
    """
    wanted = [(text, parse_units(text)) for text in
              (default_units(task) if units is None else units)]
    batches = task.batches()
    exact = task.predict(progress("float"))
    table = Table(task.name, task.title, task.unit,
                  f"{method}, {'a step for each channel' if per_channel else 'one step'}"
                  f"{', engines of each head' * per_head}",
                  len(task.labels), task.score(exact, task.labels), task.relative)
    if known is not None:
        found = dataclasses.replace(known, score=table.score, results=())
        if found != table or abs(known.score - table.score) > 0.01:
            raise AccuracyError(f"Table must be of {table.model}, {table.task}, {table.calibration}"
                                f", {table.examples} examples and a score of {table.score:.2f} in "
                                "float: remove the file to begin anew")
        table = dataclasses.replace(table, results=known.results)
    yield table
    order = {text: number for number, (text, _) in enumerate(wanted)}
    for text, arguments in wanted:
        if any(result.units == text and (result.alone or not explain) for result in table.results):
            continue
        if task.row and "softmax" in arguments:
            arguments["softmax"] = with_length(arguments["softmax"], task.row)
        hw = approximate(task.model, calibrate=batches, method=method, per_channel=per_channel,
                         per_head=per_head, **arguments)
        try:
            result = _measured(hw, task, text, exact, batches, progress)
            if explain:
                result = dataclasses.replace(result, alone=_alone(hw, task, result, exact, batches,
                                                                  progress))
        finally:
            hw.restore()
        every = [*(r for r in table.results if r.units != text), result]
        # In the order that was asked for; what else is known comes last.
        table = dataclasses.replace(table, results=tuple(sorted(every, key=lambda result: (
            order.get(result.units, len(order))))))
        yield table


def _measured(hw: Approximation, task: Task, text: str, exact: np.ndarray, batches: list,
              progress: Callable[[str], Progress]) -> Result:
    predictions = task.predict(progress(text))
    places = hw.compare(_some(batches))
    attentions = [place for place in places.places if place.kl is not None or place.heads]
    means, work = ([_mean([getattr(place, name) for place in attentions]) for name in names]
                   for names in (("error", "kl", "flips"), ("seen", "met", "cycles")))
    return Result(text, task.score(predictions, task.labels),
                  *_difference(task, exact, predictions), places.output, *means, places,
                  **dict(zip(("seen", "met", "cycles"), work, strict=True)))


def _alone(hw: Approximation, task: Task, result: Result, exact: np.ndarray, batches: list,
           progress: Callable[[str], Progress]) -> tuple[PlaceCost, ...]:
    """Cost of each place alone: by what it does to the output, as scores of one place are noisy."""
    costs = []
    for place in result.places.places:
        with hw.only({place.name}):
            predictions = task.predict(progress(f"{result.units}, {place.name}"))
            output = hw.compare(_some(batches)).output
        costs.append(PlaceCost(place.name, *_difference(task, exact, predictions), output))
    return tuple(sorted(costs, key=lambda cost: -cost.output))


def _difference(task: Task, exact: np.ndarray,
                predictions: np.ndarray) -> tuple[float, float | None]:
    """Difference of the scores and its standard error, in percent for a relative task."""
    start = task.score(exact, task.labels)
    part = 100.0 / start if task.relative else 1.0
    error = None
    if len(task.labels) > 1:
        error = part * difference_error(task.score, exact, predictions, task.labels)
    return part * (task.score(predictions, task.labels) - start), error


def _some(batches: list) -> list:
    return batches[:: max(1, len(batches) // COMPARED_BATCHES)]


def _mean(values: list[float | None]) -> float | None:
    values = [value for value in values if value is not None]
    return float(np.mean(values)) if values else None

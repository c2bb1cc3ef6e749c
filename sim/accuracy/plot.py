"""Plot of a table: differences with their errors, and a heat map for each unit of softmax.

Rows of a heat map are the layers, columns the heads, values the relative error of the attention's
output.
"""

from __future__ import annotations

import io

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .table import Result, Table

__all__ = ["draw"]

# Heat maps side by side; inches of one.
COLUMNS = 3
WIDTH, HEIGHT = 3.6, 3.0


def draw(table: Table, form: str) -> bytes:
    """Return the plot as a file of the format ``form``: png, svg or pdf."""
    maps = [(result, heads) for result in table.results if (heads := _heads(result)) is not None]
    rows = -(-len(maps) // COLUMNS)
    top = 0.8 + 0.32 * max(len(table.results), 1)
    figure = Figure(figsize=(COLUMNS * WIDTH, top + rows * HEIGHT), layout="constrained")
    parts = figure.subfigures(2 if rows else 1, squeeze=False,
                              height_ratios=[top, rows * HEIGHT] if rows else None)[:, 0]
    _differences(parts[0].subplots(), table)
    if rows:
        axes = parts[1].subplots(rows, COLUMNS, squeeze=False).ravel()
        # One scale for all: units compare.
        largest = max(heads.max() for _, heads in maps) or 1.0
        for axis, (result, heads) in zip(axes, maps, strict=False):
            image = axis.imshow(heads, vmin=0.0, vmax=largest, aspect="auto", cmap="viridis")
            axis.set(title=result.units, xlabel="head", ylabel="layer")
            axis.title.set_fontsize(8)
            for ticks in axis.xaxis, axis.yaxis:
                ticks.set_major_locator(MaxNLocator(integer=True))
        for axis in axes[len(maps):]:
            axis.set_axis_off()
        parts[1].colorbar(image, ax=list(axes), label="error of the attention's output")
    file = io.BytesIO()
    # Equal tables, equal bytes.
    date = {"svg": "Date", "pdf": "CreationDate"}.get(form)
    figure.savefig(file, format=form, metadata={date: None} if date else None)
    return file.getvalue()


def _differences(axis: object, table: Table) -> None:
    names = [result.units for result in table.results]
    axis.barh(names, [result.difference for result in table.results], height=0.6,
              xerr=[result.error or 0.0 for result in table.results],
              error_kw={"elinewidth": 1, "capsize": 2})
    axis.invert_yaxis()
    axis.axvline(0.0, color="black", linewidth=0.8)
    axis.set(title=f"{table.model}, {table.task}: {table.unit} {table.score:.2f} in float",
             xlabel=f"difference{' in percent' * table.relative}, with its standard error")


def _heads(result: Result) -> np.ndarray | None:
    """Errors (layers, heads) of the attention's output; heads that a layer lacks are 0."""
    layers = [place.heads for place in result.places.places if place.heads]
    if not layers:
        return None
    heads = np.zeros((len(layers), max(map(len, layers))))
    for row, errors in zip(heads, layers, strict=True):
        row[:len(errors)] = errors
    return heads

"""Expected figures of a layer's images, as a table, Markdown and JSON."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from .agreement import Agreement

__all__ = ["Line", "Report", "percent"]


@dataclasses.dataclass(frozen=True)
class Line:
    """Figures of one arithmetic.

    Attributes
    ----------
    name : str
        ``float``, or the widths of the integers.
    figures : Agreement
        Figures.
    """

    name: str
    figures: Agreement


@dataclasses.dataclass(frozen=True)
class Report:
    """Figures of a layer.

    Attributes
    ----------
    vocabulary, dim : int
        Shape of the matrix.
    basis : str
        Basis.
    calibration : int
        States that basis and ranges were calibrated on.
    energy : float
        Part of the sum of squares that the preview's columns have.
    lines : tuple of Line
        One for each arithmetic; none without other states to measure on.
    """

    vocabulary: int
    dim: int
    basis: str
    calibration: int
    energy: float
    lines: tuple[Line, ...] = ()

    def rows(self) -> list[tuple[str, ...]]:
        """Return the table's cells, titles first."""
        rows = [("arithmetic", "window", "count", "share of the arithmetic", "top 1", "top 5",
                 "ln(Z'/Z)", "its magnitude", "accuracy", "log-likelihood")]
        exact = None
        for line in self.lines:
            e = exact = line.figures
            rows.append((line.name, str(e.window), str(e.count), percent(e.share, 2),
                         percent(e.top1, 2), percent(e.top5, 2), f"{e.log_partition:+.4f}",
                         f"{e.log_partition_error:.4f}", *_labels(e.accuracy, e.likelihood)))
        if exact is not None:
            rows.append(("exact layer", "", "", percent(1, 2), percent(1, 2), percent(1, 2),
                         "", "", *_labels(exact.exact_accuracy, exact.exact_likelihood)))
        return rows

    def title(self) -> str:
        """Return a line that says what was measured."""
        states = (f"measured on {self.lines[0].figures.states} others" if self.lines
                  else "no states to measure on")
        return (f"{self.vocabulary} words of {self.dim}, basis {self.basis}, {self.energy:.0%} of "
                f"the squares in the preview; calibrated on {self.calibration} states, {states}")

    def to_markdown(self) -> str:
        """Return the title and a Markdown table."""
        header, *rows = self.rows()
        lines = [header, ("---", *["---:"] * (len(header) - 1)), *rows]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"{self.title()}.\n" + (f"\n{table}\n" if rows else "")

    def to_json(self) -> str:
        """Return JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=1) + "\n"


def percent(value: float, digits: int) -> str:
    """Return a share as per cent."""
    return f"{100 * value:.{digits}f} %"


def _labels(accuracy: float | None, likelihood: float | None) -> Sequence[str]:
    if accuracy is None:
        return "", ""
    return percent(accuracy, 2), f"{likelihood:.4f}"

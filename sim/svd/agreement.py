"""How far logits of a preview and a full view agree with those of the exact layer."""

from __future__ import annotations

import dataclasses

import numpy as np

from .selection import leaders

__all__ = ["TOP", "Agreement", "Exact", "Tally", "log_partition"]

#: Leading words that are compared.
TOP = 5


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Figures of a window and a count, averaged over states.

    Attributes
    ----------
    window, count : int
        Columns of the preview; words of the full view.
    share : float
        Multiply-accumulates, as a part of the exact layer's.
    states : int
        States.
    top1 : float
        Share of the states whose top word, the lowest index of equals, is the exact layer's.
    top5 : float
        Share of the exact layer's top five words that are among the top five.
    log_partition : float
        Mean of ``ln(Z'/Z)``, ``Z`` being the sum of the exponentials of all logits.
    log_partition_error : float
        Mean of its magnitude.
    accuracy, exact_accuracy : float or None
        Share of the states whose top word is the label; None without labels.
    likelihood, exact_likelihood : float or None
        Mean log-likelihood of the label in nats.
    """

    window: int
    count: int
    share: float
    states: int
    top1: float
    top5: float
    log_partition: float
    log_partition_error: float
    accuracy: float | None = None
    exact_accuracy: float | None = None
    likelihood: float | None = None
    exact_likelihood: float | None = None

    @property
    def perplexity(self) -> float | None:
        """Exponential of the negative log-likelihood."""
        return None if self.likelihood is None else float(np.exp(-self.likelihood))

    @property
    def exact_perplexity(self) -> float | None:
        """Perplexity of the exact layer."""
        return None if self.exact_likelihood is None else float(np.exp(-self.exact_likelihood))


def log_partition(logits: np.ndarray) -> np.ndarray:
    """Return ``ln(sum(exp(logits)))``, float64, over the last axis."""
    top = logits.max(axis=-1)
    return top + np.log(np.exp(logits - top[:, None]).sum(axis=-1, dtype=np.float64))


class Exact:
    """What is compared with: the exact layer's logits (states, vocabulary) of some states."""

    def __init__(self, logits: np.ndarray, label: np.ndarray | None) -> None:
        self.logits, self.label = logits, label
        self.top = leaders(logits, min(TOP, logits.shape[1]))
        self.log_partition = log_partition(logits)


class Tally:
    """Sums of the figures of an :class:`Agreement` over blocks of states."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._states = 0

    def add(self, exact: Exact, logits: np.ndarray,
            partition: np.ndarray | None = None) -> None:
        """Count states with ``logits`` (states, vocabulary).

        ``partition`` (states,) is their log-partition if it was computed otherwise than from them.
        """
        top = leaders(logits, exact.top.shape[1])
        if partition is None:
            partition = log_partition(logits)
        ratio = partition - exact.log_partition
        figures = {"top1": top[:, 0] == exact.top[:, 0],
                   "top5": (top[:, :, None] == exact.top[:, None, :]).any(axis=1).mean(axis=1),
                   "log_partition": ratio, "log_partition_error": np.abs(ratio)}
        if exact.label is not None:
            label = exact.label[:, None]
            figures |= {
                "accuracy": top[:, 0] == exact.label,
                "exact_accuracy": exact.top[:, 0] == exact.label,
                "likelihood": np.take_along_axis(logits, label, 1)[:, 0] - partition,
                "exact_likelihood": (np.take_along_axis(exact.logits, label, 1)[:, 0]
                                     - exact.log_partition)}
        for name, values in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + float(values.sum(dtype=np.float64))
        self._states += len(logits)

    def result(self, window: int, count: int, share: float) -> Agreement:
        """Return the means."""
        return Agreement(window, count, share, self._states,
                         **{name: total / self._states for name, total in self._sums.items()})

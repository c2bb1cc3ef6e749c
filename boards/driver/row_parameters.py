"""Parameters of a softmax's rows: by registers where rows share them, beside the rows where not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .registers import Registers

__all__ = ["RowParameters"]

# Parameters that have a sign.
SIGNED = "offset", "sink"


class RowParameters:
    """Parameters of the rows of a unit that takes such, one value of each for every row.

    Parameters
    ----------
    fields : dict of str to int
        Width of each, in the order of their bits in TUSER.
    given : dict of str to array of integers
        Those that are given, each broadcastable to ``shape``. An ``offset`` that is not given is
        0, a ``sink`` takes part if it is given, but for ``sink_valid``.
    shape : tuple of int
        Shape of the array of rows, without its last axis.

    Raises
    ------
    TypeError, ValueError
        If one is missing, not known, no integer, out of range or of another shape.
    """

    def __init__(self, fields: Mapping[str, int], given: Mapping[str, Any],
                 shape: tuple[int, ...]) -> None:
        for name in given:
            if name not in fields:
                raise ValueError(f"Parameter {name} must not be given: the rows of the unit have "
                                 f"{', '.join(fields) or 'no parameters'}")
        absent = {"offset": 0, "sink": 0, "sink_valid": int("sink" in given)}
        self._fields, rows = fields, int(np.prod(shape))
        values = []
        for name, width in fields.items():
            if name not in given and name not in absent:
                raise ValueError(f"Parameter {name} must be given: the rows of the unit have no "
                                 "other")
            x = np.asarray(given.get(name, absent.get(name)))
            if x.dtype.kind not in "iub":
                raise TypeError(f"Parameter {name} must be of integers, not {x.dtype}")
            low = -(1 << width - 1) if name in SIGNED else 0
            high = low + (1 << width) - 1
            if x.size and not low <= int(x.min()) <= int(x.max()) <= high:
                raise ValueError(f"Parameter {name} must be in {low}..{high}, not {int(x.min())}.."
                                 f"{int(x.max())}")
            try:
                values.append(np.broadcast_to(x, shape).reshape(rows).astype(np.int64))
            except ValueError:
                raise ValueError(f"Parameter {name} must have one value for each of the rows, of "
                                 f"shape {shape}, not {x.shape}") from None
        # Of each row, as the bits of its fields.
        self._values = np.array(values).reshape(len(fields), rows).T

    @staticmethod
    def fields(registers: Registers) -> dict[str, int]:
        """Width of each parameter of a row that a unit with these registers takes."""
        return {name.removeprefix("ROW_").lower(): registers.width_of(name)
                for name in registers if name.startswith("ROW_")}

    @property
    def uniform(self) -> bool:
        """Whether all rows have the same parameters."""
        return bool((self._values == self._values[0]).all())

    def groups(self) -> Iterator[tuple[dict[str, int], np.ndarray]]:
        """Yield parameters, and numbers of the rows that have them."""
        each, place = np.unique(self._values, axis=0, return_inverse=True)
        for n, values in enumerate(each):
            yield dict(zip(self._fields, values.tolist(), strict=True)), \
                np.flatnonzero(place.reshape(-1) == n)

    def apply(self, registers: Registers, values: Mapping[str, int]) -> None:
        """Let all rows that follow have some parameters, by registers."""
        for name, value in values.items():
            registers.write(f"ROW_{name.upper()}", value & (1 << self._fields[name]) - 1)
        registers.set("ROW", APPLY=1, REGISTERS=1)

    def bits(self) -> np.ndarray:
        """Bits of each row's first beat above its mask, shape (rows, bits), lowest first."""
        return np.concatenate([self._values[:, [n]] >> np.arange(width) & 1 > 0
                               for n, width in enumerate(self._fields.values())], axis=1)

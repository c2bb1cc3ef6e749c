"""What a simulation is given: inputs, and the outputs that must come of them.

A job travels to the simulator in a file. It names the bench that runs it, so that whoever starts
the simulation need not know of which kind it is.
"""

from __future__ import annotations

import dataclasses
import os
from typing import ClassVar

import numpy as np

from rtl.config import UnitConfig
from rtl.layernorm.config import LayerNormConfig

from .rows import Rows

__all__ = ["Job", "LoadJob", "Loads", "RowJob", "load_beats"]


class Job:
    """Base of the jobs, which are dataclasses with these attributes among their own.

    Attributes
    ----------
    BENCH : str
        Module of the bench that runs such jobs.
    config : UnitConfig
        Configuration of the unit.
    seed : int
        Seed of all that is random in the bench.
    ports : "core" or "axis"
        Ports of the design.
    latency : int
        Latency of the design: that of the unit, and a cycle for each register slice of a shell.
    """

    BENCH: ClassVar[str]

    config: UnitConfig
    seed: int
    ports: str
    latency: int

    def arrays(self) -> dict[str, object]:
        """Return the inputs and expected outputs as arrays by name."""
        raise NotImplementedError

    @classmethod
    def members(cls, content: dict[str, np.ndarray]) -> dict[str, object]:
        """Return the job's own attributes from its :meth:`arrays`."""
        raise NotImplementedError

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the job to an ``.npz`` file."""
        np.savez(path, config=self.config.to_json(), seed=self.seed, ports=self.ports,
                 latency=self.latency, **self.arrays())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Job:
        """Read the job of an ``.npz`` file."""
        with np.load(path, allow_pickle=False) as file:
            content = dict(file)
        return cls(config=UnitConfig.from_json(str(content["config"])), seed=int(content["seed"]),
                   ports=str(content["ports"]), latency=int(content["latency"]),
                   **cls.members(content))


# Prefix of the arrays of what rows bring in their first beats.
_FIELD = "field "


def _arrays_of_rows(rows: Rows) -> dict[str, object]:
    return {"values": rows.values, "mask": rows.mask, "lengths": rows.lengths,
            "names": np.array(rows.names, dtype=np.str_),
            **{f"{_FIELD}{name}": values for name, values in rows.fields.items()}}


def _rows_of_arrays(content: dict[str, np.ndarray]) -> Rows:
    return Rows(content["values"], content["mask"], content["lengths"],
                [str(name) for name in content["names"]],
                {name.removeprefix(_FIELD): values for name, values in content.items()
                 if name.startswith(_FIELD)})


@dataclasses.dataclass(frozen=True, eq=False)
class RowJob(Job):
    """Rows for a unit that turns rows into rows of equal length.

    Attributes
    ----------
    rows : Rows
        Input rows.
    expected : int64 array (elements,)
        Output for each element of ``rows.values``.
    """

    BENCH = "sim.bench.row_unit"

    config: UnitConfig
    rows: Rows
    expected: np.ndarray
    seed: int
    ports: str
    latency: int

    @property
    def outputs(self) -> Rows:
        """Expected rows."""
        return dataclasses.replace(self.rows, values=self.expected,
                                   mask=np.zeros(len(self.expected), bool))

    @property
    def waits(self) -> np.ndarray:
        """Rows inside the unit from which on it may let each input beat wait; most are infinite.

        ``max_rows``, where it bounds the rows. One, for the last beat of a row of fewer beats than
        ``row_interval``.
        """
        config = self.config
        beats = self.rows.beats(config.lanes)
        waits = np.full(beats.sum(), config.max_rows or np.inf)
        waits[(np.cumsum(beats) - 1)[beats < config.row_interval]] = 1
        return waits

    def arrays(self) -> dict[str, object]:
        return {**_arrays_of_rows(self.rows), "expected": self.expected}

    @classmethod
    def members(cls, content: dict[str, np.ndarray]) -> dict[str, object]:
        return {"rows": _rows_of_arrays(content), "expected": content["expected"]}


# Parameters loaded at run time

@dataclasses.dataclass(frozen=True, eq=False)
class Loads:
    """Rows, and the parameters that are loaded while they come.

    Attributes
    ----------
    rows : Rows
        Input rows.
    configs : list of LayerNormConfig
        Configs whose parameters are loaded, in this order.
    """

    rows: Rows
    configs: list[LayerNormConfig]


@dataclasses.dataclass(frozen=True, eq=False)
class LoadJob(Job):
    """Rows and loads for a LayerNorm unit with ``channel_parameters="loaded"``.

    Attributes
    ----------
    loads : Loads
        Input rows and loads.
    expected : int64 array (1 + loads, elements)
        Output for each element of the rows, with the config's own parameters first.
    """

    BENCH = "sim.bench.layernorm"

    config: LayerNormConfig
    loads: Loads
    expected: np.ndarray
    seed: int
    ports: str
    latency: int

    def arrays(self) -> dict[str, object]:
        return {**_arrays_of_rows(self.loads.rows), "expected": self.expected,
                "loads": [config.to_json() for config in self.loads.configs]}

    @classmethod
    def members(cls, content: dict[str, np.ndarray]) -> dict[str, object]:
        configs = [UnitConfig.from_json(str(text)) for text in content["loads"]]
        return {"loads": Loads(_rows_of_arrays(content), configs), "expected": content["expected"]}


def load_beats(config: LayerNormConfig) -> list[dict[str, object]]:
    """Return the beats of the stream ``load`` that bring the parameters of a config.

    Each has ``data`` (``lanes`` integers) and ``last``.
    """
    layout, lanes = config.load_layout, config.lanes
    elements = [layout.pack(alpha=alpha, gamma=gamma, beta=beta) for alpha, gamma, beta in
                zip(config.alphas, config.gammas, config.betas, strict=True)]
    elements += [0] * (config.max_beats * lanes - len(elements))
    return [{"data": elements[start:start + lanes], "last": start + lanes >= len(elements)}
            for start in range(0, len(elements), lanes)]

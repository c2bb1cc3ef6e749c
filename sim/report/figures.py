"""Synthesis figures of emitted units, kept on disk: a large engine takes Yosys minutes."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterable
from pathlib import Path

from rtl import UnitConfig
from rtl.emit import synthesis, yosys

from ..emission import emitted
from ..text_store import TextStore

__all__ = ["STORE", "cores", "measured", "shells"]

STORE = TextStore(Path("build/figures"), ".json")


def cores(configs: Iterable[UnitConfig]) -> list[synthesis.Figures]:
    """Return the figures of each config's core, two at a time."""
    return _each([(emitted(config), config.name) for config in configs])


def shells(configs: Iterable[UnitConfig]) -> list[synthesis.Figures]:
    """Return the figures of each config with its AXI4-Stream shell, two at a time."""
    return _each([(emitted(config), f"{config.name}_axis") for config in configs])


def _each(modules):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda module: measured(*module), modules))


def measured(verilog: str, top: str, store: TextStore = STORE) -> synthesis.Figures:
    """Return the figures of the module ``top`` of a Verilog text, from the store if they are there.

    The key is the text below the comment that heads it, the version of Yosys and how it is called:
    what changes no hardware needs no synthesis.
    """
    lines = itertools.dropwhile(lambda line: line.startswith("//"), verilog.splitlines())
    parts = top, yosys.version(), Path(synthesis.__file__).read_text(encoding="utf-8"), *lines
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]

    def make():
        return json.dumps(dataclasses.asdict(synthesis.measure(verilog, top)))

    return synthesis.Figures(**json.loads(store.text(f"{top[:80]}-{key}", make)))

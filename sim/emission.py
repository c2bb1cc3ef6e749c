"""Emitted units, kept on disk: emission takes longer than most simulations."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import amaranth

import rtl
from rtl.config import UnitConfig
from rtl.emit import verilog, yosys

from .text_store import TextStore

__all__ = ["STORE", "emitted"]

STORE = TextStore(Path("build/verilog"), ".v")


def emitted(config: UnitConfig, store: TextStore = STORE) -> str:
    """Return the Verilog text of a unit, from the store if it is there.

    The key is the configuration, every source file of :mod:`rtl` and the versions of the tools.
    Only a registered class is looked up: who changes the hardware in memory gets what they made.
    """
    if config.UNIT not in rtl.units() or rtl.unit(config.UNIT) is not type(config):
        return verilog.of_unit(config)
    key = hashlib.sha256(f"{_tools()}\n{config.to_json()}".encode()).hexdigest()[:24]
    return store.text(f"{config.UNIT}-{key}", lambda: verilog.of_unit(config))


@functools.cache
def _tools() -> str:
    """Digest of what makes the text of a configuration."""
    folder = Path(rtl.__file__).parent
    digest = hashlib.sha256(f"{amaranth.__version__} {yosys.version()}".encode())
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()

"""Emitted units, kept on disk: emission takes longer than most simulations."""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from pathlib import Path

import amaranth

import rtl
from rtl.config import UnitConfig
from rtl.emit import verilog, yosys

__all__ = ["STORE", "emitted"]

STORE = Path("build/verilog")

# Files that the store keeps, the youngest ones.
KEPT = 2000


def emitted(config: UnitConfig, store: Path = STORE) -> str:
    """Return the Verilog text of a unit, from the store if it is there.

    The key is the configuration, every source file of :mod:`rtl` and the versions of the tools.
    Only a registered class is looked up: who changes the hardware in memory gets what they made.
    """
    if config.UNIT not in rtl.units() or rtl.unit(config.UNIT) is not type(config):
        return verilog.of_unit(config)
    key = hashlib.sha256(f"{_tools()}\n{config.to_json()}".encode()).hexdigest()[:24]
    path = store / f"{config.UNIT}-{key}.v"
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        text = verilog.of_unit(config)
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=store, delete=False, encoding="utf-8") as file:
        file.write(text)
    os.replace(file.name, path)
    for old in sorted(store.glob("*.v"), key=os.path.getmtime)[:-KEPT]:
        old.unlink(missing_ok=True)
    return text


@functools.cache
def _tools() -> str:
    """Digest of what makes the text of a configuration."""
    folder = Path(rtl.__file__).parent
    digest = hashlib.sha256(f"{amaranth.__version__} {yosys.version()}".encode())
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()

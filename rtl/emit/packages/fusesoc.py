"""FuseSoC core of an emitted unit: a CAPI 2 file."""

from __future__ import annotations

from collections.abc import Sequence

from ... import __version__
from ...config import UnitConfig

__all__ = ["alias", "bench", "core", "vlnv"]


def vlnv(config: UnitConfig) -> str:
    """Name by which other cores depend on the unit: vendor, library, name, version."""
    return f"transformer-rtl:units:{config.name}:{__version__}"


def alias(config: UnitConfig, name: str) -> str:
    """Return the text of a core called ``name`` that has nothing but a dependency on the unit's.

    FuseSoC finds the unit's own core beside it, and would read the files twice if both had them.
    """
    return f"""\
CAPI=2:
name: {name}
filesets:
  unit:
    depend: ["{vlnv(config)}"]
targets:
  default:
    filesets: [unit]
"""


def core(config: UnitConfig, files: Sequence[str], top: str) -> str:
    """Return the text of a core.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit.
    files : sequence of str
        Verilog files in the order in which tools read them, relative to that of the core.
    top : str
        Top module.
    """
    listed = "\n".join(f"      - {file}" for file in files)
    return f"""\
CAPI=2:
name: {vlnv(config)}
description: "{config.UNIT}, configuration {config.hash}"

filesets:
  rtl:
    files:
{listed}
    file_type: verilogSource

targets:
  default:
    filesets: [rtl]
    toplevel: {top}
  lint:
    default_tool: verilator
    filesets: [rtl]
    toplevel: {top}
    tools:
      verilator:
        mode: lint-only
        verilator_options: [-Wall]
"""


def bench(config: UnitConfig, file: str, vectors: Sequence[str], top: str) -> str:
    """Return the text of the core of a test bench, which runs on Icarus.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit.
    file : str
        Verilog file of the bench.
    vectors : sequence of str
        Files that the bench reads from the folder in which it runs.
    top : str
        Top module.
    """
    listed = "\n".join(f"      - {name}: {{file_type: user, copyto: {name}}}" for name in vectors)
    return f"""\
CAPI=2:
name: transformer-rtl:benches:{config.name}:{__version__}
description: "Bench of {config.UNIT}, configuration {config.hash}"

filesets:
  bench:
    files:
      - {file}: {{file_type: verilogSource}}
{listed}
    depend: ["{vlnv(config)}"]

targets:
  default:
    default_tool: icarus
    filesets: [bench]
    toplevel: {top}
    tools:
      icarus:
        iverilog_options: [-g2001]
"""

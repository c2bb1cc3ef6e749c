"""Yosys, run in a child process.

The PyPI package ``pyosys`` is Yosys as a library. It keeps global state, prints on the C level, and
ends the process on an error; a child process isolates the caller from it. The child is a bare
Python that finds nothing but ``pyosys``, and so starts in 40 ms.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping

__all__ = ["YosysError", "run", "shared", "version"]


_CHILD = """
import sys
sys.path.append(sys.argv[1])
from pyosys import libyosys
design = libyosys.Design()
for command in sys.stdin.read().splitlines():
    design.run_pass(command)
"""


class YosysError(Exception):
    """A Yosys command failed; the message is that of Yosys."""


def version() -> str:
    """Version of Yosys, from its package."""
    return importlib.metadata.version("pyosys")


def shared(name: str) -> str:
    """Text of a file that comes with Yosys, such as ``+/xilinx/cells_sim.v``."""
    return (_package() / "share" / name.removeprefix("+/")).read_text(encoding="utf-8")


def _package() -> pathlib.Path:
    return pathlib.Path(importlib.util.find_spec("pyosys").submodule_search_locations[0])


def run(commands: Iterable[str], files: Mapping[str, str]) -> dict[str, str]:
    """Run Yosys commands in an empty temporary folder.

    Parameters
    ----------
    commands : iterable of str
        Lines of a Yosys script.
    files : dict of str to str
        Texts of the input files, by name.

    Returns
    -------
    dict of str to str
        Texts of the files written, by name.

    Raises
    ------
    YosysError
        If a command fails.
    """
    with tempfile.TemporaryDirectory(prefix="yosys-") as folder:
        folder = pathlib.Path(folder)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        child = subprocess.run([sys.executable, "-I", "-S", "-c", _CHILD, str(_package().parent)],
                               input="\n".join(commands), stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, cwd=folder, encoding="utf-8",
                               errors="replace")
        if child.returncode != 0:
            raise YosysError(_reason(child.stdout, child.returncode))
        return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())
                if path.name not in files}


def _reason(log: str, status: int) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for line in lines:
        if line.startswith("ERROR: "):
            return line.removeprefix("ERROR: ")
    return lines[-1] if lines else f"Yosys ended with status {status}"

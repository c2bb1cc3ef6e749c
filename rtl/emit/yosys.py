"""Yosys, run in a child process.

The PyPI package ``pyosys`` is Yosys as a library. It keeps global state, prints on the C level, and
ends the process on an error; a child keeps all three away from the caller, and costs 30 ms.
"""

import importlib.metadata
import importlib.util
import pathlib
import subprocess
import sys
import tempfile

__all__ = ["YosysError", "run", "shared", "version"]


_CHILD = """
import sys
from pyosys import libyosys
design = libyosys.Design()
for command in sys.stdin.read().splitlines():
    design.run_pass(command)
"""


class YosysError(Exception):
    """A Yosys command failed; the message is what Yosys said."""


def version():
    """Version of Yosys, as its package states it."""
    return importlib.metadata.version("pyosys")


def shared(name):
    """Text of a file that comes with Yosys, such as ``+/xilinx/cells_sim.v``."""
    package = importlib.util.find_spec("pyosys").submodule_search_locations[0]
    path = pathlib.Path(package, "share", name.removeprefix("+/"))
    return path.read_text(encoding="utf-8")


def run(commands, files):
    """Run Yosys commands in an empty temporary folder.

    Parameters
    ----------
    commands : iterable of str
        Commands, one a line of a Yosys script.
    files : dict of str to str
        Texts of the files that the commands read, by name.

    Returns
    -------
    dict of str to str
        Texts of the files that the commands wrote, by name.

    Raises
    ------
    YosysError
        If a command fails.
    """
    with tempfile.TemporaryDirectory(prefix="yosys-") as folder:
        folder = pathlib.Path(folder)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        child = subprocess.run([sys.executable, "-c", _CHILD], input="\n".join(commands),
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=folder,
                               encoding="utf-8", errors="replace")
        if child.returncode != 0:
            raise YosysError(_reason(child.stdout, child.returncode))
        return {path.name: path.read_text(encoding="utf-8") for path in sorted(folder.iterdir())
                if path.name not in files}


def _reason(log, status):
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    for line in lines:
        if line.startswith("ERROR: "):
            return line.removeprefix("ERROR: ")
    return lines[-1] if lines else f"Yosys ended with status {status}"

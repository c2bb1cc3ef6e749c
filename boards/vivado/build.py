"""Projects of a unit on a board with a Zynq-7000."""

from __future__ import annotations

import pathlib

from rtl.config import UnitConfig
from rtl.emit import synthesis

from .. import tools, zynq7
from ..board import ZynqBoard
from . import openxc7, project

__all__ = ["figures", "implement", "plan"]


def plan(board: ZynqBoard, config: UnitConfig, user: str = "constant") -> dict[str, str]:
    """Texts of all files that a build needs, by name.

    Those of :func:`boards.zynq7.zynq_files`; ``project.tcl`` and ``top.xdc`` for Vivado; and
    ``openxc7.sh`` and ``openxc7.ys``, where openXC7 has the device.

    Parameters
    ----------
    board : ZynqBoard
        The board.
    config : UnitConfig
        Configuration of the unit.
    user : str
        Where TUSER comes from, as :func:`boards.zynq7.zynq_files` has it.
    """
    sources, top = zynq7.sources(config), zynq7.top(config)
    files = {**zynq7.zynq_files(config, user=user, leds=bool(board.leds)),
             "top.xdc": project.constraints(board),
             "project.tcl": project.script(board, sources, top)}
    if board.open_route:
        files |= {"openxc7.sh": openxc7.script(board),
                  "openxc7.ys": openxc7.synthesis(sources, top)}
    return files


def figures(files: dict[str, str], config: UnitConfig) -> synthesis.Figures:
    """Area and delay of a plan's top, of :func:`rtl.emit.synthesis.measure`."""
    text = "".join(files[name] for name in zynq7.sources(config))
    return synthesis.measure(text, zynq7.top(config))


def implement(folder: pathlib.Path) -> None:
    """Run Vivado on a plan that is in a folder; ``vivado.out`` there is what it prints.

    Raises
    ------
    ToolError
        If Vivado is missing or fails.
    """
    command = [tools.find("vivado"), "-mode", "batch", "-nojournal", "-log", "vivado.log",
               "-source", "project.tcl"]
    tools.run(command, folder, "vivado.out")

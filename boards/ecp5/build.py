"""Bitstream of a unit on a board with an ECP5: Yosys, nextpnr-ecp5 and ecppack."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Iterator, Mapping

from rtl.config import ConfigError, UnitConfig
from rtl.emit import yosys

from .. import tools
from ..board import Ecp5Board
from ..serial import emission
from .top import Top

__all__ = ["Result", "divisor", "implement", "plan"]

# A receiver samples ten bits after one edge: so far may two lines be apart, and so far this one.
TOLERANCE = 0.02

# Name of the design and of its files.
NAME = "top"


@dataclasses.dataclass(frozen=True)
class Result:
    """A bitstream, and figures of it.

    Attributes
    ----------
    files : dict of str to bytes
        The bitstream and the logs.
    size : int
        Bytes of the bitstream.
    mhz : float
        Highest frequency of the clock after routing.
    wanted_mhz : float
        Its frequency on the board.
    cells : dict of str to (int, int)
        Cells of each kind that are used, and those of the device.
    """

    files: dict[str, bytes]
    size: int
    mhz: float
    wanted_mhz: float
    cells: dict[str, tuple[int, int]]


def divisor(board: Ecp5Board, baud: int | None = None) -> int:
    """Clock cycles of a bit on the serial line.

    Raises
    ------
    ConfigError
        If the line would be too far from ``baud``.
    """
    frequency = board.platform().default_clk_frequency
    baud = board.baud if baud is None else baud
    cycles = max(round(frequency / baud), 1) if baud > 0 else 0
    if cycles < 4 or abs(frequency / cycles / baud - 1) > TOLERANCE:
        raise ConfigError(f"Baud must be a quotient of {frequency:.0f} Hz and 4 or more, within "
                          f"{TOLERANCE:.0%}, not {baud}")
    return cycles


def plan(board: Ecp5Board, config: UnitConfig, baud: int | None = None) -> dict[str, str]:
    """Texts of all files that a build needs, by name.

    Those of :func:`~boards.serial.emission.serial_files`; and Amaranth's plan for the board: the
    top, ``top.il``, pins and clock, ``top.lpf``, and the commands, ``build_top.sh``.

    Raises
    ------
    ConfigError
        If the line can not have that speed.
    """
    files = emission.serial_files(config, divisor(board, baud))
    platform = board.platform()
    for name in emission.sources(config):
        platform.add_file(name, files[name])
    built = platform.prepare(Top(emission.top(config), board), NAME, emit_src=False,
                             nextpnr_opts=f"--report {NAME}.report.json --seed 1")
    return {**files, **built.files}


def implement(files: Mapping[str, str], wanted_mhz: float) -> Iterator[str | Result]:
    """Run the commands of a plan: yields the name of each program before it runs, then the result.

    Raises
    ------
    ToolError
        If a program is missing or fails.
    YosysError
        If Yosys fails.
    """
    commands = json.loads(files[f"build_{NAME}.json"])["commands"]
    # Yosys is a library that the project has anyway.
    found = {command[0]: tools.find(command[0]) for command in commands if command[0] != "yosys"}
    with tempfile.TemporaryDirectory(prefix="boards-") as folder:
        folder = pathlib.Path(folder)
        for command in commands:
            yield command[0]
            if command[0] == "yosys":
                inputs = {name: text for name, text in files.items()
                          if name.endswith((".v", ".il", ".ys"))}
                written = yosys.run([f"script {NAME}.ys"], inputs)
                (folder / f"{NAME}.json").write_text(written[f"{NAME}.json"], encoding="utf-8")
                (folder / f"{NAME}.lpf").write_text(files[f"{NAME}.lpf"], encoding="utf-8")
            else:
                words = [found[command[0]], *(word for word in command[1:] if word != "--quiet")]
                tools.run(words, folder, f"{command[0]}.log")
        yield _result(folder, wanted_mhz)


def _result(folder: pathlib.Path, wanted_mhz: float) -> Result:
    """What the programs wrote."""
    report = json.loads((folder / f"{NAME}.report.json").read_text(encoding="utf-8"))
    image = (folder / f"{NAME}.bit").read_bytes()
    cells = {kind: (each["used"], each["available"])
             for kind, each in report["utilization"].items() if each["used"]}
    mhz = min(each["achieved"] for each in report["fmax"].values())
    logs = {path.name: path.read_bytes() for path in sorted(folder.glob("*.log"))}
    return Result({f"{NAME}.bit": image, f"{NAME}.svf": (folder / f"{NAME}.svf").read_bytes(),
                   **logs}, len(image), mhz, wanted_mhz, cells)

"""Command line that builds a unit for a board: ``python -m boards.build BOARD UNIT [...]``.

Everything goes into the folder ``OUT/<board>/<config.name>/``: the unit with its registers, the
top, constraints and commands, and what the tools make of them.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Mapping, Sequence

from rtl.bus.dma_unit import USERS
from rtl.config import ConfigError, UnitConfig, unit, units
from rtl.options import ArgumentParser, add_parameters, configs
from rtl.progress import Progress
from rtl.publish import publish

from . import tools
from .board import Ecp5Board, ZynqBoard
from .catalog import BOARDS, board
from .command import guarded
from .ecp5 import build as ecp5
from .vivado import build as vivado

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status, of :func:`~boards.command.guarded`."""
    return guarded(_run, argv)


def _run(argv: list[str]) -> None:
    if {"-h", "--help"} & {*argv}:
        _parser([unit(name) for name in argv if name in units()] or None).print_help()
        return
    args = _parser().parse_args(argv)
    if args.list or args.board is None:
        if not args.list:
            raise ConfigError(f"Board must be one of {', '.join(BOARDS)}")
        for each in BOARDS.values():
            print(f"{each.name:16} {each.title}")
        return
    chosen = board(args.board)
    if not args.unit and args.config is None or len(args.unit) > 1:
        raise ConfigError(f"Unit must be one of {', '.join(units())}, not {len(args.unit)} of them")
    wanted, _ = configs(args)
    folder = args.out / chosen.name / wanted[0].name
    for option, kind in (("baud", Ecp5Board), ("user", ZynqBoard), ("synth", ZynqBoard)):
        if getattr(args, option) and not isinstance(chosen, kind):
            raise ConfigError(f"Option --{option} must not be used with {chosen.name}")
    build = _build_zynq if isinstance(chosen, ZynqBoard) else _build_ecp5
    build(chosen, wanted[0], folder, args)


def _parser(classes: Sequence[type[UnitConfig]] | None = None) -> ArgumentParser:
    """Parser of the command line, with the parameters of some units or of all."""
    parser = ArgumentParser(
        prog="python -m boards.build", allow_abbrev=False,
        description="Build a unit for a board, with registers, and with a serial line or the "
                    "processor's buses around it.",
        epilog="BOARD UNIT --help lists the parameters of UNIT only.")
    parser.add_argument("board", nargs="?", metavar="BOARD", help=", ".join(
        f"{each.name} ({each.title})" for each in BOARDS.values()))
    parser.add_argument("unit", nargs="*", metavar="UNIT", help=", ".join(units()))
    parser.add_argument("--list", action="store_true", help="list the boards")
    parser.add_argument("--plan-only", action="store_true",
                        help="write sources, constraints and commands, and run no tool of "
                             "the board")
    parser.add_argument("--baud", metavar="N", type=int,
                        help="bits per second of the serial line (default: that of the board)")
    parser.add_argument("--user", choices=USERS,
                        help="Zynq: TUSER (masks) is constant 0, or comes from memory (default "
                             "constant)")
    parser.add_argument("--synth", action="store_true",
                        help="Zynq: synthesise the top by Yosys, and tell area and delay")
    parser.add_argument("--config", metavar="FILE",
                        help=".toml or .json file of parameters; options override it")
    parser.add_argument("--preset", metavar="NAME",
                        help="named set of parameters to start from; options override it")
    parser.add_argument("--out", metavar="DIR", default="build", type=pathlib.Path,
                        help="folder to write to (default build)")
    add_parameters(parser, classes)
    return parser


def _build_ecp5(chosen: Ecp5Board, config: UnitConfig, folder: pathlib.Path, args) -> None:
    files = ecp5.plan(chosen, config, args.baud)
    if args.plan_only:
        _write(folder, files)
        return
    with Progress("Building", 3, "programs") as progress:
        frequency = chosen.platform().default_clk_frequency
        for number, step in enumerate(ecp5.implement(files, frequency / 1e6)):
            # The name of a program comes before it runs.
            progress.advance(number > 0)
            result = step
    _write(folder, {**files, **result.files})
    print(f"bitstream {folder / 'top.bit'}: {result.size} bytes")
    print(f"clock {result.wanted_mhz:g} MHz, {result.mhz:.1f} MHz after routing")
    print("cells " + ", ".join(f"{kind} {used}/{there}"
                               for kind, (used, there) in sorted(result.cells.items())))


def _build_zynq(chosen: ZynqBoard, config: UnitConfig, folder: pathlib.Path, args) -> None:
    if not args.plan_only:
        tools.find("vivado")
    files = vivado.plan(chosen, config, args.user or "constant")
    if args.synth:
        with Progress("Synthesising"):
            f = vivado.figures(files, config)
        print(f"{f.lut} LUT, {f.ff} FF, {f.carry4} CARRY4, {f.dsp} DSP, {f.bram} BRAM36, "
              f"{f.delay_ps} ps of logic, by Yosys for xc7")
    _write(folder, files)
    if not args.plan_only:
        with Progress("Vivado"):
            vivado.implement(folder)
        print(f"bitstream {folder / 'top.bit'}")


def _write(folder: pathlib.Path, files: Mapping[str, str | bytes]) -> None:
    publish(folder, files)
    print(f"{len(files)} files written to {folder}")


if __name__ == "__main__":
    sys.exit(main())

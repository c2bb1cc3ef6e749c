"""Command line that writes Zynq-7000 tops: ``python -m boards.zynq7 UNIT [--out DIR ...]``."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Sequence

from rtl.bus.dma_unit import USERS
from rtl.config import ConfigError
from rtl.options import ArgumentParser, add_parameters, configs
from rtl.publish import publish

from ..command import guarded
from .files import top, zynq_files

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status, of :func:`~boards.command.guarded`."""
    return guarded(_run, argv)


def _run(argv: list[str]) -> None:
    args = _parser().parse_args(argv)
    if not (args.unit or args.config):
        raise ConfigError("Argument UNIT must name a unit: python -m rtl.generate --list")
    wanted, _ = configs(args)
    for config in wanted:
        publish(args.out / config.name, zynq_files(config, user=args.user))
        print(f"{args.out / config.name}: top module {top(config)}")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m boards.zynq7", allow_abbrev=False,
        description="Write units with registers and DMA behind the processing system of a "
                    "Zynq-7000, each into a folder named after its configuration.")
    parser.add_argument("unit", nargs="*", metavar="UNIT", help="unit to write")
    parser.add_argument("--config", metavar="FILE",
                        help=".toml or .json file of parameters; options override it")
    parser.add_argument("--preset", metavar="NAME", help="named set of parameters to start from")
    parser.add_argument("--out", metavar="DIR", default="build", type=pathlib.Path,
                        help="folder to write to (default build)")
    parser.add_argument("--user", choices=USERS, default="constant",
                        help="TUSER (masks) is constant 0, or comes from memory by a channel of "
                             "its own (default constant)")
    add_parameters(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())

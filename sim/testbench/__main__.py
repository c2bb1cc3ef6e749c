"""Command line that writes units with test benches: ``python -m sim.testbench [UNIT ...] ...``.

Beside the files of ``python -m rtl.generate`` the folder of each unit gets ``<name>_tb.v``, a bench
in plain Verilog, ``<name>_tb_<bus>.hex``, the beats of each stream, and ``<name>_tb.core``, by
which FuseSoC runs it. The outputs are those of the model.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

from amaranth.lib.wiring import In, Out

from rtl import ConfigError, UnitConfig, units
from rtl.bus.axi_stream import bus_name
from rtl.emit.files import CONTROLS
from rtl.emit.packages import fusesoc
from rtl.emit.yosys import YosysError
from rtl.generate import generate
from rtl.options import ArgumentParser, add_parameters, configs
from rtl.publish import publish

from ..stimuli.provider import KINDS
from .bench import bench, hexadecimal
from .vectors import vectors

__all__ = ["main", "testbench"]


def testbench(config: UnitConfig, *, kind: str = "random", seed: int = 0,
              beats: int = 400) -> dict[str, str]:
    """Return the texts of a unit's bench, by name of the file.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit.
    kind : str
        Inputs, of :data:`~sim.stimuli.provider.KINDS`.
    seed : int
        Seed of all that is random.
    beats : int
        About how many beats random inputs have.
    """
    name = f"{config.name}_tb"
    words = vectors(config, kind, seed, beats)
    buses = {stream: bus_name(stream, Out if stream == "o" else In) for stream in config.streams}
    texts = {f"{name}_{bus}.hex": hexadecimal(words[stream]) for stream, bus in buses.items()
             if words[stream]}
    core = fusesoc.bench(config, f"{name}.v", list(texts), name)
    return {f"{name}.v": bench(config, words, seed), f"{name}.core": core, **texts}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0: success; 1: a file or design could not be written; 2: wrong request.
    """
    try:
        args = _parser().parse_args(argv)
        wanted, refused = configs(args)
        for config in wanted:
            try:
                texts = testbench(config, kind=args.kind, seed=args.seed, beats=args.beats)
            except ConfigError as error:
                if args.unit or args.config:
                    raise
                refused[config.UNIT] = error
                continue
            generate(config, args.out, control=args.control)
            publish(args.out / config.name, texts)
            print(f"{args.out / config.name}: {', '.join(texts)}")
    except ConfigError as error:
        message, status = str(error), 2
    except OSError as error:
        message, status = f"File {str(error.filename)!r} can not be written: {error.strerror}", 1
    except YosysError as error:
        message, status = str(error), 1
    else:
        for name, error in refused.items():
            print(f"{name} is left out: {error}", file=sys.stderr)
        return 0
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return status


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m sim.testbench", allow_abbrev=False,
        description="Write units as Verilog, each with a self-checking bench in plain Verilog and "
                    "its vectors. Icarus runs it without Python.")
    parser.add_argument("unit", nargs="*", metavar="UNIT",
                        help="unit (all, if none is named): " + ", ".join(units()))
    parser.add_argument("--config", metavar="FILE", help=".toml or .json file of parameters")
    parser.add_argument("--preset", metavar="NAME", help="named set of parameters to start from")
    # With DMA there are no streams to drive.
    parser.add_argument("--control", choices=[each for each in CONTROLS if each != "axi-dma"],
                        default="none",
                        help="registers around each unit, as of rtl.generate; the bench drives "
                             "the streams (default none)")
    parser.add_argument("--kind", choices=KINDS, default="random",
                        help="inputs (default %(default)s)")
    parser.add_argument("--beats", type=_positive, default=400, metavar="N",
                        help="about how many beats random inputs have (default %(default)s)")
    parser.add_argument("--seed", type=_natural, default=0, metavar="S",
                        help="seed of inputs, gaps and stalls (default %(default)s)")
    parser.add_argument("--out", metavar="DIR", default="build", type=pathlib.Path,
                        help="folder to write to (default build)")
    add_parameters(parser)
    return parser


def _natural(text: str) -> int:
    if not text.isdecimal() or int(text) >= 1 << 31:
        raise argparse.ArgumentTypeError(f"must be an integer in 0..{(1 << 31) - 1}, not {text!r}")
    return int(text)


def _positive(text: str) -> int:
    value = _natural(text)
    if not value:
        raise argparse.ArgumentTypeError(f"must be an integer in 1..{(1 << 31) - 1}, not {text!r}")
    return value


if __name__ == "__main__":
    sys.exit(main())

"""Command line that writes units as Verilog: ``python -m rtl.generate [UNIT ...] [--bits 8 ...]``.

Each configuration becomes the folder ``OUT/<config.name>/`` with the files of
:func:`rtl.emit.files.unit_files`.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import gc
import io
import os
import pathlib
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from . import measured
from .bus.dma_unit import USERS
from .config import ConfigError, UnitConfig, unit, units
from .emit import files, synthesis
from .emit.ports import axi_latency
from .emit.yosys import YosysError
from .options import ArgumentParser, add_parameters, configs
from .progress import Progress
from .publish import make_folder, publish

__all__ = ["generate", "main"]


def generate(config: UnitConfig, out: str | os.PathLike[str], *, synthesise: bool = False,
             control: str = "none", user: str = "constant") -> synthesis.Figures | None:
    """Write the files of a unit into ``out/<config.name>/``.

    Folders and files appear whole, by renaming; other files in the folder stay. An
    :class:`OSError` names the folder, or what is in its place.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit.
    out : path
        Folder of the folder.
    synthesise : bool
        Whether to measure it.
    control : "none", "axi-lite" or "axi-dma"
        Registers of the unit, and DMA between its streams and memory.
    user : "constant" or "memory"
        Whether DMA brings the words of TUSER.

    Returns
    -------
    synthesis.Figures or None
        Area and delay with the AXI4-Stream shell, and with the registers if it has them, if
        ``synthesise``.
    """
    texts = files.unit_files(config, control, user)
    publish(pathlib.Path(out) / config.name, texts)
    if not synthesise:
        return None
    return synthesis.measure("".join(texts[name] for name in files.sources(config, control)),
                             files.top(config, control))


# Command line -----------------------------------------------------------------------------------

def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0: success; 1: a file or design could not be written; 2: wrong request; 130: interrupted; 141:
    nobody reads the output.
    """
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return status
    except ConfigError as error:
        message, status = str(error), 2
    except BrokenPipeError:
        _discard_output()
        return 128 + signal.SIGPIPE
    except OSError as error:
        what = ("Output or a temporary file" if error.filename is None
                else f"File {str(error.filename)!r}")
        message, status = f"{what} can not be written: {error.strerror}", 1
        if error.filename is None:
            _discard_output()
    except (YosysError, synthesis.SynthesisError) as error:
        message, status = str(error), 1
    except KeyboardInterrupt:
        message, status = "Interrupted", 130
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return status


def _discard_output() -> None:
    """Drop what is still to be printed, which Python would try again at its end."""
    # A stream in memory has no number.
    with contextlib.suppress(io.UnsupportedOperation), open(os.devnull, "wb") as sink:
        os.dup2(sink.fileno(), sys.stdout.fileno())


def _run(argv: list[str]) -> int:
    if {"-h", "--help"} & {*argv}:
        _parser([unit(name) for name in _named(argv)] or None).print_help()
        return 0
    args = _parser().parse_args(_complete(argv))
    if args.testbench:
        raise ConfigError("Option --testbench must be a command, as the models make its vectors: "
                          "python -m sim.testbench, with the same units and parameters")
    if args.list:
        return _list()
    wanted, refused = configs(args)
    if args.print_config:
        if len(wanted) > 1:
            raise ConfigError(f"Option --print-config must be used with one unit, not with "
                              f"{len(wanted)}")
        print(getattr(wanted[0], f"to_{args.print_config}")(), end="")
        return 0
    make_folder(args.out)
    start = time.monotonic()
    _report(wanted, _generate_all(wanted, args.out, synthesise=args.synth, control=args.control,
                                  user=args.user))
    print(f"{len(wanted)} unit{'s' * (len(wanted) > 1)} written to {args.out}{os.sep} in "
          f"{time.monotonic() - start:.1f} s")
    for name, error in refused.items():
        print(f"{name} is left out: {error}", file=sys.stderr)
    return 0


def _named(argv: Sequence[str]) -> list[str]:
    """Units among the arguments; the value of an option is none."""
    return [argument for before, argument in zip(["", *argv], argv, strict=False)
            if argument in units() and (not before.startswith("--") or "=" in before)]


def _parser(classes: Sequence[type[UnitConfig]] | None = None) -> ArgumentParser:
    """Parser of the command line, with the parameters of some units or of all."""
    parser = ArgumentParser(
        prog="python -m rtl.generate", allow_abbrev=False,
        description="Write units as Verilog, each into a folder named after its configuration. If "
                    "none is named, a unit that does not take a value which others take is left "
                    "out, and the reason printed; the exit status is 0.",
        epilog=_presets(classes) if classes else "UNIT --help lists the parameters of UNIT only.")
    parser.add_argument("unit", nargs="*", metavar="UNIT",
                        help="unit to generate (all, if none is named): " + ", ".join(units()))
    parser.add_argument("--list", action="store_true", help="list the units and their presets")
    parser.add_argument("--config", metavar="FILE",
                        help=".toml or .json file of parameters; options override it")
    parser.add_argument("--preset", metavar="NAME",
                        help="named set of parameters to start from; options override it")
    parser.add_argument("--print-config", metavar="FORMAT", choices=("toml", "json"),
                        help="print the configuration (toml or json; toml if neither is named) "
                             "instead of generating")
    parser.add_argument("--out", metavar="DIR", default="build", type=pathlib.Path,
                        help="folder to write to (default build)")
    parser.add_argument("--control", choices=files.CONTROLS, default="none",
                        help="registers around each unit, with identity, errors, counters, "
                             "interrupt and run-time parameters; axi-dma: with DMA between its "
                             "streams and memory, too (default none)")
    parser.add_argument("--user", choices=USERS, default="constant",
                        help="axi-dma: TUSER (masks) is constant 0, or comes from memory by a "
                             "channel of its own (default constant)")
    parser.add_argument("--testbench", action="store_true",
                        help="names the command that writes self-checking benches in plain "
                             "Verilog: python -m sim.testbench")
    parser.add_argument("--synth", action="store_true",
                        help="synthesise the AXI4-Stream shells, with the registers if there "
                             "are any, for 7-series devices, and tell area and delay")
    add_parameters(parser, classes)
    return parser


def _presets(classes: Sequence[type[UnitConfig]]) -> str:
    return "; ".join(f"presets of {cls.UNIT}: {', '.join(cls.PRESETS)}" for cls in classes)


def _complete(argv: list[str]) -> list[str]:
    """Add the default format to a bare ``--print-config``, so that a unit may follow it."""
    return [f"{argument}=toml" if argument == "--print-config"
            and argv[n + 1:n + 2] not in (["toml"], ["json"]) else argument
            for n, argument in enumerate(argv)]


def _list() -> int:
    rows = [(cls.UNIT, ", ".join(cls.PRESETS), cls.__doc__.splitlines()[0])
            for cls in map(unit, units())]
    _print_table(("unit", "presets", "what"), rows)
    return 0


# Work -------------------------------------------------------------------------------------------

def _generate_all(wanted: Sequence[UnitConfig], out: pathlib.Path,
                  **options: Any) -> list[synthesis.Figures | None]:
    """Generate on all cores, and return the figures of each config (None without synthesis)."""
    workers = min(len(wanted), os.cpu_count() or 1)
    with concurrent.futures.ProcessPoolExecutor(workers, initializer=_start_worker) as pool:
        # Processes are started before the progress, which is a thread.
        # What has most streams takes longest to emit, and goes first.
        jobs = {config: pool.submit(generate, config, out, **options)
                for config in sorted(wanted, key=lambda config: -len(config.streams))}
        try:
            with Progress("Generating", len(jobs), "units") as progress:
                for job in concurrent.futures.as_completed(jobs.values()):
                    job.result()
                    progress.advance()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        return [jobs[config].result() for config in wanted]


def _start_worker() -> None:
    signal.signal(signal.SIGINT, _leave)
    # A worker ends before its garbage matters, and collections take a third of its time.
    gc.disable()


def _leave(*_: object) -> None:
    """End a worker on Ctrl-C: silently, with its temporary files removed."""
    sys.exit(130)


def _report(wanted: Sequence[UnitConfig], figures: Sequence[synthesis.Figures | None]) -> None:
    header = ["module", "preset", "latency", "output scale", "mean error"]
    rows = [_row(config) for config in wanted]
    if any(figures):
        header += ["LUT", "FF", "CARRY4", "MUXF", "DSP", "BRAM", "ps"]
        for row, f in zip(rows, figures, strict=True):
            row += map(str, (f.lut, f.ff, f.carry4, f.muxf, f.dsp, f.bram, f.delay_ps))
    _print_table(header, rows)


def _row(config: UnitConfig) -> list[str]:
    """Cells of a configuration: its latency is that at the AXI ports."""
    preset, difference = config.nearest_preset()
    # A preset of which parameters are changed is another configuration.
    preset += f", {len(difference)} changed" if difference else ""
    output = config.data_sheet.formats[list(config.streams)[-1]]
    error = measured.mean_error(config)
    further = "" if config.passes == 1 else f" + {config.passes - 1} a further beat"
    return [config.name, preset, f"{axi_latency(config)}{further}",
            "-" if output.scale is None else f"{output.scale:.4g}",
            "-" if error is None else f"{error:.1e}"]


def _print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        for row in (header, *rows):
            print("  ".join(map(str.ljust, row, widths)).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    table = Table(box=None, header_style="bold")
    for title, cell in zip(header, rows[0], strict=True):
        number = cell.replace(".", "").isdigit()
        table.add_column(title, overflow="fold", no_wrap=number,
                         justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


if __name__ == "__main__":
    sys.exit(main())

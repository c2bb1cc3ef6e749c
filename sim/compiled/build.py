"""Shared libraries of designs: Verilog to C++ to machine code, kept by the hash of what made them.

What is the same for all designs (Verilator's runtime, the driver, a precompiled header) is compiled
once per store, with optimisation, unless the usual store has it. A design's own code is optimised
as its job is long: without it the compiler takes half a second instead of two, and the model runs
at a third of the speed.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ..runner import WAIVERS, Design, SimulatorError, check_simulator, verilator_home
from .driver import SOURCES, glue

__all__ = ["EFFORTS", "STORE", "library"]

STORE = Path("build/compiled")

# Options of the compiler for the model, by what the job is like.
EFFORTS = {"short": "-O0", "long": "-O2"}

# Designs that a store keeps.
KEPT = 1000

VERILATOR = ("--cc", "-O3", "--prefix", "Vtop", "--x-assign", "unique", "--x-initial", "unique",
             *(f"-Wno-{name}" for name in WAIVERS))
COMPILER = ("-std=gnu++17", "-fPIC", "-fno-gnu-unique", "-fvisibility-inlines-hidden", "-w",
            *(f"-DVM_{name}=0" for name in ("COVERAGE", "SC", "TRACE")), "-DVERILATOR=1")
RUNTIME = ("verilated.cpp", "verilated_threads.cpp")
HEADER = '#include "verilated.h"\n#include <cstring>\n#include "driver.h"\n'


def library(design: Design, *, store: Path = STORE, effort: str = "short",
            random_registers: bool = True) -> Path:
    """Return the shared library of a design, built if the store has none.

    Parameters
    ----------
    design : Design
        What to build.
    store : path
        Folder of all libraries.
    effort : "short" or "long"
        What the job is like that the library is for.
    random_registers : bool
        Whether registers forget their initial values and start at random, so that a missing reset
        shows.

    Raises
    ------
    SimulatorError
        If a tool is missing or refuses the design.
    """
    check_simulator("verilator")
    text = _without_initial_values(design.verilog) if random_registers else design.verilog
    sources = [path.read_text(encoding="utf-8") for path in design.sources]
    level = EFFORTS[effort]
    key = _hash(_tools(), design.top, text, *sources, glue(design), level)
    folder = Path(store).resolve()
    path = folder / f"{design.config.UNIT}-{key}"
    if not path.exists():
        _prune(folder)
    return _made(path, lambda work: _build(design, text, work, folder, level)) / "model.so"


# Blocks that give registers, not memories, their first value.
_REGISTERS = re.compile(r"^  initial begin\n(?:    \w+ = [^;]+;\n)+  end\n", re.MULTILINE)


def _without_initial_values(text: str) -> str:
    return _REGISTERS.sub("", text)


def _build(design: Design, text: str, work: Path, store: Path, level: str) -> None:
    (work / "design.v").write_text(text, encoding="utf-8")
    (work / "glue.cpp").write_text(glue(design), encoding="utf-8")
    refusal = f"Simulator verilator refuses {design.top}"
    _run(refusal, work, [verilator_home() / "bin" / "verilator_bin", *VERILATOR, "--Mdir", work,
                         "--top-module", design.top, "design.v",
                         *(path.resolve() for path in design.sources)])
    files = sorted(path.name for path in work.glob("Vtop*.cpp"))
    # What runs once is compiled without optimisation, beside the rest.
    slow = [name for name in files if name.endswith("Slow.cpp")]
    parts = {level: ["glue.cpp", *(name for name in files if name not in slow)]}
    parts["-O0"] = parts.get("-O0", []) + slow
    for number, names in enumerate(parts.values()):
        (work / f"part{number}.cpp").write_text(
            "".join(f'#include "{name}"\n' for name in names), encoding="utf-8")
    _run(refusal, work, *(
        _compile(part, f"part{number}.cpp", "-include", _header(store, part) / "header.h", "-I.")
        for number, part in enumerate(parts)))
    objects = sorted([*work.glob("part*.o"), *_runtime(store).glob("*.o")])
    _run(refusal, work, ["g++", "-shared", "-Wl,-Bsymbolic", "-o", "model.so", *objects,
                         "-pthread"])
    for path in work.iterdir():
        if path.name not in ("model.so", "design.v"):
            path.unlink()


def _compile(level: str, source: object, *options: object) -> list[object]:
    include = verilator_home() / "include"
    folders = [f"-I{folder}" for folder in (include, include / "vltstd", SOURCES[0].parent)]
    return ["g++", *COMPILER, *folders, level, *options, "-c", source]


def _runtime(store: Path) -> Path:
    """Folder of the objects that are in all libraries: Verilator's runtime and the driver."""
    sources = [verilator_home() / "include" / name for name in RUNTIME]
    sources += [path for path in SOURCES if path.suffix == ".cpp"]
    return _shared(store, f"runtime-{_hash(_tools())}", lambda work: _run(
        "The compiler refuses Verilator's runtime", work,
        # A cycle runs through the driver, and hardly through the rest.
        *(_compile("-O2" if source in SOURCES else "-O1", source) for source in sources)))


def _header(store: Path, level: str) -> Path:
    """Folder of the header of all designs, precompiled for a level of optimisation."""
    def make(work: Path) -> None:
        (work / "header.h").write_text(HEADER, encoding="utf-8")
        _run("The compiler refuses Verilator's header", work,
             _compile(level, "header.h", "-x", "c++-header", "-o", "header.h.gch"))

    return _shared(store, f"header-{_hash(_tools(), level)}", make)


def _shared(store: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder of what all designs share: that of :data:`STORE`, if it is there."""
    usual = STORE.resolve() / name
    return usual if usual.exists() else _made(store / name, make)


def _made(folder: Path, make: Callable[[Path], None]) -> Path:
    """Return a folder, made if it is not there; all of it or nothing, and by one process."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / f".{folder.name}.lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as parent:
                work = Path(parent) / "made"
                work.mkdir()
                make(work)
                work.rename(folder)
    # What was used longest ago is the first to go.
    os.utime(folder)
    return folder


def _run(refusal: str, folder: Path, *commands: Sequence[object]) -> None:
    """Run commands side by side; the first error line of one that fails is the message."""
    environment = {**os.environ, "VERILATOR_ROOT": str(verilator_home())}
    running = [subprocess.Popen([str(word) for word in words], cwd=folder, env=environment,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                errors="replace") for words in commands]
    outputs = [process.communicate()[0] for process in running]
    for process, output in zip(running, outputs, strict=True):
        if process.returncode:
            lines = [line.strip() for line in output.splitlines() if line.strip()]
            first = next((line for line in lines if "error" in line.lower()
                          or line.startswith("%Warning")), lines[-1] if lines else "no message")
            raise SimulatorError(f"{refusal}: {first}")


@functools.cache
def _tools() -> str:
    """What a library depends on besides its design."""
    compiler = subprocess.run(["g++", "--version"], capture_output=True, text=True, check=True)
    return repr([importlib.metadata.version("verilator"), str(verilator_home()),
                 compiler.stdout.split("\n")[0], VERILATOR, COMPILER, HEADER,
                 *(path.read_text(encoding="utf-8") for path in SOURCES)])


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()[:20]


def _prune(store: Path) -> None:
    """Remove the designs that were used longest ago, beyond so many."""
    designs = [path.parent for path in store.glob("*/model.so")]
    if len(designs) > KEPT:
        for folder in sorted(designs, key=lambda path: path.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(folder, ignore_errors=True)
            (store / f".{folder.name}.lock").unlink(missing_ok=True)

"""What stands between Python and a Verilated design: generated C++ and the driver's structures.

``driver.cpp`` runs the cycles. It knows no design: the few lines that :func:`glue` generates tell
it where the model keeps the signals of each stream.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

from ..bench.rows import BeatFormat, formats
from ..runner import Design

__all__ = ["SOURCES", "Memory", "Run", "Status", "Traffic", "glue", "load"]

SOURCES = tuple(Path(__file__).with_name(name) for name in ("driver.h", "driver.cpp"))

GLUE = """\
#include "Vtop.h"
#include "driver.h"

struct Model : Design {{
    VerilatedContext context;
    Vtop *top;

    explicit Model(int seed) {{
        // Whatever the text leaves open starts at random.
        context.randReset(2);
        context.randSeed(seed);
        context.threads(1);
        top = new Vtop{{&context}};
        clock = &top->{clock};
        reset = &top->{reset};
        active = {active};
        error = &top->error;
        ports = {{
{ports}        }};
        controls = {{{controls}}};
        flags = {{{flags}}};
        for (const Signal &signal : controls) memset(signal.value, 0, signal.bytes);
        top->eval();
    }}
    ~Model() {{
        top->final();
        delete top;
    }}
    void eval() {{ top->eval(); }}
}};

extern "C" Design *driver_create(int64_t seed) {{ return new Model(int(seed)); }}
extern "C" void driver_destroy(Design *design) {{ delete design; }}
"""


def glue(design: Design) -> str:
    """C++ text that makes a design's model and finds its signals."""
    forms = formats(design.config, design.ports)
    axis = design.ports == "axis"
    return GLUE.format(
        clock="aclk" if axis else "clk", reset="aresetn" if axis else "rst", active=int(not axis),
        ports="".join(f"            {_port(form, name in design.config.streams_out)},\n"
                      for name, form in zip(design.config.streams, forms, strict=True)),
        controls=_signals(design.controls), flags=_signals(design.config.flags))


def _signals(names: Sequence[str]) -> str:
    return ", ".join(f"Signal(top->{_member(name)}, 8 * sizeof top->{_member(name)})"
                     for name in names)


def _port(form: BeatFormat, out: bool) -> str:
    signals = ", ".join(f"Signal(top->{_member(name)}, {width})" for name, width in form.signals)
    words = sum(-(-width // 32) for _, width in form.signals)
    return (f"{{&top->{_member(form.valid)}, &top->{_member(form.ready)}, {{{signals}}}, "
            f"{words}, {int(out)}}}")


def _member(name: str) -> str:
    """Verilator's name of a port, in which two underscores have a meaning of their own."""
    return name.replace("__", "___05F")


class Traffic(ctypes.Structure):
    """What one stream does in a run; see ``driver.h``."""

    _fields_ = [("beats", ctypes.c_void_p), ("pattern", ctypes.c_void_p),
                *((name, ctypes.c_int64) for name in ("period", "count")),
                ("offered", ctypes.c_void_p), ("moved", ctypes.c_void_p),
                ("done", ctypes.c_int64)]


class Memory(ctypes.Structure):
    """Memory behind a port, and what it did; see ``driver.h``."""

    _fields_ = [("content", ctypes.c_void_p),
                *((name, ctypes.c_int64) for name in
                  ("size", "bytes", "request", "response", "least", "most", "gap", "refuse",
                   "burst", "broken", "extra", "seed")),
                ("taken", ctypes.c_void_p),
                *((name, ctypes.c_int64) for name in ("room", "requests", "words", "asked"))]


class Run(ctypes.Structure):
    """A run's limits and results; see ``driver.h``."""

    _fields_ = [("traffic", ctypes.POINTER(Traffic)),
                *((name, ctypes.c_int64) for name in
                  ("patience", "quiet", "limit", "waits", "junk")),
                ("handshakes", ctypes.c_void_p),
                ("room", ctypes.c_int64), ("memory", ctypes.POINTER(Memory)),
                *((name, ctypes.c_int64) for name in ("status", "cycles", "error", "rise"))]


class Status:
    """How a run ended; see ``driver.h``."""

    FINISHED, STOPPED, SILENT, CHANGED, WITHDRAWN, EXTRA, REQUEST = range(7)


def load(path: Path) -> ctypes.CDLL:
    """Load a design's library."""
    library = ctypes.CDLL(str(path))
    for name, result, *arguments in (
            ("create", ctypes.c_void_p, ctypes.c_int64), ("destroy", None, ctypes.c_void_p),
            ("control", None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_uint64),
            ("flag", ctypes.c_uint64, ctypes.c_void_p, ctypes.c_int64),
            ("reset", None, ctypes.c_void_p, ctypes.c_int64),
            ("run", None, ctypes.c_void_p, ctypes.POINTER(Run))):
        function = getattr(library, f"driver_{name}")
        function.restype, function.argtypes = result, arguments
    return library

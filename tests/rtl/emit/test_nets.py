"""Quick netlists: the same text, and the same combinational cycles refused."""

import contextlib

import amaranth
import pytest
from amaranth import ClockDomain, Module, Signal
from amaranth.back import rtlil
from amaranth.hdl._nir import CombinationalCycle, Netlist
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

import rtl
from rtl.emit import nets, verilog
from rtl.emit.nets import quick_nets


@pytest.fixture(autouse=True)
def this_release(monkeypatch):
    """Any release can be tried; those of ``RELEASES`` have been."""
    monkeypatch.setattr(nets, "RELEASES", {amaranth.__version__})


# The first has cycles of cells, but none of bits.
@pytest.mark.parametrize("config", [
    rtl.unit("attention")(max_keys=5, dim=4, lanes=2, io_lanes=2),
    rtl.unit("softmax-split")(max_length=16)])
def test_text_is_the_same(config, monkeypatch):
    quick = verilog.of_unit(config)
    monkeypatch.setattr(verilog, "quick_nets", contextlib.nullcontext)
    assert verilog.of_unit(config) == quick


class Loop(wiring.Component):
    """A network with a cycle, or with one among its cells only."""

    a: In(2)
    y: Out(2)

    def __init__(self, kind):
        self.kind = kind
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        x, z = Signal(2), Signal(2)
        m.d.comb += self.y.eq(x)
        if self.kind == "nets":
            m.d.comb += [x.eq(z), z.eq(x)]
        elif self.kind == "operators":
            m.d.comb += [x.eq(z + self.a), z.eq(~x)]
        elif self.kind == "conditions":
            with m.If(x[1]):
                m.d.comb += x.eq(self.a)
        elif self.kind == "clock":
            m.domains.slow = slow = ClockDomain(local=True, reset_less=True)
            m.d.comb += slow.clk.eq(~x[0])
            m.d.slow += x.eq(x + 1)
        elif self.kind == "cells only":
            m.d.comb += [x[0].eq(self.a[0] ^ self.a[1]), x[1].eq(x[0] & self.a[1])]
        else:
            m.d.sync += x.eq(x + self.a)
        return m


@pytest.mark.parametrize("kind, refused", [
    ("nets", True), ("operators", True), ("conditions", True), ("clock", True),
    ("cells only", False), ("register", False)])
def test_cycles_are_refused(kind, refused):
    """As Amaranth does, in its words."""
    def outcome():
        try:
            return rtlil.convert(Loop(kind), emit_src=False)
        except CombinationalCycle as error:
            return str(error)

    slow = outcome()
    assert slow.startswith("Combinational cycle") == refused
    with quick_nets():
        assert outcome() == slow


def test_cells_without_cycles_are_not_looked_at_by_bits(monkeypatch):
    monkeypatch.setattr("rtl.emit.nets._check_bits", None)
    with quick_nets():
        rtlil.convert(Loop("cells only"))
        rtlil.convert(Loop("register"))


def test_amaranth_is_as_before():
    """Outside, and after an error inside."""
    before = Netlist.check_comb_cycles, rtlil.ModuleEmitter.sigspec
    with pytest.raises(CombinationalCycle), quick_nets():
        assert Netlist.check_comb_cycles is not before[0]
        rtlil.convert(Loop("nets"))
    assert (Netlist.check_comb_cycles, rtlil.ModuleEmitter.sigspec) == before


def test_other_releases_are_left_alone(monkeypatch):
    monkeypatch.setattr(nets, "RELEASES", frozenset())
    before = Netlist.check_comb_cycles
    with quick_nets():
        assert Netlist.check_comb_cycles is before

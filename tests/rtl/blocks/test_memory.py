"""Memories: the rule for their kind, and banks."""

import random

import pytest
from amaranth import unsigned
from amaranth.lib import data

from rtl.blocks.memory import BankedMemory, SlicedMemory, memory_style, ram
from rtl.emit import verilog
from rtl.emit.synthesis import measure
from sim.testing.pysim import clocked


@pytest.mark.parametrize("wanted, bits, style", [
    ("auto", 4096, "distributed"), ("auto", 4097, "block"), ("block", 1, "block"),
    ("distributed", 1 << 20, "distributed")])
def test_style(wanted, bits, style):
    assert memory_style(wanted, bits) == style


def test_size_is_that_of_all_words():
    layout = data.StructLayout({"value": unsigned(8), "last": unsigned(1)})
    styles = [ram(layout, depth).attrs["ram_style"] for depth in (455, 456)]
    assert styles == ["distributed", "block"]


def check_words(dut, width, depth, latency):
    """Words that are written to random places are read, so many cycles later."""
    rng = random.Random(width)
    places = rng.sample(range(depth), 20)
    words = {place: rng.randrange(1 << width) for place in places}

    def drive(ctx, n):
        ctx.set(dut.write, n < 20)
        ctx.set(dut.address, places[n % 20])
        ctx.set(dut.data, words[places[n % 20]])
        ctx.set(dut.read, places[n % 20])
    got = clocked(dut, drive, lambda ctx, n: ctx.get(dut.o), 40 + latency)
    assert got[20 + latency:] == [words[place] for place in places]


@pytest.mark.parametrize("width, depth, style, banks", [
    (3, 20, "distributed", 1), (30, 1500, "block", 2), (40, 1025, "block", 2)])
def test_banked_memory(width, depth, style, banks):
    dut = BankedMemory(unsigned(width), depth, style)
    assert -(-depth // dut.bank) == banks
    check_words(dut, width, depth, latency=2)


@pytest.mark.parametrize("width, depth, style, slice_bits", [
    (40, 20, "block", 40), (40, 1025, "distributed", 40), (40, 1025, "block", 18),
    (21, 2560, "block", 9), (3, 40000, "block", 1)])
def test_sliced_memory(width, depth, style, slice_bits):
    dut = SlicedMemory(unsigned(width), depth, style)
    assert dut.slice_bits == slice_bits
    check_words(dut, width, depth, latency=1)


@pytest.mark.slow
def test_nothing_follows_the_slices():
    """No LUT chooses a word of a deep memory, and its path ends behind the block RAM."""
    memory = SlicedMemory(unsigned(27), 2560)
    figures = measure(verilog.of_components({"memory": memory}), "memory")
    assert (figures.lut, figures.bram, figures.delay_ps) == (0, 3, 2454)

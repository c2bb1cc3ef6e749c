"""The parts of the one-pass datapath against its model: terms, sums that shift, scale of a row."""

import numpy as np
import pytest
from amaranth import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from rtl.attention.online.row_scale import RowFactor, ScalePipeline
from rtl.attention.online.row_terms import RowTerms
from rtl.attention.online.shift_sum import ShiftSum
from rtl.attention.online.value_shift_sums import ValueShiftSums
from rtl.emit import synthesis, verilog
from rtl.fixed import signed_range
from sim.model.attention import online
from sim.testing.online import NUMBERS, directed_rows, numbers
from sim.testing.pysim import clocked, pipelined


class Sums(wiring.Component):
    """Terms of a row, their sum, and a sum of values that they weight."""

    LATENCY = 2

    def __init__(self, own):
        self.own = own
        super().__init__({
            "i": In(data.ArrayLayout(signed(own.bits), own.lanes)), "live": In(own.lanes),
            "v": In(data.ArrayLayout(signed(own.value_bits), own.lanes)),
            "valid": In(1), "first": In(1),
            "total": Out(signed(own.held_sum.bit_length() + 1)),
            "weighted": Out(signed(own.held_width))})

    def elaborate(self, platform):
        m = Module()
        own = self.own
        m.submodules.terms = terms = RowTerms(own)
        values = self.v
        for number in range(terms.latency):
            later = Signal.like(values, name=f"values_{number}")
            m.d.sync += later.eq(values)
            values = later
        for name in "i", "live", "valid", "first":
            m.d.comb += getattr(terms, name).eq(getattr(self, name))
        valid = Signal()
        m.d.sync += valid.eq(terms.o_valid)
        move = Signal.like(terms.move)
        m.d.sync += move.eq(terms.move)
        for out, factors, cut in ((self.total, [1] * own.lanes, 0),
                                  (self.weighted, values, own.cut)):
            width = len(out)
            m.submodules += (total := ShiftSum(width, width, own.block, cut))
            m.d.sync += total.i.eq(
                sum(term * factor for term, factor in zip(terms.o, factors, strict=True))
                << own.guard_bits)
            m.d.comb += [total.move.eq(move), total.valid.eq(valid), out.eq(total.o)]
        return m


def beats_of(own, x, hidden, v, random):
    """Beats of a row: logits, live lanes, values, first; lanes beyond the row hold anything."""
    low, high = signed_range(own.bits)
    for start in range(0, len(x), own.lanes):
        spare = own.lanes - len(x[start:start + own.lanes])
        fill = random.integers(low, high + 1, spare)
        live = [*~hidden[start:start + own.lanes], *[False] * spare]
        yield ([*x[start:start + own.lanes], *fill], sum(1 << k for k, on in enumerate(live) if on),
               [*v[start:start + own.lanes, 0], *[low // 3] * spare], start == 0)


@pytest.mark.parametrize("name", NUMBERS)
def test_sums(name):
    """Rows back to back and with gaps between their beats, at the end of each."""
    own, random = NUMBERS[name], np.random.default_rng(1)
    beats, ends = [], {}
    for gaps in 0.0, 0.3:
        for case, x, hidden in directed_rows(own, random):
            v = random.integers(*signed_range(own.value_bits), (len(x), 1), endpoint=True)
            for beat in beats_of(own, x, hidden, v, random):
                while random.random() < gaps:
                    beats.append(None)
                beats.append(beat)
            ends[len(beats) - 1] = case, online.row_sums(own, x[None, None], hidden[None, None],
                                                         v[None])
    dut = Sums(own)

    def drive(ctx, n):
        beat = beats[n] if n < len(beats) else None
        ctx.set(dut.valid, beat is not None)
        if beat:
            x, live, v, first = beat
            ctx.set(dut.live, live)
            ctx.set(dut.first, first)
            for k in range(own.lanes):
                ctx.set(dut.i[k], int(x[k]))
                ctx.set(dut.v[k], int(v[k]))

    latency = RowTerms.stages(own) + Sums.LATENCY
    got = clocked(dut, drive, lambda ctx, n: (ctx.get(dut.total), ctx.get(dut.weighted)),
                  len(beats) + latency)
    for place, (case, sums) in ends.items():
        assert got[place + latency] == (sums.total.item(), sums.weighted.item()), case


def results(own, total, sums):
    """Factor of a row's sum, and outputs of its sums of values."""
    found = online.RowSums(np.array([[total]]), np.array([[sums]]))
    return online.placed(own, found, own.scale).item(), online.scaled(own, found, own.scale)


@pytest.mark.parametrize("name", NUMBERS)
def test_scale(name):
    """Least, largest and any sums, with values at both ends and beyond what truncation leaves."""
    own, random = NUMBERS[name], np.random.default_rng(2)
    totals = [own.least_sum, own.held_sum, *(int(x) for x in np.exp(random.uniform(
        np.log(own.least_sum), np.log(own.held_sum), 60)))]
    low, high = signed_range(own.value_bits)
    sums = [[max(a, own.held_range[0]) for a in (
        low * total + low - 1, low * total, high * total, total // 3, -1, 0,
        int(random.uniform(low, high) * total))] for total in totals]
    wanted = [results(own, total, row) for total, row in zip(totals, sums, strict=True)]
    factor = RowFactor(own)
    factor.latency = factor.LATENCY

    def drive(ctx, total):
        ctx.set(factor.total, total)
        ctx.set(factor.multiplier, own.scale.multiplier)

    factors = pipelined(factor, totals, drive, lambda ctx: ctx.get(factor.o))
    assert factors == [word for word, _ in wanted]

    cases = [(a, number) for number, row in enumerate(sums) for a in row]
    pipeline = ScalePipeline(own)
    pipeline.latency = pipeline.stages(own)

    def drive_sum(ctx, case):
        ctx.set(pipeline.i, case[0] >> own.cut)
        ctx.set(pipeline.factor, factors[case[1]])

    got = pipelined(pipeline, cases, drive_sum, lambda ctx: ctx.get(pipeline.o))
    assert got == [y for _, row in wanted for y in row.ravel().tolist()]


@pytest.mark.slow
def test_sums_stay_in_the_multipliers():
    """One lane: what a DSP block adds to is its own sum, or what 21 LUTs move."""
    sums = ValueShiftSums(numbers(max_keys=320), 2)
    figures = synthesis.measure(verilog.of_components({"sums": sums}), "sums")
    assert (figures.dsp, figures.carry4) == (2, 0) and figures.lut <= 2 * 21 + 2
    assert figures.delay_ps < 3300


def test_outputs_stay_in_the_multipliers():
    """Behind the blocks there is but the saturation: the factor is at its place."""
    own = numbers(max_keys=320)
    assert own.read_width == 25
    figures = synthesis.measure(verilog.of_components({"scale": ScalePipeline(own)}), "scale")
    assert (figures.dsp, figures.carry4) == (2, 0) and 8 < figures.lut <= 20
    assert figures.delay_ps < 3300

"""Amaranth's own simulator around small blocks and whole units."""

import random

import numpy as np
from amaranth import Module, Signal
from amaranth.sim import Simulator


def combinational(function, widths, out_bits):
    """Python function that evaluates combinational logic for many inputs at once.

    ``function(m, *signals)`` builds the logic; the result takes a list of tuples of integers and
    gives a list of outputs.
    """
    m = Module()
    inputs = [Signal(width, name=f"i{k}") for k, width in enumerate(widths)]
    output = Signal(out_bits)
    m.d.comb += output.eq(function(m, *inputs))

    def evaluate(vectors):
        results = []

        async def bench(ctx):
            for vector in vectors:
                for signal, value in zip(inputs, vector, strict=True):
                    ctx.set(signal, value)
                results.append(ctx.get(output))

        simulator = Simulator(m)
        simulator.add_testbench(bench)
        simulator.run()
        return results

    return evaluate


def clocked(dut, drive, sample, cycles):
    """Run ``cycles`` clock cycles: ``drive(ctx, n)`` sets inputs, ``sample(ctx, n)`` reads outputs.

    Both run between the same two clock edges, inputs first. Returns what ``sample`` returned.
    """
    results = []

    async def bench(ctx):
        for n in range(cycles):
            drive(ctx, n)
            results.append(sample(ctx, n))
            await ctx.tick()

    # A block without registers has no clock of its own.
    top = Module()
    top.submodules.dut = dut
    beat = Signal()
    top.d.sync += beat.eq(~beat)
    simulator = Simulator(top)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return results


def pipelined(dut, vectors, drive, sample):
    """Send a vector per cycle through a pipeline that never stalls.

    ``drive(ctx, vector)`` sets the inputs. Returns what ``sample(ctx)`` returned ``dut.latency``
    cycles after each.
    """
    def set_inputs(ctx, n):
        if n < len(vectors):
            drive(ctx, vectors[n])

    results = clocked(dut, set_inputs, lambda ctx, n: sample(ctx), len(vectors) + dut.latency)
    return results[dut.latency:]


def run_rows(dut, rows, masks, *, gaps=0.0, stalls=0.0, seed=0):
    """Stream rows through a unit; returns the output rows and, per row, its latency in cycles."""
    config = dut.config
    rng = random.Random(seed)
    lanes = config.lanes
    outputs, last_in, first_out = [[]], [], []

    async def source(ctx):
        for x, mask in zip(rows, masks, strict=True):
            for start in range(0, len(x), lanes):
                while rng.random() < gaps:
                    await ctx.tick()
                chunk = [int(v) for v in x[start:start + lanes]]
                ctx.set(dut.i.payload, {
                    # What stands in lanes that are not kept must not matter.
                    "data": chunk + [rng.randrange(-2, 2)] * (lanes - len(chunk)),
                    "keep": (1 << len(chunk)) - 1,
                    "mask": sum(int(v) << k for k, v in enumerate(mask[start:start + lanes])),
                    "last": start + lanes >= len(x),
                })
                ctx.set(dut.i.valid, 1)
                await ctx.tick().until(dut.i.ready)
                ctx.set(dut.i.valid, 0)

    async def sink(ctx):
        cycle, starts = 0, True
        while len(outputs) <= len(rows):
            ctx.set(dut.o.ready, rng.random() >= stalls)
            _, _, valid, ready, beat, i_valid, i_ready, i_last = await ctx.tick().sample(
                dut.o.valid, dut.o.ready, dut.o.payload,
                dut.i.valid, dut.i.ready, dut.i.payload.last)
            cycle += 1
            assert cycle < 1000 + 100 * sum(map(len, rows)), "the unit hangs"
            if i_valid and i_ready and i_last:
                last_in.append(cycle)
            if valid and ready:
                if starts:
                    first_out.append(cycle)
                starts = bool(beat.last)
                # An output of a lane that is not kept must be 0; another one shows as an element.
                outputs[-1] += [beat.data[k] for k in range(lanes)
                                if beat.keep >> k & 1 or beat.data[k]]
                if beat.last:
                    outputs.append([])

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(source)
    simulator.add_testbench(sink)
    simulator.run()
    return outputs[:-1], [out - end for end, out in zip(last_in, first_out, strict=True)]


def random_rows(config, count, rng):
    """Rows of several characters, with masks of several densities."""
    low, high = -(1 << (config.bits - 1)), (1 << (config.bits - 1)) - 1
    rows, masks = [], []
    for kind in range(count):
        length = int(rng.integers(1, config.max_length + 1))
        if kind % 4 == 0:
            x = rng.integers(low, high + 1, length)
        elif kind % 4 == 1:
            x = np.rint(rng.normal(0, 3 / config.input_scale, length))
        elif kind % 4 == 2:
            x = low + np.cumsum(rng.integers(0, 3, length))
        else:
            x = np.full(length, rng.integers(low, high + 1))
        rows.append(np.clip(x, low, high).astype(np.int64))
        masks.append(rng.random(length) < rng.choice([0, 0, 0.3, 0.9, 1.0]))
    return rows, masks

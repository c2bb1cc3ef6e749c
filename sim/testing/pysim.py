"""Amaranth's own simulator around small blocks and whole units: one driver for all streams."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from amaranth import Module, Signal
from amaranth.hdl import Shape, Value
from amaranth.lib import wiring
from amaranth.sim import Simulator

from rtl.config import UnitConfig

__all__ = ["Traffic", "clocked", "combinational", "ends_of", "exchange", "pipelined",
           "random_rows", "row_beats", "rows_of", "run_rows"]

Beat = Mapping[str, object]


# Blocks

def combinational(function: Callable[..., object], widths: Sequence[int],
                  out_bits: int | Shape) -> Callable[[Iterable[tuple[int, ...]]], list[int]]:
    """Return a function that evaluates combinational logic for many inputs at once.

    ``function(m, *signals)`` builds the logic; the result takes tuples of integers and gives a list
    of outputs.
    """
    m = Module()
    inputs = [Signal(width, name=f"i{k}") for k, width in enumerate(widths)]
    output = Signal(out_bits)
    m.d.comb += output.eq(function(m, *inputs))

    def evaluate(vectors: Iterable[tuple[int, ...]]) -> list[int]:
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


def clocked(dut: wiring.Component, drive: Callable[..., object], sample: Callable[..., object],
            cycles: int) -> list:
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


# Streams

@dataclasses.dataclass
class Traffic:
    """What crossed the streams of a component.

    Attributes
    ----------
    beats : list
        Payloads of the output.
    cycles : dict of str to list of int
        Cycle of each transfer of each stream.
    error, causes : int
        The component's outputs of these names after the last cycle, 0 where it has none.
    """

    beats: list
    cycles: dict[str, list[int]]
    error: int = 0
    causes: int = 0


def exchange(dut: wiring.Component, sent: Mapping[str, Sequence[object]], lasts: int, *,
             gaps: float | Mapping[str, float] = 0.0, stalls: float = 0.0, seed: int = 0,
             patience: int = 1000) -> Traffic:
    """Send payloads into the streams of a component, and take those of its stream ``o``.

    Parameters
    ----------
    dut : Component
        Anything that has the streams as attributes.
    sent : dict of sequence
        Payloads of each input, by the stream's name, None for a cycle without one; what was not
        taken is left in the end.
    lasts : int
        Output payloads with ``last`` to take.
    gaps : float, or dict of float
        Probability of a cycle without a payload, at each input.
    stalls : float
        Probability of a cycle in which the output is not ready.
    seed : int
        Seed of gaps and stalls.
    patience : int
        Most cycles between two transfers of any stream, without gaps and stalls.

    Raises
    ------
    AssertionError
        If the component "hangs": nothing is transferred for too long. Or if a payload changes or is
        withdrawn while it waits.
    """
    gaps = gaps if isinstance(gaps, Mapping) else dict.fromkeys(sent, gaps)
    busiest = min(1.0 - max(gaps.values(), default=0.0), 1.0 - stalls)
    patience = int(patience * 4 / busiest)
    traffic = Traffic([], {name: [] for name in (*sent, "o")})
    streams = {name: getattr(dut, name) for name in traffic.cycles}

    def source(name: str) -> Callable:
        rng, stream = random.Random(f"{seed}{name}"), streams[name]
        shape = Value.cast(stream.payload).shape()

        async def idle(ctx):
            # What stands there must not matter.
            ctx.set(Value.cast(stream.payload), rng.getrandbits(max(shape.width, 1)))
            await ctx.tick()

        async def send(ctx):
            for payload in sent[name]:
                while rng.random() < gaps.get(name, 0.0):
                    await idle(ctx)
                if payload is None:
                    await idle(ctx)
                    continue
                ctx.set(stream.payload, payload)
                ctx.set(stream.valid, 1)
                await ctx.tick().until(stream.ready)
                ctx.set(stream.valid, 0)
        return send

    async def sink(ctx):
        rng, held, idle, cycle, left = random.Random(seed), None, 0, 0, lasts
        handshakes = [wire for stream in streams.values() for wire in (stream.valid, stream.ready)]
        out = streams["o"]
        while left:
            ctx.set(out.ready, rng.random() >= stalls)
            _, _, beat, digits, *wires = await ctx.tick().sample(
                out.payload, Value.cast(out.payload), *handshakes)
            cycle += 1
            moved = [name for place, name in enumerate(streams) if all(wires[2 * place:][:2])]
            for name in moved:
                traffic.cycles[name].append(cycle)
            idle = 0 if moved else idle + 1
            assert idle <= patience, (f"the unit hangs: nothing moved for {idle} cycles, after "
                                      f"{len(traffic.beats)} output beats")
            valid = wires[-2]
            assert held is None or valid and digits == held, "a beat changed while it waited"
            held = digits if valid and "o" not in moved else None
            if "o" in moved:
                traffic.beats.append(beat)
                left -= bool(beat.last)
        traffic.error = ctx.get(dut.error) if hasattr(dut, "error") else 0
        traffic.causes = ctx.get(dut.causes) if hasattr(dut, "causes") else 0

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for name in sent:
        simulator.add_testbench(source(name), background=True)
    simulator.add_testbench(sink)
    simulator.run()
    return traffic


# Rows

def row_beats(config: UnitConfig, rows: Iterable[Sequence[int]],
              masks: Iterable[Sequence[bool]] | None, seed: int = 0,
              fields: Mapping[str, Sequence[int]] | None = None) -> list[Beat]:
    """Return the beats of rows: ``data``, ``keep``, ``last`` and, with masks, ``mask``.

    Lanes that are not kept hold anything; so does ``row`` in all beats but a row's first, where it
    holds the row's ``fields``.
    """
    rng, lanes, rows = random.Random(seed), config.lanes, list(rows)
    width = config.input_layout.element.width
    beats = []
    layout = config.input_layout["row"].shape if fields else None
    for number, (x, mask) in enumerate(zip(rows, masks or [None] * len(rows), strict=True)):
        for start in range(0, len(x), lanes):
            chunk = [int(value) for value in x[start:start + lanes]]
            spare = lanes - len(chunk)
            beats.append({"data": chunk + [rng.getrandbits(width) for _ in range(spare)],
                          "keep": (1 << len(chunk)) - 1, "last": start + lanes >= len(x)})
            if mask is not None:
                hidden = sum(int(v) << k for k, v in enumerate(mask[start:start + lanes]))
                beats[-1]["mask"] = hidden | rng.getrandbits(spare or 1) * bool(spare) << len(chunk)
            if fields and not start:
                beats[-1]["row"] = {name: int(values[number]) for name, values in fields.items()}
            elif fields:
                beats[-1]["row"] = layout.from_bits(rng.getrandbits(layout.size))
    return beats


def rows_of(beats: Iterable[object], lanes: int) -> list[list[int]]:
    """Return the rows of output beats: what the kept lanes hold.

    Raises
    ------
    AssertionError
        If the lanes that are kept are not the low ones, or others are not 0.
    """
    rows = [[]]
    for number, beat in enumerate(beats):
        data, kept = [beat.data[k] for k in range(lanes)], int(beat.keep).bit_count()
        assert beat.keep == (1 << kept) - 1 and (kept == lanes or beat.last), \
            f"output beat {number} keeps the lanes {beat.keep:b}"
        assert not any(data[kept:]), f"output beat {number} of {kept} elements is {data}"
        rows[-1] += data[:kept]
        if beat.last:
            rows.append([])
    assert not rows.pop(), "a row has no end"
    return rows


def ends_of(beats: Iterable[object], cycles: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return the cycles of the first and of the last beats of rows, from those of all beats."""
    last = [bool(beat["last"] if isinstance(beat, Mapping) else beat.last) for beat in beats]
    ends = [cycle for cycle, end in zip(cycles, last, strict=False) if end]
    starts = [cycle for cycle, end in zip(cycles, [True, *last], strict=False) if end]
    return starts, ends


def run_rows(dut: wiring.Component, rows: Sequence[Sequence[int]],
             masks: Sequence[Sequence[bool]], *, gaps: float = 0.0, stalls: float = 0.0,
             seed: int = 0, alone: int = 0,
             fields: Mapping[str, Sequence[int]] | None = None
             ) -> tuple[list[list[int]], list[int]]:
    """Stream rows through a unit; returns the output rows and, per row, its latency in cycles.

    The last ``alone`` rows come to a unit that is empty.
    """
    config = dut.config
    sent = row_beats(config, rows, masks, seed, fields)
    pause = config.row_latency(config.max_beats) + config.max_beats + 2
    beats, number, first = [], 0, True
    for beat in sent:
        if first and number >= len(rows) - alone:
            beats += [None] * pause
        beats.append(beat)
        first = bool(beat["last"])
        number += first
    traffic = exchange(dut, {"i": beats}, len(rows), gaps=gaps, stalls=stalls, seed=seed,
                       patience=1000 + 4 * config.max_length + pause)
    _, last_in = ends_of(sent, traffic.cycles["i"])
    first_out, _ = ends_of(traffic.beats, traffic.cycles["o"])
    return rows_of(traffic.beats, config.lanes), [
        out - end for end, out in zip(last_in, first_out, strict=True)]


def random_rows(config: UnitConfig, count: int, rng: np.random.Generator
                ) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return rows of several characters, with masks of several densities."""
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

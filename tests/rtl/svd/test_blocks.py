"""Parts of the SVD-softmax engine, each on its own."""

import random

import numpy as np
import pytest
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

import rtl
from rtl.fixed import clip, round_shift, signed_range
from rtl.svd.log_partition import LogPartition
from rtl.svd.memory_reader import MemoryReader
from rtl.svd.round_shift import RoundShift
from rtl.svd.threshold import Threshold
from rtl.svd.vector_memory import VectorMemory
from sim.model.svd.log_partition import log_partition
from sim.testing.pysim import clocked, pipelined

Config = rtl.unit("svd-softmax")


@pytest.mark.parametrize("width, shift_bits, bits", [(33, 6, 16), (20, 5, 12), (9, 1, 16)])
def test_round_shift(width, shift_bits, bits):
    """Shifts beyond the width, the extremes, and halves of both signs."""
    rng = random.Random(1)
    dut = RoundShift(width, shift_bits, bits)
    dut.latency = RoundShift.LATENCY
    low, high = signed_range(width)
    vectors = [(value, shift) for shift in range(1 << shift_bits)
               for value in (low, high, -1, 0, 1 << max(shift - 1, 0), -(1 << max(shift - 1, 0)),
                             rng.randint(low, high)) if low <= value <= high]

    def drive(ctx, vector):
        ctx.set(dut.i, vector[0])
        ctx.set(dut.shift, vector[1])

    got = pipelined(dut, vectors, drive, lambda ctx: ctx.get(dut.o))
    assert got == [clip(round_shift(value, shift), *signed_range(bits))
                   for value, shift in vectors]


def test_threshold():
    """Counts of the same bin in a row; targets in the top bin, the lowest, and at an edge."""
    rng = np.random.default_rng(3)
    dut = Threshold(300)

    async def bench(ctx):
        for values, target in ((rng.integers(0, 256, 300), 40), (np.full(300, 255), 300),
                               (np.zeros(7, int), 7), (np.repeat([9, 7, 3], 5), 10),
                               (np.repeat([9, 7, 3], 5), 11)):
            ctx.set(dut.clear, 1)
            await ctx.tick()
            ctx.set(dut.clear, 0)
            await ctx.tick().until(~dut.busy)
            for value in values.tolist():
                ctx.set(dut.value, value)
                ctx.set(dut.add, 1)
                await ctx.tick()
            ctx.set(dut.add, 0)
            ctx.set(dut.target, target)
            ctx.set(dut.find, 1)
            await ctx.tick()
            ctx.set(dut.find, 0)
            await ctx.tick().until(~dut.busy)
            bound = np.sort(values)[len(values) - target]
            assert (ctx.get(dut.bin), ctx.get(dut.left)) == (
                bound, target - (values > bound).sum())

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_vector_memory():
    """Words that are cut short end in zeros, whatever was there before."""
    dut = VectorMemory(8, 4, 6)
    first = [(value, 0, 3) for value in range(1, 25)]
    second = [(-1, 0, 3), (-2, 0, 3), (-3, 1, 3), (-4, 0, 1), (-5, 0, 1), (-6, 0, 1)]
    writes = [None, *first, None, *second]
    words = [[-1, -2, -3, 0], [-4, -5, 0, 0], [-6, 0, 0, 0], [13, 14, 15, 16]]

    def drive(ctx, n):
        step = writes[n] if n < len(writes) else ()
        ctx.set(dut.start, step is None)
        ctx.set(dut.write, bool(step))
        if step:
            ctx.set(dut.i, step[0])
            ctx.set(dut.skip, step[1])
            ctx.set(dut.top, step[2])
        ctx.set(dut.read, max(n - len(writes), 0))

    got = clocked(dut, drive, lambda ctx, n: [ctx.get(dut.o[k]) for k in range(4)],
                  len(writes) + 5)
    assert got[len(writes) + 1:] == words


@pytest.mark.parametrize("scale", [2.0 ** -8, 0.013, 0.25])
def test_log_partition(scale):
    """Rows one behind the other: rising, falling, far apart, of one logit."""
    numbers = Config(max_vocab=300, logit_scale=scale).log_numbers
    rng = np.random.default_rng(5)
    rows = [rng.integers(-32768, 32768, 40), np.sort(rng.integers(-9000, 9000, 60)),
            np.sort(rng.integers(-900, 900, 60))[::-1], np.full(300, -32768), np.array([7]),
            np.array([-32768, 32767, 0])]
    dut = LogPartition(numbers)
    vectors = []
    for row in rows:
        vectors += [(int(v), k == 0, k == len(row) - 1) for k, v in enumerate(row)]
        vectors += [None] * dut.latency

    def drive(ctx, n):
        vector = vectors[n] if n < len(vectors) else None
        ctx.set(dut.valid, vector is not None)
        for port, value in zip((dut.i, dut.first, dut.last), vector or (99, 1, 1), strict=True):
            ctx.set(port, value)

    got = clocked(dut, drive, lambda ctx, n: (ctx.get(dut.done), ctx.get(dut.o)),
                  len(vectors) + 2)
    ends = [n for n, vector in enumerate(vectors) if vector and vector[2]]
    assert [n for n, (done, _) in enumerate(got) if done] == [n + dut.latency for n in ends]
    assert [got[n + dut.latency][1] for n in ends] == [
        int(log_partition(numbers, row[None])[0]) for row in rows]


async def taken(ctx, port):
    """Wait until a stream takes what is offered, so that the simulation may end meanwhile."""
    ready = 0
    while not ready:
        _, _, ready = await ctx.tick().sample(port.ready)


def read(jobs, *, burst, queue, change=lambda number: 0, latency=9):
    """Words, requests and errors of a reader; ``change`` says how wrong each response is."""
    dut = MemoryReader(8, 10, burst, queue)
    words, requests, total = [], [], sum(count for _, count in jobs)
    state = {"cycle": 0, "waiting": [], "error": 0}

    async def send(ctx):
        for address, count in jobs:
            ctx.set(dut.job.payload, {"address": address, "words": count})
            ctx.set(dut.job.valid, 1)
            await taken(ctx, dut.job)
            ctx.set(dut.job.valid, 0)

    async def memory(ctx):
        ctx.set(dut.request.ready, 1)
        while True:
            _, _, valid, beat = await ctx.tick().sample(dut.request.valid, dut.request.payload)
            state["cycle"] += 1
            if valid:
                place, count = int(beat.data[0]), int(beat.data[1])
                requests.append((place, count))
                state["waiting"].append((state["cycle"] + latency, place,
                                         count + change(len(requests) - 1)))

    async def answer(ctx):
        while True:
            while not state["waiting"] or state["waiting"][0][0] > state["cycle"]:
                await ctx.tick()
            _, place, count = state["waiting"].pop(0)
            for k in range(count):
                ctx.set(dut.response.payload, {
                    "data": list(((place + 8 * k) & 0xFFFF).to_bytes(8, "little")),
                    "last": k == count - 1})
                ctx.set(dut.response.valid, 1)
                await taken(ctx, dut.response)
                ctx.set(dut.response.valid, 0)

    async def take(ctx):
        rng = random.Random(1)
        for _ in range(total):
            while rng.random() < 0.2:
                await ctx.tick()
            ctx.set(dut.o.ready, 1)
            valid = 0
            while not valid:
                _, _, valid, word = await ctx.tick().sample(dut.o.valid, dut.o.payload)
            words.append(word)
            ctx.set(dut.o.ready, 0)

    async def errors(ctx):
        while True:
            *_, error = await ctx.tick().sample(dut.error)
            state["error"] += error

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for each in (send, memory, answer, errors):
        simulator.add_testbench(each, background=True)
    simulator.add_testbench(take)
    simulator.run()
    return words, requests, state["error"]


JOBS = [(4096 - 24, 20), (64, 1), (128, 16), (4096, 3)]


@pytest.mark.parametrize("burst, queue", [(1, 4), (4, 4), (16, 16), (512, 512)])
def test_memory_reader(burst, queue):
    """The same words whatever the bursts, each within its limits."""
    words, requests, error = read(JOBS, burst=burst, queue=queue)
    assert words == [address + 8 * k for address, count in JOBS for k in range(count)]
    assert sum(count for _, count in requests) == len(words) and not error
    for address, count in requests:
        assert count <= burst and address // (8 * burst) == (address + 8 * count - 1) // (8 * burst)


@pytest.mark.parametrize("extra", [-2, 3])
def test_responses_of_a_wrong_length(extra):
    """Zeros for what is missing, nothing of what is too much; the other requests keep theirs."""
    words, requests, error = read(JOBS, burst=4, queue=16,
                                  change=lambda number: extra if number == 2 else 0)
    whole = [address + 8 * k for address, count in requests for k in range(count)]
    start = sum(count for _, count in requests[:2])
    missing = range(start + requests[2][1] + min(extra, 0), start + requests[2][1])
    assert words == [0 if n in missing else word for n, word in enumerate(whole)]
    assert error == 1


def test_the_streams_are_what_a_shell_takes():
    """Those of the configuration, in both directions, controls and flags."""
    for preset in Config.PRESETS:
        config = Config.preset(preset, dim=4, max_vocab=9, port_bits=64, lanes=1)
        members = config.create().signature.members
        flows = {name: member.flow for name, member in members.items()
                 if member.is_signature and isinstance(member.signature, stream.Signature)}
        assert {name: Out if name in config.streams_out else In for name in config.streams} == flows
        assert {name for name, member in members.items() if member.is_port} == {
            "error", *config.controls, *config.flags}
        assert isinstance(config.create(), wiring.Component)

"""Register slice: nothing lost, nothing delayed more than needed, no combinational path."""

import random

import pytest
from amaranth.sim import Simulator

from rtl.stream.register_slice import RegisterSlice


class Bench:
    """Drives a slice cycle by cycle; what a cycle sees is settled before its clock edge."""

    def __init__(self, dut, ctx):
        self.dut, self.ctx = dut, ctx
        self.sent, self.received = [], []

    async def cycle(self, payload, ready):
        """One clock cycle that offers ``payload`` (None: nothing); whether it was taken."""
        ctx, dut = self.ctx, self.dut
        ctx.set(dut.i.valid, payload is not None)
        ctx.set(dut.i.payload, payload if payload is not None else 0xFF)
        ctx.set(dut.o.ready, ready)
        taken = payload is not None and bool(ctx.get(dut.i.ready))
        if taken:
            self.sent.append(payload)
        if ready and ctx.get(dut.o.valid):
            self.received.append(ctx.get(dut.o.payload))
        await ctx.tick()
        return taken


def run(scenario):
    dut = RegisterSlice(8)
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)

    async def testbench(ctx):
        await scenario(Bench(dut, ctx))
    simulator.add_testbench(testbench)
    simulator.run()


def test_full_throughput():
    async def scenario(bench):
        for payload in range(100):
            assert await bench.cycle(payload, True)
        await bench.cycle(None, True)
        assert bench.received == list(range(100))
    run(scenario)


def test_latency_one():
    async def scenario(bench):
        await bench.cycle(7, True)
        assert bench.received == []
        await bench.cycle(None, True)
        assert bench.received == [7]
    run(scenario)


def test_room_for_two():
    async def scenario(bench):
        taken = [await bench.cycle(payload, False) for payload in (1, 2, 3, 3)]
        assert taken == [True, True, False, False]
        for _ in range(3):
            await bench.cycle(None, True)
        assert bench.received == [1, 2]
    run(scenario)


@pytest.mark.parametrize("offer, accept", [(0.5, 0.5), (0.9, 0.3), (0.3, 0.9), (1.0, 0.5)])
def test_random_stalls(offer, accept):
    async def scenario(bench):
        rng = random.Random(1)
        held = payload = None
        for _ in range(2000):
            if payload is None and rng.random() < offer:
                payload = rng.randrange(255)
            ready = rng.random() < accept
            output = bench.ctx.get(bench.dut.o.payload)
            if held is not None:
                assert bench.ctx.get(bench.dut.o.valid) and output == held
            held = output if bench.ctx.get(bench.dut.o.valid) and not ready else None
            if await bench.cycle(payload, ready):
                payload = None
        for _ in range(3):
            await bench.cycle(None, True)
        assert len(bench.sent) > 400
        assert bench.received == bench.sent
    run(scenario)


@pytest.mark.parametrize("beats", [0, 1, 2])
def test_no_combinational_path(beats):
    async def scenario(bench):
        for payload in range(beats):
            await bench.cycle(payload, False)
        ctx, dut = bench.ctx, bench.dut
        seen = set()
        for n in range(16):
            ctx.set(dut.i.valid, n & 1)
            ctx.set(dut.o.ready, n >> 1 & 1)
            ctx.set(dut.i.payload, n)
            seen.add((ctx.get(dut.i.ready), ctx.get(dut.o.valid), ctx.get(dut.o.payload)))
        assert len(seen) == 1
    run(scenario)


def test_reset_empties():
    from amaranth import ResetInserter, Signal
    dut, reset = RegisterSlice(8), Signal()
    simulator = Simulator(ResetInserter(reset)(dut))
    simulator.add_clock(1e-6)

    async def testbench(ctx):
        bench = Bench(dut, ctx)
        await bench.cycle(1, False)
        await bench.cycle(2, False)
        ctx.set(reset, 1)
        await bench.cycle(None, False)
        ctx.set(reset, 0)
        assert ctx.get(dut.i.ready) and not ctx.get(dut.o.valid)
        await bench.cycle(3, True)
        await bench.cycle(None, True)
        assert bench.received == [3]
    simulator.add_testbench(testbench)
    simulator.run()

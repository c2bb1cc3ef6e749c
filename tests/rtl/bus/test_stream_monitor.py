"""Watching a stream: counts, and errors of packets against their definition."""

import random

import pytest
from amaranth.sim import Simulator

from rtl.bus.stream_monitor import StreamMonitor


def wrong(beats, lanes, least, most, step):
    """Errors of a packet of beats, each a word of ``keep``, as the documentation defines them."""
    found = set()
    full = (1 << lanes) - 1
    for n, keep in enumerate(beats):
        last = n == len(beats) - 1
        if keep & keep + 1 or not keep or not last and keep != full:
            found.add("malformed")
    # The place behind the last element kept counts.
    size = (len(beats) - 1) * lanes + beats[-1].bit_length()
    if most is not None and size > most:
        found.add("long")
    elif size < least or size % step:
        found.add("short")
    return found


@pytest.mark.parametrize("lanes, least, most, step, keep", [
    (1, 1, 1, 1, True), (1, 3, 3, 1, True), (2, 1, 5, 1, True), (3, 1, 9, 1, True),
    (4, 1, 3, 1, True), (4, 6, 10, 1, True), (4, 7, None, 1, True), (4, 8, 8, 4, False),
    (3, 6, 18, 6, False), (2, 6, None, 6, False), (5, 1, None, 1, False)])
def test_packets(lanes, least, most, step, keep):
    """Random packets, right and wrong ones, back to back and with gaps; and no packet's errors
    in the next one."""
    dut = StreamMonitor(lanes, least=least, most=most, step=step, keep=keep)
    numbers = random.Random(lanes)
    full = (1 << lanes) - 1
    longest = -(-(most or least + 2 * step) // lanes) + 2
    packets = []
    for _ in range(150):
        beats = [full] * numbers.randint(1, longest)
        if keep:
            # Elements from the lowest lane on, mostly.
            beats[-1] = (1 << numbers.randint(1, lanes)) - 1
            if numbers.random() < 0.3:
                beats[numbers.randrange(len(beats))] = numbers.getrandbits(lanes)
        packets.append(beats)

    async def testbench(ctx):
        total = 0
        for number, beats in enumerate(packets, 1):
            seen = dict.fromkeys(("long", "short", "malformed", "ended"), 0)

            async def cycle(seen=seen):
                await ctx.tick()
                for name in seen:
                    seen[name] += ctx.get(getattr(dut, name))
            for n, kept in enumerate(beats):
                while numbers.random() < 0.3:
                    await cycle()
                last = n == len(beats) - 1
                ctx.set(dut.transfer, 1)
                ctx.set(dut.kept, kept)
                ctx.set(dut.last, last)
                await cycle()
                ctx.set(dut.transfer, 0)
                assert ctx.get(dut.inside) == (not last)
            total += len(beats)
            expected = wrong(beats, lanes, least, most, step) & {*dut.checks}
            # A wrong keep leaves the length of what follows undefined, and is told of itself.
            if "malformed" in expected:
                assert seen["malformed"]
            else:
                assert {name for name in dut.checks if seen[name]} == expected, beats
                assert max(seen.values()) == 1
            assert seen["ended"] == 1
            assert (ctx.get(dut.packets), ctx.get(dut.beats)) == (number, total)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        assert (ctx.get(dut.packets), ctx.get(dut.beats)) == (0, 0)
    simulate(dut, testbench)


def simulate(dut, testbench):
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


def test_checks():
    assert StreamMonitor(2, keep=True).checks == ("malformed",)
    assert StreamMonitor(2, keep=False).checks == ()
    assert StreamMonitor(2, most=5).checks == ("long", "malformed")
    assert StreamMonitor(2, least=4, most=4, keep=False).checks == ("long", "short")
    assert StreamMonitor(2, step=4, least=2, keep=False).checks == ("short",)


def test_forgets_a_packet():
    """Sizes are counted anew, and nothing is left of a packet that was too long."""
    dut = StreamMonitor(1, least=2, most=2, step=2)

    async def testbench(ctx):
        ctx.set(dut.kept, 1)
        for before in range(1, 4):
            ctx.set(dut.last, 0)
            ctx.set(dut.transfer, 1)
            await ctx.tick().repeat(before)
            ctx.set(dut.transfer, 0)
            ctx.set(dut.forget, 1)
            await ctx.tick()
            ctx.set(dut.forget, 0)
            assert not ctx.get(dut.inside)
            ctx.set(dut.transfer, 1)
            for last in (0, 1):
                ctx.set(dut.last, last)
                await ctx.tick()
                assert not ctx.get(dut.long) and not ctx.get(dut.short)
            ctx.set(dut.transfer, 0)
    simulate(dut, testbench)

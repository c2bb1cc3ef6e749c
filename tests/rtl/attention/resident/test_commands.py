"""State of resident sets under commands: against the model's, and what waits for what."""

import numpy as np
import pytest
from amaranth.sim import Simulator

from rtl import unit
from rtl.attention.resident.commands import CommandSequencer
from rtl.attention.resident.layouts import COMMAND, Operation
from rtl.attention.resident.regions import Regions
from rtl.emit import synthesis, verilog
from sim.model.attention.resident import Query, ResidentSets, Truncate

PLAIN = Regions(sets=3, capacity=12, lanes=4)
RING = Regions(sets=2, capacity=16, lanes=4, window=4, sinks=3, chunk=5, position_bits=8)


def run(regions, commands, *, cycles=0, drive=lambda ctx, dut, cycle: None):
    """Execute ``(operation, set, count, offset)``; returns the loads and packets with their cycles.

    ``drive`` sets inputs in each cycle; packets are done at once, and no load waits, if it does not
    say otherwise.
    """
    dut = CommandSequencer(regions)
    loads, packets = [], []

    async def send(ctx):
        for operation, number, count, offset in commands:
            bits = COMMAND.const({"operation": operation, "set": number, "count": count,
                                  "offset": offset % (1 << regions.position_bits)}).as_bits()
            ctx.set(dut.i.payload, {"data": [bits & 0xFFFFFFFF, bits >> 32], "last": 1})
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)

    async def bench(ctx):
        for port in dut.keys, dut.values, dut.packets:
            ctx.set(port.ready, 1)
        ctx.set(dut.idle, 1)
        for cycle in range(cycles or 10 * len(commands) + regions.sets + 6):
            drive(ctx, dut, cycle)
            _, _, keys, load, other, packet, query = await ctx.tick().sample(
                dut.keys.valid & dut.values.valid, dut.keys.payload, dut.values.payload,
                dut.packets.valid, dut.packets.payload)
            if keys:
                assert load == other
                loads.append((load, cycle))
            if packet:
                packets.append((query, cycle))
            if drive.__name__ == "<lambda>":
                ctx.set(dut.done, packet)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(send, background=True)
    simulator.add_testbench(bench)
    simulator.run()
    return loads, packets


@pytest.mark.parametrize("regions", [PLAIN, RING], ids=["plain", "ring"])
def test_state_is_that_of_the_model(regions):
    """Random commands: keys, held keys, addresses, refusals."""
    rng = np.random.default_rng(1)
    config = unit("attention")(dim=1, io_lanes=1, lanes=4, max_keys=regions.row_keys)
    model = ResidentSets(config, regions)
    commands, want_loads, want_packets = [], [], []
    for _ in range(250):
        number, way = int(rng.integers(regions.sets + 1)), rng.random()
        own = model._sets[number] if number < regions.sets else None
        keys = own.keys if own else 0
        if way < 0.5:
            count = int(rng.integers(1, 8))
            zeros = np.zeros((count, 1), int)
            refused = own is None or not own.append(zeros, zeros, zeros[:, 0] > 0, late=False)
            commands.append((Operation.APPEND, number, count, 0))
            want_loads.append((keys, count, refused))
        elif way < 0.7:
            left = int(rng.integers(max(keys - 9, 0), keys + 2)) % (1 << regions.position_bits)
            model.execute(Truncate(number, left))
            commands.append((Operation.TRUNCATE, number, left, 0))
        else:
            model.execute(Query(number, np.zeros((1, 1), int), keys))
            commands.append((Operation.QUERY, number, 1, keys))
            held = [] if own is None else own.position[regions.sink_keys:]
            want_packets.append((keys, int((np.array(held) >= 0).sum()),
                                 own is None or own.refused or not keys))
    loads, packets = run(regions, commands)
    bits = regions.position_bits

    def plain(keys):
        return int(keys) % (1 << bits)

    # A set that is not there has the state of any other one.
    assert [(load.count, bool(load.drop)) for load, _ in loads] == [
        (count, refused) for _, count, refused in want_loads]
    assert [plain(load.position) for load, _ in loads if not load.drop] == [
        plain(keys) for keys, _, refused in want_loads if not refused]
    assert [bool(packet.failed) for packet, _ in packets] == [
        failed for *_, failed in want_packets]
    assert [(plain(packet.keys), packet.held) for packet, _ in packets if not packet.failed] == [
        (plain(keys), held) for keys, held, failed in want_packets if not failed]
    assert any(failed for *_, failed in want_packets)


def test_ring_waits_for_queries_on_their_way():
    """An append whose keys take the place of others waits until what a query needs was read.

    One of another set does not, nor one that finds room; it comes right behind the query.
    """
    done = 60

    def drive(ctx, dut, cycle):
        ctx.set(dut.done, cycle == done)

    loads, packets = run(RING, [
        (Operation.APPEND, 0, 8, 0), (Operation.QUERY, 0, 1, 7), (Operation.APPEND, 0, 8, 0),
        (Operation.APPEND, 1, 5, 0), (Operation.APPEND, 0, 1, 0), (Operation.APPEND, 1, 1, 0)],
        cycles=90, drive=drive)
    assert [(load.set, load.count) for load, _ in loads] == [(0, 8), (0, 8), (1, 5), (0, 1), (1, 1)]
    assert len(packets) == 1
    assert loads[2][1] < 40 and loads[3][1] == done + 2


def test_append_behind_a_truncation_waits_for_loads():
    """It starts once nothing is loaded, and a query behind it once its loads have started."""
    def drive(ctx, dut, cycle):
        ctx.set(dut.idle, not 20 <= cycle < 60)
        ctx.set(dut.waiting, 60 <= cycle < 80)

    loads, packets = run(PLAIN, [
        (Operation.APPEND, 0, 4, 0), (Operation.TRUNCATE, 0, 2, 0), (Operation.APPEND, 0, 1, 0),
        (Operation.QUERY, 0, 1, 2)], cycles=100, drive=drive)
    assert loads[1][1] == 61 and loads[1][0].position == 2
    assert packets[0][1] > 79 and packets[0][0].keys == 3


@pytest.mark.slow
def test_no_path_is_longer_than_3_3_ns():
    """Logic delay on xc7: all that a command waits for comes from registers."""
    regions = Regions(sets=8, capacity=320, window=128, sinks=4, chunk=16)
    text = verilog.of_components({"top": CommandSequencer(regions, 12, True)})
    assert synthesis.measure(text, "top").delay_ps <= 3300

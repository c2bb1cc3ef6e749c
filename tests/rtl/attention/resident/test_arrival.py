"""Rows that wait until their vectors have come: order, pace, and rows that are lost."""

from amaranth.sim import Simulator

from rtl.attention.resident.arrival import ArrivedRows
from rtl.attention.resident.regions import Regions

REGIONS = Regions(sets=3, capacity=12, position_bits=8)
WRAPPED = 1 << 8


def run(rows, state, cycles=60, stalled=()):
    """Send rows ``(set, end)``; ``state(cycle, set)`` gives keys, values, left and aborted.

    Returns, for each row that left, its end, whether it failed, and the cycle.
    """
    dut, out = ArrivedRows(REGIONS), []

    async def send(ctx):
        for number, end in rows:
            ctx.set(dut.i.payload.set, number)
            ctx.set(dut.i.payload.end, end)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)

    async def answer(ctx):
        for cycle in range(cycles):
            ctx.set(dut.o.ready, cycle not in stalled)
            for port, value in zip((dut.keys, dut.values, dut.left, dut.aborted),
                                   state(cycle, ctx.get(dut.set)), strict=True):
                ctx.set(port, value)
            if ctx.get(dut.o.valid) and ctx.get(dut.o.ready):
                payload = ctx.get(dut.o.payload)
                out.append((payload.end, payload.failed, cycle))
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(send)
    simulator.add_testbench(answer)
    simulator.run()
    return out


def test_rows_of_a_set_follow_without_a_bubble():
    """As many rows as cycles, also while the next vector comes just in time, and after a stall."""
    rows = [(1, end) for end in range(1, 9)]
    found = run(rows, lambda cycle, _: (12, 12, 12, 0))
    assert [end for end, _, _ in found] == [*range(1, 9)]
    assert [cycle - found[0][2] for *_, cycle in found] == [*range(8)]
    found = run(rows, lambda cycle, _: (cycle, 12, 12, 0), stalled=(5, 6))
    assert [end for end, failed, _ in found if not failed] == [*range(1, 9)]
    assert all(cycle >= end + 2 for end, _, cycle in found)
    assert found[-1][2] == 12


def test_a_row_waits_for_keys_and_values_of_its_own_set():
    """Other sets have all there is; a row leaves two cycles after what it needs came last."""
    def state(cycle, number):
        return (3 * (cycle >= 10), 3 * (cycle >= 15), 3, 0) if number == 1 else (12, 12, 12, 0)
    found = run([(0, 5), (1, 3), (2, 4)], state)
    assert [end for end, *_ in found] == [5, 3, 4] and found[1][2] == 17
    assert not any(failed for _, failed, _ in found)


def test_a_row_is_lost_with_its_values():
    """Only while the set is aborted, the values have not come and the set has fewer keys."""
    def state(cycle, number):
        return 5, 3, 3 if number else 5, cycle >= 20
    found = run([(1, 3), (1, 4), (1, 2), (0, 5)], state)
    assert [row[:2] for row in found] == [(3, 0), (4, 1), (2, 0)]
    assert 20 < found[1][2] < 25


def test_positions_that_have_wrapped():
    """Modulo 2**position_bits; a set that has wrapped has all positions that have not."""
    found = run([(0, 12), (0, WRAPPED | 255), (0, WRAPPED | 2), (0, WRAPPED | 4)],
                lambda cycle, _: (WRAPPED | 3, WRAPPED | 3, WRAPPED | 3, 0))
    assert [end for end, *_ in found] == [12, WRAPPED | 255, WRAPPED | 2]

"""AXI4-Lite slave and register file: every rule of the bus, and what each kind of field does."""

import itertools
import random

import pytest
from amaranth import ClockDomain, Module
from amaranth.sim import Simulator

from rtl.bus.axi_lite import OKAY, SLVERR
from rtl.bus.register_slave import RegisterSlave
from rtl.bus.registers import Access, Field, Register, RegisterMap
from sim.testing.axi_lite import Master

MAP = RegisterMap("m", "Registers", (
    Register("ID", 0x00, (Field("VALUE", 0, 32, Access.CONSTANT, "", 0xCAFE_F00D),), ""),
    Register("WORD", 0x04, (Field("VALUE", 0, 32, Access.WRITE, "", 0x1234_5678),), ""),
    Register("MIXED", 0x10, (
        Field("EVENT", 0, 1, Access.CLEAR, ""), Field("OTHER", 1, 1, Access.CLEAR, ""),
        Field("LIVE", 4, 8, Access.READ, ""), Field("GO", 15, 1, Access.PULSE, ""),
        Field("SPLIT", 20, 8, Access.WRITE, "", 0x5A)), "")), 5)


def run(scenario):
    """Run ``scenario(ctx, cycle, dut, master)``; ``cycle(reset=1)`` is a cycle of reset."""
    m, dut = Module(), RegisterSlave(MAP)
    m.domains.sync = domain = ClockDomain()
    m.submodules.dut = dut
    simulator = Simulator(m)
    simulator.add_clock(1e-6)

    async def testbench(ctx):
        async def cycle(reset=0):
            ctx.set(domain.rst, reset)
            await ctx.tick()
            ctx.set(domain.rst, 0)
        await scenario(ctx, cycle, dut, Master(ctx, cycle, dut, prefix=""))
    simulator.add_testbench(testbench)
    simulator.run()


def test_address_and_data_in_any_order():
    async def scenario(ctx, cycle, dut, master):
        for n, (first, second, ready) in enumerate(itertools.product(range(4), repeat=3)):
            assert await master.write(0x04, n, address_after=first, data_after=second,
                                      ready_after=ready) == OKAY
            assert ctx.get(dut.word_value) == n
            # One response, and no more.
            for _ in range(3):
                assert not ctx.get(dut.bvalid)
                await cycle()
    run(scenario)


def test_all_strobes():
    async def scenario(ctx, cycle, dut, master):
        for strobe in range(16):
            await master.write(0x04, 0x1122_3344)
            assert await master.write(0x04, 0xAABB_CCDD, strobe=strobe) == OKAY
            mask = sum(0xFF << 8 * k for k in range(4) if strobe >> k & 1)
            assert await master.read(0x04) == (0x1122_3344 & ~mask | 0xAABB_CCDD & mask, OKAY)
        # A field across two bytes.
        await master.write(0x10, 0xFFFF_FFFF, strobe=0b0100)
        assert ctx.get(dut.mixed_split) == 0x5F
        await master.write(0x10, 0, strobe=0b1000)
        assert ctx.get(dut.mixed_split) == 0x0F
    run(scenario)


def test_off_the_map():
    async def scenario(ctx, cycle, dut, master):
        for address in range(0, 32, 4):
            known = address in (0x00, 0x04, 0x10)
            assert await master.write(address, 0xFFFF_FFFF) == (OKAY if known else SLVERR)
            data, response = await master.read(address)
            assert response == (OKAY if known else SLVERR)
            assert known or data == 0
    run(scenario)


def test_the_lowest_bits_of_an_address_are_not_looked_at():
    async def scenario(ctx, cycle, dut, master):
        assert await master.write(0x07, 99) == OKAY
        assert await master.read(0x05) == (99, OKAY)
    run(scenario)


def test_write_to_what_is_read_only():
    async def scenario(ctx, cycle, dut, master):
        assert await master.write(0x00, 0) == OKAY
        assert await master.read(0x00) == (0xCAFE_F00D, OKAY)
        ctx.set(dut.mixed_live, 0x81)
        assert await master.write(0x10, 0xFF0) == OKAY
        assert (await master.read(0x10))[0] & 0xFF0 == 0x810
    run(scenario)


def test_events():
    """Set by a pulse, cleared by a one written or by hardware; set if both happen in one cycle."""
    async def scenario(ctx, cycle, dut, master):
        async def pulse(*names):
            for name in names:
                ctx.set(getattr(dut, name), 1)
            await cycle()
            for name in names:
                ctx.set(getattr(dut, name), 0)
        await pulse("mixed_event_set", "mixed_other_set")
        assert (ctx.get(dut.mixed_event), ctx.get(dut.mixed_other)) == (1, 1)
        await master.write(0x10, 0b00)
        await master.write(0x10, 0b11, strobe=0b1110)
        assert (ctx.get(dut.mixed_event), ctx.get(dut.mixed_other)) == (1, 1)
        await master.write(0x10, 0b01)
        assert (ctx.get(dut.mixed_event), ctx.get(dut.mixed_other)) == (0, 1)
        await pulse("mixed_other_clear")
        assert not ctx.get(dut.mixed_other)
        await pulse("mixed_other_clear", "mixed_other_set")
        assert ctx.get(dut.mixed_other)
        ctx.set(dut.mixed_event_set, 1)
        await master.write(0x10, 0b11)
        assert (ctx.get(dut.mixed_event), ctx.get(dut.mixed_other)) == (1, 0)
    run(scenario)


def test_pulse():
    """One cycle for each one written, and none for a zero or another byte."""
    async def scenario(ctx, cycle, dut, master):
        for data, strobe, pulses in ((0x8000, 15, 1), (0, 15, 0), (0x8000, 0b1101, 0)):
            master.set(awaddr=0x10, wdata=data, wstrb=strobe, awvalid=1, wvalid=1, bready=1)
            await cycle()
            master.set(awvalid=0, wvalid=0)
            seen = 0
            for _ in range(6):
                seen += ctx.get(dut.mixed_go)
                await cycle()
            assert seen == pulses
            assert (await master.read(0x10))[0] >> 15 & 1 == 0
    run(scenario)


def test_reset_forgets_what_is_under_way():
    async def scenario(ctx, cycle, dut, master):
        master.set(awaddr=0x04, wdata=7, wstrb=15, awvalid=1, araddr=0x04, arvalid=1)
        for _ in range(3):
            await cycle()
        assert ctx.get(dut.rvalid) and not ctx.get(dut.awready)
        master.set(awvalid=0, arvalid=0)
        await cycle(reset=1)
        assert not ctx.get(dut.rvalid) and ctx.get(dut.awready) and ctx.get(dut.arready)
        # Its address is gone: data alone writes nothing.
        master.set(wvalid=1)
        for _ in range(4):
            assert not ctx.get(dut.bvalid)
            await cycle()
        assert ctx.get(dut.word_value) == 0x1234_5678
    run(scenario)


@pytest.mark.parametrize("busy", [0.3, 1.0])
def test_random_traffic(busy):
    """Both directions at once, with gaps and stalls, against a model of the one word."""
    numbers = random.Random(1)
    addresses = [numbers.choice((0x00, 0x04, 0x08)) for _ in range(60)]
    data = [(numbers.getrandbits(32), numbers.getrandbits(4)) for _ in addresses]

    async def scenario(ctx, cycle, dut, master):
        sent = dict.fromkeys(("aw", "w", "ar"), 0)
        held, responses, reads = dict.fromkeys(("aw", "w", "ar"), 0), [], []
        cycles = 0
        for cycles in range(2000):  # noqa: B007
            for channel in sent:
                more = sent[channel] < len(data)
                held[channel] = more and (held[channel] or numbers.random() < busy)
                master.set(**{f"{channel}valid": held[channel]})
            k, n = min(sent["aw"], 59), min(sent["w"], 59)
            master.set(awaddr=addresses[k], wdata=data[n][0], wstrb=data[n][1], araddr=0x04,
                       bready=numbers.random() < busy, rready=numbers.random() < busy)
            taken = [c for c in sent if held[c] and master.get(f"{c}ready")]
            if master.get("bvalid") and master.get("bready"):
                responses.append(master.get("bresp"))
            if master.get("rvalid") and master.get("rready"):
                reads.append(master.get("rdata"))
            await cycle()
            for channel in taken:
                sent[channel] += 1
                held[channel] = 0
            if len(responses) == len(reads) == len(data):
                break
        assert responses == [SLVERR if address == 0x08 else OKAY for address in addresses]
        values = [0x1234_5678]
        for address, (word, strobe) in zip(addresses, data, strict=True):
            mask = sum(0xFF << 8 * k for k in range(4) if strobe >> k & 1)
            if address == 0x04:
                values.append(values[-1] & ~mask | word & mask)
        assert ctx.get(dut.word_value) == values[-1]
        # Reads see the values in the order in which they were written.
        places = iter(values)
        current = next(places)
        for value in reads:
            while current != value:
                current = next(places)
        # One transaction of either direction in two cycles, if nobody waits.
        assert busy < 1 or cycles <= 2 * len(data) + 2
    run(scenario)

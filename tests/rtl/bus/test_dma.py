"""Read and write DMA against a memory that checks every rule of the bus, late and with errors."""

import collections
import random

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.sim import Simulator

import rtl
from rtl.bus.dma_read import ReadDma
from rtl.bus.dma_requests import DmaRequests
from rtl.bus.dma_write import WriteDma
from sim import model

OKAY, SLVERR, DECERR = 0, 2, 3

# Beats that are answered with an error, within a burst.
WRONG = {0x8010: SLVERR, 0xA018: DECERR}


def response(address):
    return WRONG.get(address, OKAY)


class Bus:
    """Channels of a DMA, cycle by cycle; each burst is checked when it is announced."""

    def __init__(self, ctx, dut, seed, *, latency, ready=1.0, bytes=0x10000):
        self.ctx, self.dut, self.numbers = ctx, dut, random.Random(seed)
        self.latency, self.ready = latency, ready
        self.memory = bytearray(self.numbers.randbytes(bytes))
        self.bursts, self.answers, self.now = collections.deque(), collections.deque(), 0
        self.lengths, self.in_flight, self.held, self.failed = [], 0, {}, OKAY

    def get(self, name):
        return self.ctx.get(getattr(self.dut, name))

    def accept(self, channel):
        """Address channel: bursts that are taken."""
        signals = f"{channel}addr", f"{channel}len"
        offer = tuple(map(self.get, signals)) if self.get(f"{channel}valid") else None
        # What was not taken stays.
        assert self.held.get(channel) in (None, offer)
        taken = self.numbers.random() < self.ready
        self.ctx.set(getattr(self.dut, f"{channel}ready"), taken)
        self.held[channel] = None if taken else offer
        if offer is None or not taken:
            return
        address, beats = offer[0], offer[1] + 1
        assert address % 8 == 0
        assert address // 4096 == (address + 8 * beats - 1) // 4096
        self.lengths.append(beats)
        self.in_flight = max(self.in_flight, len(self.bursts) + 1)
        self.bursts.append([self.now + self.latency(self.numbers), address, beats])

    def give(self):
        """Read data, in order, once it is due."""
        due = self.bursts and self.bursts[0][0] <= self.now
        self.ctx.set(self.dut.rvalid, bool(due))
        if due:
            burst = self.bursts[0]
            word = self.memory[burst[1]:burst[1] + 8]
            self.ctx.set(self.dut.rdata, int.from_bytes(word, "little"))
            self.ctx.set(self.dut.rresp, response(burst[1]))
            self.ctx.set(self.dut.rlast, burst[2] == 1)
            assert self.get("rready")
            burst[1:] = burst[1] + 8, burst[2] - 1
            if not burst[2]:
                self.bursts.popleft()

    def take(self):
        """Write data, which may come before its address, and responses once they are due."""
        signals = "wdata", "wstrb", "wlast"
        offer = tuple(map(self.get, signals)) if self.get("wvalid") else None
        taken = self.numbers.random() < self.ready and bool(self.bursts)
        self.ctx.set(self.dut.wready, taken)
        if offer is not None and taken:
            data, strobe, last = offer
            burst = self.bursts[0]
            assert last == (burst[2] == 1)
            # One response for all beats of the burst.
            self.failed = self.failed or response(burst[1])
            for k in range(8):
                if strobe >> k & 1:
                    self.memory[burst[1] + k] = data >> 8 * k & 255
            burst[1:] = burst[1] + 8, burst[2] - 1
            if last:
                self.bursts.popleft()
                self.answers.append((self.now + self.latency(self.numbers), self.failed))
                self.failed = OKAY
        due = self.answers and self.answers[0][0] <= self.now
        self.ctx.set(self.dut.bvalid, bool(due))
        if due:
            self.ctx.set(self.dut.bresp, self.answers.popleft()[1])
            assert self.get("bready")


def simulate(dut, testbench):
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


class Feeder:
    """Puts descriptors in, one after the other, and counts those that are done."""

    def __init__(self, ctx, dut, descriptors):
        self.ctx, self.dut, self.left, self.done = ctx, dut, list(descriptors), 0

    def step(self):
        port = self.dut.i
        self.ctx.set(port.valid, bool(self.left))
        if self.left:
            for name, value in zip(("address", "bytes", "rows", "stride"), self.left[0],
                                   strict=True):
                self.ctx.set(port.payload[name], value)
            if self.ctx.get(port.ready):
                self.left.pop(0)

    def count(self):
        """Count what is done, once all inputs of the cycle are driven."""
        self.done += self.ctx.get(self.dut.done)


def slow(numbers):
    return numbers.randint(30, 60)


def descriptors(numbers, count, bytes=0x8000):
    """Random rows, packed and apart, of any number of bytes."""
    for _ in range(count):
        size = numbers.choice((numbers.randint(1, 20), numbers.randint(1, 400)))
        rows = numbers.randint(1, 6)
        stride = -(-size // 8) * 8 + 8 * numbers.choice((0, 0, numbers.randint(1, 40)))
        start = 8 * numbers.randrange((bytes - rows * stride) // 8)
        # Close to the end of a page, half of the time.
        if numbers.random() < 0.5:
            start = min(start | 0xF80, bytes - rows * stride) & ~7
        yield start, size, rows, stride


def rows_of(memory, descriptor):
    address, size, rows, stride = descriptor
    return [bytes(memory[address + k * stride:address + k * stride + size]) for k in range(rows)]


# Read -------------------------------------------------------------------------------------------

def read(wanted, *, seed=1, latency=slow, ready=1.0, stall=0.0, cycles=20_000, after=None, **sizes):
    """Packets that come of descriptors, the bus and the cycles that it took."""
    dut = ReadDma(**sizes)
    packets, found = [[]], {}

    async def testbench(ctx):
        bus, feeder = Bus(ctx, dut, seed, latency=latency, ready=ready), Feeder(ctx, dut, wanted)
        total = sum(each[2] for each in wanted if valid(each))
        ended = held = None
        for n in range(cycles):
            bus.now = n
            feeder.step()
            bus.accept("ar")
            bus.give()
            ctx.set(dut.o.ready, bus.numbers.random() >= stall)
            offer = tuple(ctx.get(dut.o.payload[k]) for k in ("data", "keep", "last")) \
                if ctx.get(dut.o.valid) else None
            assert held in (None, offer)
            held = None if ctx.get(dut.o.ready) else offer
            if offer and ctx.get(dut.o.ready):
                data, keep, last = offer
                assert keep & keep + 1 == 0 and keep and (last or keep == 255)
                packets[-1].append(data.to_bytes(8, "little")[:keep.bit_length()])
                if last:
                    packets.append([])
            feeder.count()
            await ctx.tick()
            if len(packets) > total and not ctx.get(dut.busy):
                ended = ended or n
                if n > ended + 5:
                    break
        found.update(bus=bus, cycles=ended, done=feeder.done,
                     kept=(ctx.get(dut.response), ctx.get(dut.refused)))
        ctx.set(dut.clear, 1)
        await ctx.tick()
        assert (ctx.get(dut.response), ctx.get(dut.refused)) == (0, 0)
    simulate(dut, testbench)
    assert packets.pop() == []
    return [b"".join(packet) for packet in packets], found


def valid(descriptor):
    return not (descriptor[0] % 8 or descriptor[3] % 8) and descriptor[1] and descriptor[2]


@pytest.mark.parametrize("options", [
    {}, {"stall": 0.6}, {"latency": lambda numbers: 1, "ready": 0.3},
    {"depth": 32, "outstanding": 2, "stall": 0.2}], ids=["slow", "stalled", "fast", "small"])
def test_read(options):
    wanted = list(descriptors(random.Random(2), 12))
    packets, found = read(wanted, **options)
    memory = found["bus"].memory
    assert packets == [row for each in wanted for row in rows_of(memory, each)]
    assert (found["done"], found["kept"]) == (len(wanted), (0, 0))
    assert max(found["bus"].lengths) == 16
    assert found["bus"].in_flight <= options.get("outstanding", 16)


@pytest.mark.parametrize("size", range(1, 18))
def test_read_every_tail(size):
    wanted = [(0xFF8, size, 3, 24)]
    packets, found = read(wanted)
    assert packets == rows_of(found["bus"].memory, wanted[0])


@pytest.mark.parametrize("place, code", WRONG.items())
def test_read_errors_are_kept(place, code):
    """The first one; the rows are whole, and those behind it are right."""
    other, = {*WRONG} - {place}
    wanted = [(0x100, 64, 1, 0), (place - 72, 128, 1, 0), (other, 8, 1, 0), (0x200, 20, 2, 24)]
    packets, found = read(wanted)
    assert found["kept"] == (code, 0) and found["done"] == 4
    assert [len(packet) for packet in packets] == [64, 128, 8, 20, 20]
    assert packets[3:] == rows_of(found["bus"].memory, wanted[3])


@pytest.mark.parametrize("wrong", [(0x104, 8, 1, 8), (0x100, 8, 2, 12), (0x100, 0, 1, 8),
                                   (0x100, 8, 0, 8)])
def test_read_refuses(wrong):
    wanted = [(0x40, 9, 1, 0), wrong, (0x80, 17, 2, 24)]
    packets, found = read(wanted)
    memory = found["bus"].memory
    assert packets == rows_of(memory, wanted[0]) + rows_of(memory, wanted[2])
    assert (found["done"], found["kept"]) == (3, (0, 1))


def test_read_throughput():
    """At least 90 % of 8 bytes a cycle, from memory that answers after 30 to 60 cycles."""
    size = 8 * 1024
    packets, found = read([(0, 1024, size // 1024, 1024)])
    assert sum(map(len, packets)) == size
    assert size / found["cycles"] >= 0.9 * 8


def test_depth():
    with pytest.raises(ValueError, match="^Depth must be a power of two of at least 32, not 48$"):
        ReadDma(depth=48)


# A unit that reads by itself ---------------------------------------------------------------------

def answering(size):
    """Requests for beats of so many bytes, and the DMA that answers them."""
    m, requests, dma = Module(), DmaRequests(size), ReadDma()
    m.submodules += [requests, dma]
    wiring.connect(m, requests.o, dma.i)
    m.d.comb += [requests.done.eq(dma.done), dma.abort.eq(requests.abort)]
    return m, requests, dma


def test_requests_throughput():
    """At least 90 % of 8 bytes a cycle, in requests for 16 beats of 8 bytes."""
    m, requests, dma = answering(8)
    total = 64

    async def testbench(ctx):
        bus, number = Bus(ctx, Side(dma), 1, latency=slow), 0
        ctx.set(dma.o.ready, 1)
        for n in range(2 * 16 * total):
            bus.now = n
            ctx.set(requests.i.valid, number < total)
            ctx.set(requests.i.payload, number * 128 | 16 << 32)
            number += ctx.get(requests.i.ready) and number < total
            bus.accept("ar")
            bus.give()
            await ctx.tick()
            if ctx.get(requests.count) == total:
                break
        assert 16 * total / n >= 0.9
    simulate(m, testbench)


def test_requests_of_a_unit():
    """A row of whole beats each; those that are refused are counted, and none in a reset."""
    m, requests, dma = answering(16)
    wanted = [(0x1FF0, 3), (0x104, 1), (0x40, 1), (0x80, 0), (0x300, 70)]
    packets = [[]]

    async def testbench(ctx):
        bus, left = Bus(ctx, Side(dma), 1, latency=slow, ready=0.7), list(wanted)
        for n in range(1200):
            bus.now = n
            ctx.set(requests.i.valid, bool(left))
            if left:
                ctx.set(requests.i.payload, left[0][0] | left[0][1] << 32)
                if ctx.get(requests.i.ready):
                    left.pop(0)
            bus.accept("ar")
            bus.give()
            ctx.set(dma.o.ready, bus.numbers.random() < 0.8)
            if ctx.get(dma.o.valid) and ctx.get(dma.o.ready):
                assert ctx.get(dma.o.p.keep) == 255
                packets[-1].append(ctx.get(dma.o.p.data).to_bytes(8, "little"))
                if ctx.get(dma.o.p.last):
                    packets.append([])
            await ctx.tick()
        assert packets.pop() == [] and not ctx.get(dma.busy) and ctx.get(dma.refused)
        assert [b"".join(each) for each in packets] == \
            [bytes(bus.memory[address:address + 16 * beats])
             for address, beats in wanted if address % 8 == 0 and beats]
        assert ctx.get(requests.count) == len(wanted)
        ctx.set(requests.abort, 1)
        ctx.set(requests.i.valid, 1)
        ctx.set(requests.clear, 1)
        await ctx.tick()
        assert not ctx.get(requests.i.ready) and not ctx.get(requests.o.valid)
        assert ctx.get(requests.count) == 0
    simulate(m, testbench)


# Write ------------------------------------------------------------------------------------------

def write(wanted, packets, *, seed=1, latency=slow, ready=1.0, gap=0.0, cycles=20_000):
    """The bus after packets were written, its memory before, and what was found."""
    dut = WriteDma()
    found = {}
    beats = [(packet[k:k + 8], k + 8 >= len(packet)) for packet in packets
             for k in range(0, len(packet), 8)]

    async def testbench(ctx):
        bus, feeder = Bus(ctx, dut, seed, latency=latency, ready=ready), Feeder(ctx, dut, wanted)
        found["before"] = bytes(bus.memory)
        sent, offered, ended = 0, False, None
        for n in range(cycles):
            bus.now = n
            feeder.step()
            offered = sent < len(beats) and (offered or bus.numbers.random() >= gap)
            ctx.set(dut.rows.valid, offered)
            if offered:
                word, last = beats[sent]
                ctx.set(dut.rows.p.data, int.from_bytes(word, "little"))
                ctx.set(dut.rows.p.keep, (1 << len(word)) - 1)
                ctx.set(dut.rows.p.last, last)
            bus.accept("aw")
            bus.take()
            if offered and ctx.get(dut.rows.ready):
                sent, offered = sent + 1, False
            feeder.count()
            await ctx.tick()
            if sent == len(beats) and feeder.done == len(wanted):
                ended = ended or n
                assert not ctx.get(dut.busy)
                if n > ended + 5:
                    break
        names = "response", "refused", "short", "long"
        found.update(bus=bus, cycles=ended, done=feeder.done,
                     kept={name: ctx.get(getattr(dut, name)) for name in names
                           if ctx.get(getattr(dut, name))})
        ctx.set(dut.clear, 1)
        await ctx.tick()
        assert not any(ctx.get(getattr(dut, name)) for name in names)
    simulate(dut, testbench)
    return found


def written(memory, wanted, packets):
    """Memory after rows have been written: of a short packet all, of a long one no more."""
    memory, packets = bytearray(memory), iter(packets)
    for address, size, rows, stride in wanted:
        for k in range(rows):
            packet = next(packets)[:size]
            memory[address + k * stride:address + k * stride + len(packet)] = packet
    return memory


@pytest.mark.parametrize("options", [
    {}, {"gap": 0.5}, {"latency": lambda numbers: 1, "ready": 0.3}], ids=["slow", "gaps", "fast"])
def test_write(options):
    numbers = random.Random(3)
    wanted = list(descriptors(numbers, 12))
    packets = [numbers.randbytes(size) for _, size, rows, _ in wanted for _ in range(rows)]
    found = write(wanted, packets, **options)
    # Bytes beside the rows are as they were.
    assert found["bus"].memory == written(found["before"], wanted, packets)
    assert (found["done"], found["kept"]) == (len(wanted), {})
    assert max(found["bus"].lengths) == 16


@pytest.mark.parametrize("size", range(1, 18))
def test_write_every_tail(size):
    wanted, packets = [(0xFF8, size, 3, 24)], [bytes([k] * size) for k in (1, 2, 3)]
    found = write(wanted, packets)
    assert found["bus"].memory == written(found["before"], wanted, packets)


@pytest.mark.parametrize("size, kept", [(40, {}), (39, {"short": 1}), (32, {"short": 1}),
                                        (1, {"short": 1}), (41, {"long": 1}), (48, {"long": 1}),
                                        (400, {"long": 1})])
def test_write_packet_of_another_length(size, kept):
    """It is told, touches nothing beside its row, and the next one goes where it belongs."""
    numbers = random.Random(size)
    wanted = [(0xFE8, 40, 3, 80), (0x200, 24, 1, 0)]
    packets = [numbers.randbytes(n) for n in (40, size, 40, 24)]
    found = write(wanted, packets, gap=0.3)
    assert found["bus"].memory == written(found["before"], wanted, packets)
    assert (found["done"], found["kept"]) == (2, kept)


@pytest.mark.parametrize("place, code", WRONG.items())
def test_write_errors_are_kept(place, code):
    other, = {*WRONG} - {place}
    wanted = [(place - 8, 24, 1, 0), (other, 8, 1, 0), (0x200, 20, 2, 24)]
    packets = [bytes(range(size)) for size in (24, 8, 20, 20)]
    found = write(wanted, packets)
    assert (found["done"], found["kept"]) == (3, {"response": code})
    assert found["bus"].memory[0x200:0x214] == bytes(range(20))


@pytest.mark.parametrize("wrong", [(0x104, 8, 1, 8), (0x100, 8, 2, 12), (0x100, 0, 1, 8),
                                   (0x100, 8, 0, 8)])
def test_write_refuses(wrong):
    wanted = [(0x40, 9, 1, 0), wrong, (0x80, 17, 2, 24)]
    packets = [bytes(range(size)) for size in (9, 17, 17)]
    found = write(wanted, packets)
    assert found["bus"].memory == written(found["before"], [wanted[0], wanted[2]], packets)
    assert (found["done"], found["kept"]) == (3, {"refused": 1})


def test_write_throughput():
    size = 8 * 1024
    packets = [bytes(range(256)) * 4] * (size // 1024)
    found = write([(0, 1024, size // 1024, 1024)], packets)
    assert size / found["cycles"] >= 0.9 * 8


# A unit between them ----------------------------------------------------------------------------

class Side:
    """One DMA of several in a design, with the names that a bus and a feeder look for."""

    def __init__(self, dma):
        self.__dict__.update({name: getattr(dma, name) for name in dma.signature.members})


@pytest.mark.parametrize("length", [1, 8, 37])
def test_rows_through_a_unit(length):
    """Logits from memory, probabilities to memory, as the model says; 8 lanes are 8 bytes."""
    config = rtl.unit("softmax-e2")(lanes=8, max_length=40)
    count = 6
    m, unit, reader, writer = Module(), config.create(), ReadDma(), WriteDma()
    m.submodules += [unit, reader, writer]
    m.d.comb += [
        unit.i.p.data.as_value().eq(reader.o.p.data), unit.i.p.keep.eq(reader.o.p.keep),
        unit.i.p.last.eq(reader.o.p.last), unit.i.valid.eq(reader.o.valid),
        reader.o.ready.eq(unit.i.ready),
        writer.rows.p.data.eq(unit.o.p.data.as_value()), writer.rows.p.keep.eq(unit.o.p.keep),
        writer.rows.p.last.eq(unit.o.p.last), writer.rows.valid.eq(unit.o.valid),
        unit.o.ready.eq(writer.rows.ready),
    ]
    x = np.random.default_rng(1).integers(-128, 128, (count, length))
    stride = 64

    async def testbench(ctx):
        sides = Side(reader), Side(writer)
        source, sink = (Bus(ctx, side, 1, latency=slow, ready=0.8) for side in sides)
        feeders = [Feeder(ctx, side, [(place, length, count, stride)])
                   for side, place in zip(sides, (0x1F80, 0x4FC8), strict=True)]
        for k, row in enumerate(x):
            start = 0x1F80 + k * stride
            source.memory[start:start + length] = row.astype(np.int8).tobytes()
        before = bytes(sink.memory)
        for n in range(5000):
            source.now = sink.now = n
            for feeder in feeders:
                feeder.step()
            source.accept("ar")
            source.give()
            sink.accept("aw")
            sink.take()
            for feeder in feeders:
                feeder.count()
            await ctx.tick()
            if feeders[1].done:
                break
        y = [bytes(row.astype(np.uint8)) for row in model.run(config, x)]
        assert sink.memory == written(before, [(0x4FC8, length, count, stride)], y)
        assert not ctx.get(unit.error) and not ctx.get(writer.short) and not ctx.get(writer.long)
    simulate(m, testbench)

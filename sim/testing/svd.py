"""SVD-softmax engines in Amaranth's own simulator, with a memory behind their port."""

from __future__ import annotations

import collections
import dataclasses
import random
from collections.abc import Callable, Sequence

import numpy as np
from amaranth.hdl import Value
from amaranth.lib import wiring
from amaranth.sim import Simulator

from rtl.svd.config import SvdSoftmaxConfig
from rtl.svd.words import OUTPUT_WORDS, SELECTED_BIT

from .. import model
from ..data.svd_image import SvdImage

__all__ = ["Batch", "PortMemory", "Ran", "expected", "run"]

PAGE = 4096


@dataclasses.dataclass
class Batch:
    """Setup and the hidden vectors that it is for.

    Attributes
    ----------
    x : int array (vectors, dim)
        Hidden vectors.
    image : SvdImage
        Image.
    vocabulary, count : int or None
        V and N; None: those of the image.
    address : int
        Where the image is.
    """

    x: np.ndarray
    image: SvdImage
    vocabulary: int | None = None
    count: int | None = None
    address: int = 0

    @property
    def registers(self) -> list[int]:
        """Words of the setup."""
        words = self.vocabulary or self.image.vocabulary
        return [self.address, words, self.image.columns,
                min(self.image.count, words) if self.count is None else self.count]


def expected(config: SvdSoftmaxConfig, batch: Batch) -> list[list[tuple[int, ...]]]:
    """Return what the model says of each vector: tuples of :data:`OUTPUT_WORDS`."""
    _, words, _, count = batch.registers
    y = model.run(config, batch.x, batch.image, count=count, vocabulary=words, whole=True)
    rows = []
    for number in range(len(batch.x)):
        chosen = set(y.index[number].tolist())
        places = range(words) if config.whole else y.index[number].tolist()
        rows.append([(place | (place in chosen) << SELECTED_BIT,
                      int(y.probabilities[number, place]),
                      int(y.mixed[number, place]) & 0xFFFFFFFF,
                      int(y.log_partition[number]) & 0xFFFFFFFF) for place in places])
    return rows


@dataclasses.dataclass
class PortMemory:
    """Memory behind the port: answers requests in their order.

    Attributes
    ----------
    content : dict of int to bytes
        Images by their addresses.
    latency : range
        Cycles from a request to its first word; anything from its least to its largest.
    gap : float
        Probability of a cycle without a word.
    refuse : float
        Probability of a cycle in which no request is taken.
    lengths : callable
        Words of the answer to a request by its number and its words; by default all.
    """

    content: dict[int, bytes]
    latency: Sequence[int] = (1,)
    gap: float = 0.0
    refuse: float = 0.0
    lengths: Callable[[int, int], int] = staticmethod(lambda number, words: words)

    def read(self, address: int, size: int) -> bytes:
        """Return bytes of the memory."""
        for start, image in self.content.items():
            if start <= address < start + len(image):
                part = image[address - start:address - start + size]
                assert len(part) == size, f"a read at {address} goes beyond its image"
                return part
        raise AssertionError(f"nothing is at {address}")


@dataclasses.dataclass
class Ran:
    """What a run gave.

    Attributes
    ----------
    rows : list of list of tuple
        Outputs of each vector.
    requests : list of (int, int)
        Address and words of each request.
    causes : list of str
        Causes that were found, as ``config.causes`` names them. They are cleared by ``clear``.
    cycles : int
        Cycles up to the last output.
    ends : list of int
        Cycle of the last output of each vector.
    taken : list of int
        Cycle of each word that was taken from the memory.
    """

    rows: list
    requests: list
    causes: list = dataclasses.field(default_factory=list)
    cycles: int = 0
    ends: list = dataclasses.field(default_factory=list)
    taken: list = dataclasses.field(default_factory=list)


async def _taken(ctx, stream) -> None:
    """Wait until a stream takes what is offered, so that the simulation may end meanwhile."""
    ready = 0
    while not ready:
        _, _, ready = await ctx.tick().sample(stream.ready)


def run(dut: wiring.Component, batches: Sequence[Batch], memory: PortMemory, *, outputs: int,
        gap: float = 0.0, stall: float = 0.0, seed: int = 0, patience: int = 20000,
        raw: Sequence[tuple] | None = None) -> Ran:
    """Send batches through an engine, until so many vectors have come out.

    ``raw`` replaces the batches: tuples of registers, elements and their ``last``.

    Raises
    ------
    AssertionError
        If nothing comes for ``patience`` cycles, a beat changes while it waits, or a request breaks
        the rules of the port.
    """
    config = dut.config
    rng = random.Random(seed)
    ran = Ran([[]], [])
    if raw is None:
        raw = [(batch.registers, [int(v) for vector in batch.x for v in vector],
                [number == batch.x.size - 1 for number in range(batch.x.size)])
               for batch in batches]
    cycle = [0]
    queue = collections.deque()
    size = config.port_bytes

    async def source(ctx, stream, payloads, probability):
        width = Value.cast(stream.payload).shape().width
        for payload in payloads:
            while rng.random() < probability:
                ctx.set(Value.cast(stream.payload), rng.getrandbits(width))
                await ctx.tick()
            ctx.set(stream.payload, payload)
            ctx.set(stream.valid, 1)
            await _taken(ctx, stream)
            ctx.set(stream.valid, 0)

    async def setups(ctx):
        await source(ctx, dut.setup, [{"data": words, "last": rng.randrange(2)}
                                      for words, _, _ in raw], gap)

    async def vectors(ctx):
        await source(ctx, dut.h, [{"data": [value], "last": end} for _, values, ends in raw
                                  for value, end in zip(values, ends, strict=True)], gap)

    async def requests(ctx):
        while True:
            ready = rng.random() >= memory.refuse
            ctx.set(dut.request.ready, ready)
            _, _, valid, beat = await ctx.tick().sample(dut.request.valid, dut.request.payload)
            if valid and ready:
                address, words = int(beat.data[0]), int(beat.data[1])
                assert address % size == 0 and 1 <= words <= config.burst and beat.last
                assert address // PAGE == (address + words * size - 1) // PAGE, "crosses 4 KiB"
                number = len(ran.requests)
                ran.requests.append((address, words))
                queue.append((cycle[0] + rng.choice(memory.latency), address,
                              memory.lengths(number, words), words))

    async def responses(ctx):
        stream = dut.response
        while True:
            if not queue or queue[0][0] > cycle[0]:
                await ctx.tick()
                continue
            _, address, words, asked = queue.popleft()
            content = memory.read(address, asked * size).ljust(words * size, b"\xa5")
            for number in range(words):
                while rng.random() < memory.gap:
                    await ctx.tick()
                ctx.set(stream.payload, {
                    "data": list(content[number * size:(number + 1) * size]),
                    "last": number == words - 1})
                ctx.set(stream.valid, 1)
                await _taken(ctx, stream)
                ran.taken.append(cycle[0])
                ctx.set(stream.valid, 0)

    async def clock(ctx):
        while True:
            await ctx.tick()
            cycle[0] += 1

    async def sink(ctx):
        left, idle, held, out = outputs, 0, None, dut.o
        while left:
            ready = rng.random() >= stall
            ctx.set(out.ready, ready)
            _, _, valid, beat, bits = await ctx.tick().sample(
                out.valid, out.payload, Value.cast(out.payload))
            assert held is None or valid and bits == held, "a beat changed while it waited"
            held = bits if valid and not ready else None
            idle = 0 if valid else idle + 1
            assert idle <= patience, f"no output for {idle} cycles, {left} vectors are missing"
            if valid and ready:
                ran.rows[-1].append(tuple(int(beat.data[k]) for k in range(len(OUTPUT_WORDS))))
                if beat.last:
                    ran.rows.append([])
                    ran.ends.append(cycle[0])
                    left -= 1
        ctx.set(out.ready, 1)
        for _ in range(50):
            _, _, valid = await ctx.tick().sample(out.valid)
            assert not valid, "an output comes after the last one"
        found = ctx.get(dut.causes)
        ran.causes = [name for place, name in enumerate(config.causes) if found >> place & 1]
        assert ctx.get(dut.error) == bool(found)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        await ctx.tick()
        assert not ctx.get(dut.causes) and not ctx.get(dut.error), "a cause is not cleared"
        ran.cycles = cycle[0]

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    for each in (clock, setups, vectors, requests, responses):
        simulator.add_testbench(each, background=True)
    simulator.add_testbench(sink)
    simulator.run()
    ran.rows.pop()
    return ran

"""Tests of the SVD-softmax engine: exactness, memory of any latency, reset and errors.

Run inside the simulator by :mod:`sim.runner`, once for each :class:`SvdJob`; see
:mod:`sim.bench.bench`. The bench is the memory behind the engine's port, too.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterator, Sequence

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from rtl.svd.config import SvdSoftmaxConfig
from rtl.svd.image import HEADER, HEADER_BYTES
from sim.data.svd_image import SvdImage

from .bench import Bench, require, tests_of
from .jobs import Job
from .rows import BeatFormat
from .stream import Source, Stall, gaps, stalls

__all__ = ["BROKEN", "SvdBatch", "SvdJob", "broken_setups", "foreign", "placed"]

PAGE = 4096

# Number of the request that gets a wrong number of words; the first one is the header's.
BROKEN = 1


@dataclasses.dataclass(frozen=True, eq=False)
class SvdBatch:
    """Setup of an engine and the hidden vectors that it is for, with what must come out.

    Attributes
    ----------
    x : int array (vectors, dim)
        Hidden vectors.
    registers : int array (4,)
        Address, V, W and N.
    image : SvdImage or None
        What lies at the address; None where only the memory's bytes are known.
    y : int array (beats, 4)
        Expected words of the output; None, before the model was asked.
    ends : bool array (beats,)
        Beats that end a vector's outputs.
    """

    x: np.ndarray
    registers: np.ndarray
    image: SvdImage | None
    y: np.ndarray | None = None
    ends: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class SvdJob(Job):
    """Batches for an SVD-softmax engine, and the memory behind its port.

    Attributes
    ----------
    batches : list of SvdBatch
        Batches in their order.
    content : uint8 array
        The memory, from address 0 on.
    """

    BENCH = "sim.bench.svd"

    config: SvdSoftmaxConfig
    batches: list[SvdBatch]
    content: np.ndarray
    seed: int
    ports: str
    latency: int

    def arrays(self) -> dict[str, object]:
        return {"content": self.content, "batches": len(self.batches),
                **{f"{name}{number}": getattr(batch, name)
                   for number, batch in enumerate(self.batches)
                   for name in ("x", "registers", "y", "ends")}}

    @classmethod
    def members(cls, content: dict[str, np.ndarray]) -> dict[str, object]:
        batches = [SvdBatch(content[f"x{n}"], content[f"registers{n}"], None, content[f"y{n}"],
                            content[f"ends{n}"]) for n in range(int(content["batches"]))]
        return {"batches": batches, "content": content["content"]}


def placed(config: SvdSoftmaxConfig, images: Sequence[SvdImage]) -> tuple[np.ndarray, list[int]]:
    """Return a memory with images in it, each on a page of its own, and their addresses.

    The last page is :func:`foreign`: the first image's header with another hash.
    """
    parts, addresses, size = [], [], 0
    for image in images:
        packed = image.pack(config)
        addresses.append(size)
        parts.append(packed + bytes(-len(packed) % PAGE))
        size += len(parts[-1])
    other = bytearray(parts[0][:HEADER_BYTES].ljust(PAGE, b"\0"))
    other[4 * HEADER.index("hash")] ^= 1
    return np.frombuffer(b"".join([*parts, other]), np.uint8), addresses


def foreign(content: np.ndarray) -> int:
    """Return the address of an image that was made for another configuration."""
    return len(content) - PAGE


def broken_setups(config: SvdSoftmaxConfig, good: SvdBatch,
                  foreign: int) -> Iterator[tuple[str, str, list[int]]]:
    """Yield ``(name, cause, registers)`` of setups that must be refused.

    ``foreign``: address of an image that was made for another configuration.
    """
    address, words, columns, count = map(int, good.registers)
    yield "no words", "SETUP", [address, 0, columns, count]
    yield "no full views", "SETUP", [address, words, columns, 0]
    yield "no columns", "SETUP", [address, words, 0, count]
    yield "more full views than words", "SETUP", [address, words, columns, words + 1]
    yield "too many words", "SETUP", [address, config.max_vocab + 1, columns, count]
    yield "too many columns", "SETUP", [address, words, config.dim + 1, count]
    yield "no image", "IMAGE", [address + config.port_bytes, words, columns, count]
    yield "image of another configuration", "IMAGE", [foreign, words, columns, count]
    if words < config.max_vocab:
        # An image whose V this is may follow; that of the header is less.
        yield "words that the image lacks", "IMAGE", [address, config.max_vocab, columns, count]
    if config.max_preview > 1:
        other = columns - 1 or 2
        yield "columns of another image", "IMAGE", [address, words, other, count]


class _Memory:
    """Coroutines of the memory: take requests and send responses, in order.

    Parameters
    ----------
    bench : _Bench
        Bench with the ports.
    latency : (int, int)
        Least and most cycles from a request to its first word.
    gap, refuse : float
        Probability of a cycle without a word, and of one in which no request is taken.
    broken, extra : int
        Number of the request that is answered with so many more words, or fewer.
    """

    def __init__(self, bench: _Bench, *, latency: tuple[int, int] = (1, 1), gap: float = 0.0,
                 refuse: float = 0.0, broken: int = -1, extra: int = 0) -> None:
        self.bench, self.latency, self.gap, self.refuse = bench, latency, gap, refuse
        self.broken, self.extra, self.asked = broken, extra, 0
        self.waiting: collections.deque = collections.deque()
        self.cycle = self.requests = 0
        self.failure = ""
        self.tasks = [cocotb.start_soon(self._requests()), cocotb.start_soon(self._responses())]

    def stop(self) -> None:
        """End both coroutines."""
        for task in self.tasks:
            task.cancel()
        self.bench.ports["request"].set_ready("0")
        response = self.bench.ports["response"]
        response.set_valid("0")
        response.set_payload(response.idle)

    async def _requests(self) -> None:
        bench, random = self.bench, self.bench.random
        port, config = bench.ports["request"], bench.config
        rise, fall = RisingEdge(bench.clock), FallingEdge(bench.clock)
        size = config.port_bytes
        while True:
            ready = random.random() >= self.refuse
            port.set_ready("1" if ready else "0")
            await rise
            self.cycle += 1
            if ready and port.get_valid() == "1":
                address, words = port.format.decode([port.get_payload()])["data"][0].tolist()
                end = address + words * size
                if not 1 <= words <= config.burst or address % size \
                        or address // PAGE != (end - 1) // PAGE or end > len(bench.job.content):
                    self.failure = f"request of {words} words at {address} breaks a rule"
                given = words
                if self.requests == self.broken:
                    self.asked = words
                    given = max(words + self.extra, 1)
                self.requests += 1
                due = self.cycle + int(random.integers(self.latency[0], self.latency[1] + 1))
                self.waiting.append((due, address, words, given))
            await fall

    async def _responses(self) -> None:
        bench, random = self.bench, self.bench.random
        port, size = bench.ports["response"], bench.config.port_bytes
        rise, fall = RisingEdge(bench.clock), FallingEdge(bench.clock)
        while True:
            if not self.waiting or self.waiting[0][0] > self.cycle:
                await fall
                continue
            _, address, words, given = self.waiting.popleft()
            for beat in _words(port.format, bench.job.content, address, words, given, size):
                while random.random() < self.gap:
                    port.set_valid("0")
                    port.set_payload(port.idle)
                    await fall
                port.set_payload(beat)
                port.set_valid("1")
                await rise
                while port.get_ready() != "1":
                    await rise
                await fall
            port.set_valid("0")
            port.set_payload(port.idle)


def _words(form: BeatFormat, content: np.ndarray, address: int, words: int, given: int,
           size: int) -> list[str]:
    """Beats of a response."""
    places = np.minimum(np.arange(given), words - 1)
    data = content[address:address + words * size].reshape(words, size)[places]
    return form.encode(data.astype(np.int64), None, np.arange(given) == given - 1, None)


class _Bench(Bench):
    """The design with its clock, its streams and the job's batches."""

    JOB = SvdJob

    @property
    def patience(self) -> int:
        """A vector comes and goes."""
        most = max(self.config.token_cycles(*map(int, batch.registers[1:]))
                   for batch in self.job.batches)
        return 2 * most + 2000

    def encode(self, name: str, data: np.ndarray, last: np.ndarray) -> list[str]:
        """Return beats of a stream of words."""
        if not len(data):
            return []
        return self.ports[name].format.encode(np.asarray(data, np.int64), None,
                                              np.asarray(last, bool), None)

    def sent(self, batches: Sequence[SvdBatch]) -> dict[str, list[str]]:
        """Return the beats of the inputs."""
        x = [batch.x.reshape(-1, 1) for batch in batches]
        last = [np.arange(len(each)) == len(each) - 1 for each in x]
        return {"setup": self.encode("setup", [batch.registers for batch in batches],
                                     self.random.random(len(batches)) < 0.5),
                "h": self.encode("h", np.concatenate(x), np.concatenate(last))}

    async def exchange(self, batches: Sequence[SvdBatch], *, gap: float = 0.0,
                       stall: Stall | None = None, memory: dict | None = None,
                       wrong: bool = False) -> _Memory:
        """Send batches and compare what comes out; not the words, if they are ``wrong``.

        Returns the memory that was behind the unit's port.
        """
        expected = [beat for batch in batches for beat in self.encode("o", batch.y, batch.ends)]
        sent = self.sent(batches)
        behind = _Memory(self, **(memory or {}))
        done = await self.transfer(
            sent, len(expected), stall=stall,
            pauses={name: gaps(self.random, len(sent[name]), gap) for name in sent},
            patience=int(self.patience * 8 / (1.0 - gap)))
        behind.stop()
        require(not behind.failure, behind.failure)
        self.report["beats"] += len(expected)
        counts = np.cumsum([len(batch.y) for batch in batches])

        def where(beat: int) -> tuple[str, int]:
            number = int(np.searchsorted(counts, beat, "right"))
            place = beat - int(counts[number] - len(batches[number].y))
            return f"batch {number}, output {place}", 0

        self.compare(done, expected, where, 4 * len(expected),
                     [slice(0, len(expected))] if wrong else [])
        return behind

    def causes(self, *names: str) -> None:
        """Check the outputs ``error`` and ``causes``: these causes were found, and no other."""
        self.error(int(bool(names)))
        got = int(str(self._dut.causes.value), 2)
        found = [name for place, name in enumerate(self.config.causes) if got >> place & 1]
        require(found == [*names], f"causes are {found} instead of {[*names]}")


_test = tests_of(_Bench)


@_test
async def batches_back_to_back(bench):
    """A memory that answers at once: exact."""
    await bench.exchange(bench.job.batches)
    bench.causes()


@_test
async def batches_with_gaps_and_stalls(bench):
    """Gaps at the inputs, stalls at the output, a slow memory that refuses and rests: exact."""
    await bench.exchange(bench.job.batches, gap=0.3, stall=stalls(bench.random, 0.4),
                         memory={"latency": (1, 60), "gap": 0.3, "refuse": 0.3})
    bench.causes()


@_test
async def reset_at_any_time(bench):
    """A reset of engine and memory in the middle of a vector leaves nothing behind."""
    batches = bench.job.batches[:1]
    for _ in range(3):
        behind = _Memory(bench, latency=(1, 40))
        sent = bench.sent(batches)
        tasks = [cocotb.start_soon(Source(bench.clock, bench.ports[name]).run(sent[name]))
                 for name in sent]
        bench.ports["o"].set_ready("1")
        for _ in range(int(bench.random.integers(1, bench.patience // 2))):
            await bench._fall
        for task in tasks:
            task.cancel()
        behind.stop()
        await bench.reset(int(bench.random.integers(1, 3)))
    await bench.exchange(batches)
    bench.causes()


@_test
async def refusals(bench):
    """A setup that can not be, a broken vector, a short and a long response: one cause each."""
    good = bench.job.batches[0]
    for _, cause, registers in broken_setups(bench.config, good, foreign(bench.job.content)):
        await bench.reset()
        bad = dataclasses.replace(good, registers=np.array(registers), y=good.y[:0],
                                  ends=good.ends[:0])
        await bench.exchange([bad, good])
        bench.causes(cause)
    if bench.config.dim > 1:
        await bench.reset()
        broken = dataclasses.replace(good, x=good.x.reshape(-1)[:bench.config.dim - 1],
                                     y=good.y[:0], ends=good.ends[:0])
        await bench.exchange([broken, good])
        bench.causes("VECTOR")
    for extra in -1, 1:
        await bench.reset()
        memory = await bench.exchange([good], memory={"broken": BROKEN, "extra": extra}, wrong=True)
        # An answer of no word can not be.
        bench.causes(*(["RESPONSE"] if memory.asked and memory.asked + extra else []))

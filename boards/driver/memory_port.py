"""Memory behind an HP port of a Zynq-7000, cycle by cycle, for simulations."""

from __future__ import annotations

import collections
import dataclasses
import random
from collections.abc import Callable, Mapping

__all__ = ["OUTPUTS", "SAMPLED", "MemoryPort"]

OKAY, SLVERR, DECERR = 0, 2, 3

# Beats of 8 bytes.
BEAT = 8

#: Signals of the master that the port looks at, and those that it drives.
SAMPLED = ("awvalid", "awaddr", "awlen", "awid", "wvalid", "wdata", "wstrb", "wlast", "wid",
           "bready", "arvalid", "araddr", "arlen", "arid", "rready")
OUTPUTS = ("awready", "wready", "bvalid", "bid", "bresp", "arready", "rvalid", "rid", "rdata",
           "rresp", "rlast")


@dataclasses.dataclass
class MemoryPort:
    """AXI3 slave of 64 bits with a memory, which checks what the master does.

    Bursts of one kind are answered in order, each ``latency`` cycles after its address at the
    earliest. Addresses outside the memory are answered DECERR.

    Attributes
    ----------
    memory : bytearray or memoryview
        The bytes.
    base : int
        Address of the first one.
    latency : (int, int)
        Least and greatest number of cycles that an answer takes.
    pause : float
        Share of the cycles in which a channel does not move.
    faults : dict of int to int
        Response of a beat, by its address.
    seed : int
        What latencies and pauses are drawn from.
    """

    memory: bytearray | memoryview
    base: int
    latency: tuple[int, int] = (30, 60)
    pause: float = 0.0
    faults: dict[int, int] = dataclasses.field(default_factory=dict)
    seed: int = 1

    def __post_init__(self) -> None:
        self._numbers = random.Random(self.seed)
        self._now = 0
        self._reads: collections.deque[list[int]] = collections.deque()
        self._writes: collections.deque[list[int]] = collections.deque()
        self._answers: collections.deque[tuple[int, int, int]] = collections.deque()
        self._held: dict[str, tuple[int, ...]] = {}
        self._failed = OKAY
        #: What the port drives in this cycle.
        self.outputs = dict.fromkeys(OUTPUTS, 0)
        #: Beats that were read and written.
        self.beats = {"r": 0, "w": 0}

    def step(self, get: Callable[[str], int]) -> Mapping[str, int]:
        """One rising edge: ``get`` gives the master's signals before it; returns new outputs."""
        out, self._now = self.outputs, self._now + 1
        for channel, queue in ("ar", self._reads), ("aw", self._writes):
            offer = self._offer(get, channel, ("addr", "len", "id"), out[f"{channel}ready"])
            if offer:
                address, beats, name = offer[0], offer[1] + 1, offer[2]
                assert address % BEAT == 0, f"burst at 0x{address:x} is not aligned"
                assert address // 4096 == (address + BEAT * beats - 1) // 4096, \
                    f"burst at 0x{address:x} crosses 4 KiB"
                queue.append([self._due(), address, beats, name])
        self._take(self._offer(get, "w", ("data", "strb", "last", "id"), out["wready"]))
        if out["rvalid"] and get("rready"):
            burst = self._reads[0]
            burst[1:3] = burst[1] + BEAT, burst[2] - 1
            self.beats["r"] += 1
            if not burst[2]:
                self._reads.popleft()
            out["rvalid"] = 0
        if out["bvalid"] and get("bready"):
            self._answers.popleft()
            out["bvalid"] = 0
        self._drive(out)
        return out

    def _due(self) -> int:
        return self._now + self._numbers.randint(*self.latency)

    def _offer(self, get: Callable[[str], int], channel: str, names: tuple[str, ...],
               ready: int) -> tuple[int, ...] | None:
        """What is transferred on a channel; what was not taken must stay."""
        if not get(f"{channel}valid"):
            assert channel not in self._held, f"{channel}valid fell without {channel}ready"
            return None
        offer = tuple(get(channel + name) for name in names)
        assert self._held.get(channel, offer) == offer, f"channel {channel} changed while stalled"
        if ready:
            self._held.pop(channel, None)
            return offer
        self._held[channel] = offer
        return None

    def _take(self, beat: tuple[int, ...] | None) -> None:
        """Write a beat; the response belongs to the whole burst."""
        if beat is None:
            return
        data, strobe, last, name = beat
        burst = self._writes[0]
        assert name == burst[3] and last == (burst[2] == 1), "write data does not fit its burst"
        place, response = burst[1] - self.base, self._response(burst[1])
        if response == OKAY:
            word = data.to_bytes(BEAT, "little")
            if strobe == 0xFF:
                self.memory[place:place + BEAT] = word
            else:
                for k in range(BEAT):
                    if strobe >> k & 1:
                        self.memory[place + k] = word[k]
        self._failed = self._failed or response
        self.beats["w"] += 1
        burst[1:3] = burst[1] + BEAT, burst[2] - 1
        if last:
            self._answers.append((self._due(), name, self._failed))
            self._writes.popleft()
            self._failed = OKAY

    def _response(self, address: int) -> int:
        inside = 0 <= address - self.base <= len(self.memory) - BEAT
        return self.faults.get(address, OKAY) if inside else DECERR

    def _drive(self, out: dict[str, int]) -> None:
        """What is driven in the next cycle; an offer stays until it is taken."""
        moves = self._moves
        if not out["rvalid"] and self._reads and self._reads[0][0] <= self._now and moves():
            _, address, left, name = self._reads[0]
            place, response = address - self.base, self._response(address)
            word = self.memory[place:place + BEAT] if response == OKAY else b"\xEE" * BEAT
            out.update(rvalid=1, rid=name, rdata=int.from_bytes(word, "little"), rresp=response,
                       rlast=int(left == 1))
        if not out["bvalid"] and self._answers and self._answers[0][0] <= self._now and moves():
            _, name, response = self._answers[0]
            out.update(bvalid=1, bid=name, bresp=response)
        # Data waits for its address here, as AXI allows.
        out.update(arready=int(moves()), awready=int(moves()),
                   wready=int(self._room() and moves()))

    def _room(self) -> bool:
        return bool(self._writes) and (len(self._writes) > 1 or self._writes[0][2] > 1
                                       or not self.outputs["wready"])

    def _moves(self) -> bool:
        return not self.pause or self._numbers.random() >= self.pause

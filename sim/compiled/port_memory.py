"""Memory behind a unit's port, for compiled simulations."""

from __future__ import annotations

import dataclasses

import numpy as np

from . import driver

__all__ = ["MemoryTraffic", "PortMemory"]

# Bytes of a page that no request may cross.
PAGE = 4096


@dataclasses.dataclass(frozen=True, eq=False)
class PortMemory:
    """Memory that answers the requests of a stream ``request`` on a stream ``response``, in order.

    Attributes
    ----------
    content : uint8 array
        What is in it, from address 0 on.
    port_bytes, burst : int
        Bytes of a word; words of a request at most.
    latency : (int, int)
        Least and most cycles from a request to its first word.
    gap, refuse : float
        Probability of a cycle without a word, and of one in which no request is taken.
    broken : int
        Number of the request that is answered with another number of words; -1: none.
    extra : int
        So many more, or fewer.
    record : int
        Words whose cycles are recorded.
    """

    content: np.ndarray
    port_bytes: int
    burst: int
    latency: tuple[int, int] = (1, 1)
    gap: float = 0.0
    refuse: float = 0.0
    broken: int = -1
    extra: int = 0
    record: int = 0

    def structure(self, ports: list[str], seed: int) -> tuple[driver.Memory, np.ndarray]:
        """Return the driver's structure for ports of these names, and the cycles it records."""
        taken = np.zeros(max(self.record, 1), np.int64)
        return driver.Memory(
            self.content.ctypes.data, len(self.content), self.port_bytes, ports.index("request"),
            ports.index("response"), *self.latency, round(1000 * self.gap),
            round(1000 * self.refuse), min(self.burst, PAGE // self.port_bytes), self.broken,
            self.extra, seed, taken.ctypes.data, self.record, 0, 0, 0), taken


@dataclasses.dataclass(frozen=True, eq=False)
class MemoryTraffic:
    """What a memory did.

    Attributes
    ----------
    requests, words : int
        Requests and words that were transferred.
    asked : int
        Words of the request with another number of words as its answer; 0, if there was none.
    taken : int64 array
        Cycle of each word, as far as they were recorded.
    """

    requests: int
    words: int
    asked: int
    taken: np.ndarray

    @classmethod
    def of(cls, structure: driver.Memory, taken: np.ndarray) -> MemoryTraffic:
        """Return what the driver left in its structure."""
        return cls(structure.requests, structure.words, structure.asked, taken[:structure.words])

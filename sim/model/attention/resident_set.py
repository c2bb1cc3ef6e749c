"""Integer model of one set of keys and values that stays in the engine and grows."""

from __future__ import annotations

import numpy as np

from rtl.config import UnitConfig
from rtl.fixed import Requantiser, Scaling, clip, requantised, signed_range

from .. import run as run_unit
from . import online
from .biases import biased
from .products import products
from .sinks import Sinks

__all__ = ["ResidentSet", "scaled", "seen"]


class ResidentSet:
    """One set: its memory, and the queries that wait for values.

    Parameters
    ----------
    config : AttentionConfig
        Numbers of the engine.
    regions : Regions
        The memory, and what a query sees.
    """

    def __init__(self, config: UnitConfig, regions: object) -> None:
        self.config, self.regions = config, regions
        self.k, self.v = (np.zeros((regions.capacity, size), np.int64)
                          for size in (config.dim, config.value_dim))
        self.mask = np.zeros(regions.capacity, bool)
        # Position of the key at each address; -1 for none.
        self.position = np.full(regions.capacity, -1, np.int64)
        #: Keys, and how many of them have their values, counted from position 0.
        self.keys = self.complete = 0
        # Whether positions are known modulo 2**position_bits only.
        self.wrapped = False
        self.refused = self.truncated = False
        # Queries that wait: the end of the positions that each sees, and its answer.
        self.waiting = []

    def address(self, position: np.ndarray) -> np.ndarray:
        """Return the address of positions, in keys."""
        first = self.regions.sink_keys
        return np.where(position < first, position,
                        first + (position - first) % max(self.regions.ring_keys, 1))

    def append(self, k: np.ndarray, v: np.ndarray, mask: np.ndarray, *, late: bool) -> bool:
        """Append keys and values, the latter ``late`` or not; returns whether there was room."""
        regions = self.regions
        if not len(k):
            return True
        most = regions.ring_keys if regions.ring else regions.capacity - self.keys
        if len(k) > most:
            self.refused = True
            return False
        # New keys are stored once those that were truncated are not waited for any more.
        if self.truncated:
            self.arrive()
        self.truncated = False
        position = np.arange(self.keys, self.keys + len(k))
        address = self.address(position)
        self.k[address], self.v[address], self.mask[address] = k, v, mask
        self.position[address] = position
        self.keys += len(k)
        self.wrapped |= self.keys >= 1 << self.regions.position_bits
        if not late:
            self.complete = self.keys
        return True

    def arrive(self) -> None:
        """All values that are late arrive."""
        self.complete = self.keys
        self.waiting.clear()

    def truncate(self, keys: int, abort: bool) -> None:
        """Keep the keys before position ``keys``; with ``abort`` queries that wait fail."""
        if keys and self.wrapped:
            keys = self.keys + self._relative(keys - self.keys)
        self.refused = False
        if keys >= self.keys:
            return
        least = keys
        if not keys:
            self.wrapped = False
        elif self.wrapped and keys < 1 << (self.regions.position_bits - 1):
            # As high as it may be; nothing is left in the ring.
            keys += 1 << self.regions.position_bits
        for end, answer in self.waiting:
            lost = abort & (end > keys) & (end > self.complete)
            answer.y[lost], answer.marked[lost], answer.row_words[lost] = 0, True, 1
        self.position[self.position >= least] = -1
        self.keys = keys
        self.truncated = True

    def _relative(self, distance):
        """Signed distance of two positions that are known modulo ``2**position_bits``."""
        half = 1 << (self.regions.position_bits - 1)
        return (distance + half) % (2 * half) - half

    def answer(self, head: object, q: np.ndarray, offset: int, bias: np.ndarray | None,
               answer: object) -> None:
        """Answer queries of a ``Head`` at the positions from ``offset`` on, in an ``Answer``."""
        if self.refused or not self.keys:
            return
        place = self.keys + self._relative(offset + np.arange(len(q)) - self.keys)
        position, visible = seen(self.regions, self.keys, place)
        address = self.address(position)
        gone = (visible & (self.position[address] != position)).any(axis=1)
        end = np.where(visible, position + 1, 0).max(axis=1)
        hidden = ~visible | self.mask[address]
        y = self._outputs(head, q, address, hidden, bias)
        answer.y[:] = np.where(gone[:, None], 0, y)
        answer.marked[:] = gone
        answer.row_words[:] = np.where(gone, 1, _words_of_rows(self.regions, visible))
        if (end > self.complete).any():
            self.waiting.append((end, answer))

    def _outputs(self, head, q, address, hidden, bias):
        config = self.config
        low, high = config.dot_range
        dots = np.take_along_axis(products(q, self.k.T, max(-low, high)), address, axis=1)
        # What lies behind a row that is too long is gone, and the answer marked.
        width = min(dots.shape[1], self.regions.row_keys)
        x, hidden = biased(config, scaled(head.logit, dots[:, :width], config.logit_bits),
                           hidden[:, :width], None if bias is None else bias[:, :width])
        sink = Sinks.of([head.sink])
        if config.datapath == "online":
            # A set of its own for each query: the rows begin at words of their own.
            return online.outputs(config.online, x[:, None], hidden[:, None],
                                  self.v[address[:, :width]], head.output, sink)[:, 0]
        own = {} if sink is None else sink.rows((1, len(q)))
        w = run_unit(config.softmax_config, x.astype(np.int16), hidden,
                     **{name: values[0] for name, values in own.items()})
        spread = np.zeros((len(q), self.regions.capacity), np.int64)
        row, column = np.nonzero(~hidden)
        spread[row, address[row, column]] = w[row, column]
        most = int(spread.sum(axis=1).max(initial=0)) * -config.element_range[0]
        sums = products(spread, self.v, most)
        if config.run_time:
            sums = clip(sums, *signed_range(config.sum_window))
        return scaled(head.output, sums, config.out_bits)


def seen(regions: object, keys: int, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (queries, row) in the rows of queries at ``place``, and which they see.

    The set has ``keys`` keys. Elements that are not seen have the position 0.
    """
    lanes = regions.lanes
    first = np.maximum(place - regions.window + 1, 0) if regions.window else \
        np.zeros(len(place), np.int64)
    # No key that the row could hold is farther back than the ring is long.
    start = np.maximum(first // lanes * lanes, regions.sink_keys)
    last = np.minimum(place, keys - 1) if regions.causal else np.full(len(place), keys - 1)
    words = max(int((last // lanes - start // lanes).max(initial=0)) + 1, 1)
    position = np.concatenate([
        np.broadcast_to(np.arange(regions.sink_keys), (len(place), regions.sink_keys)),
        start[:, None] + np.arange(words * lanes)], axis=1)
    visible = (position <= last[:, None]) & ((position >= first[:, None])
                                             | (position < regions.sinks))
    return np.where(visible, position, 0), visible


def _words_of_rows(regions: object, visible: np.ndarray) -> np.ndarray:
    """Return the number of words of rows (queries, row), of which ``visible`` are seen.

    A row has all words of the sinks, or none, and one word at least.
    """
    last = visible.shape[1] - 1 - np.argmax(visible[:, ::-1], axis=1)
    words = np.maximum(last // regions.lanes + 1, regions.sink_words)
    return np.where(visible.any(axis=1), words, 1)


def scaled(rule: Requantiser | Scaling, x: np.ndarray, bits: int) -> np.ndarray:
    """Return ``x`` requantised to ``bits`` bits; what ``rule`` has may be arrays."""
    return requantised(x, rule.multiplier, rule.shift, bits, getattr(rule, "offset", 0))

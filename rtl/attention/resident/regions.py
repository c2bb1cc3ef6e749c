"""Regions of a memory of K or V: how many sets, what each holds, and which address a key has."""

import dataclasses

__all__ = ["Regions"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Regions:
    """Memory of ``sets`` regions of ``capacity`` keys each, ``lanes`` keys a word.

    Key number ``j`` of a set, its *position*, is in lane ``j mod lanes``. Without a window its word
    in the region is ``j / lanes``. With a window the first :attr:`sink_words` words hold the first
    positions for ever, and the words behind them are a ring: position ``j`` takes the place of
    ``j - ring_keys``.

    Attributes
    ----------
    sets : int
        Number of regions.
    capacity : int
        Keys of a region, a multiple of ``lanes``; with a window at least ``sinks`` and ``window +
        chunk - 1``, each rounded up to a multiple of ``lanes``.
    lanes : int
        Keys of a word, a power of two.
    causal : bool
        Whether a query sees no key behind its own position.
    window : int
        Positions back from its own, itself included, that a query sees; 0 for all.
    sinks : int
        First positions of a set that stay visible however far the window is.
    chunk : int
        Most vectors of an append whose queries all find their keys.
    position_bits : int
        Width of a position. Positions count modulo ``2**position_bits``.
    """

    sets: int = 1
    capacity: int = 320
    lanes: int = 1
    causal: bool = True
    window: int = 0
    sinks: int = 0
    chunk: int = 1
    position_bits: int = 16

    @property
    def ring(self):
        """Whether a new key takes the place of the oldest one."""
        return self.window > 0

    @property
    def words(self):
        """Words of a region."""
        return self.capacity // self.lanes

    @property
    def sink_words(self):
        """Words of a region before its ring."""
        return -(-self.sinks // self.lanes)

    @property
    def sink_keys(self):
        """Positions that are before the ring."""
        return self.sink_words * self.lanes

    @property
    def ring_words(self):
        """Words of a region's ring; without a window all words."""
        return self.words - self.sink_words

    @property
    def ring_keys(self):
        """Keys of a region's ring."""
        return self.ring_words * self.lanes

    @property
    def least(self):
        """Least capacity for this window, these sinks and this chunk."""
        ring = -(-(self.window + self.chunk - 1) // self.lanes) if self.ring else 1
        return (self.sink_words + ring) * self.lanes

    @property
    def span_words(self):
        """Most words of the ring that a query sees: it may begin and end within a word."""
        if not self.ring:
            return self.ring_words
        most = self.ring_words + (self.lanes > 1)
        return min(most, (self.window + self.lanes - 2) // self.lanes + 1) if self.causal else most

    def row_words(self, keys):
        """Words of the row of the last of so many keys' query."""
        last = keys - 1
        start = max(last - self.window + 1, 0) // self.lanes if self.ring else 0
        return self.sink_words + max(last // self.lanes - max(start, self.sink_words) + 1, 0)

    @property
    def row_keys(self):
        """Most elements of a query's row of logits, masked ones included."""
        return (self.sink_words + self.span_words) * self.lanes

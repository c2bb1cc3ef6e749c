"""What queries see, in words: against the definition, for random states of sets and the corners."""

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from rtl import unit
from rtl.attention.layouts import QueryLayout
from rtl.attention.resident.arrival import ArrivedRows
from rtl.attention.resident.layouts import PacketLayout
from rtl.attention.resident.regions import Regions
from rtl.attention.resident.rows import VisibleRows
from rtl.attention.resident.words import VisibleWords
from sim.testing.pysim import exchange


class Visible(wiring.Component):
    """Packets to words: rows, then words, of sets whose vectors have all come."""

    def __init__(self, config, regions):
        self.rows, self.words = VisibleRows(regions), VisibleWords(config, regions)
        self.arrived = ArrivedRows(regions)
        super().__init__({"i": In(stream.Signature(PacketLayout(regions))),
                          "query": In(stream.Signature(QueryLayout(config))),
                          "o": Out(stream.Signature(self.words.layout))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.rows, m.submodules.words = rows, words = self.rows, self.words
        wiring.connect(m, wiring.flipped(self.i), rows.i)
        m.submodules.arrived = arrived = self.arrived
        wiring.connect(m, rows.o, arrived.i)
        wiring.connect(m, arrived.o, words.i)
        wiring.connect(m, wiring.flipped(self.query), words.query)
        wiring.connect(m, words.o, wiring.flipped(self.o))
        m.d.comb += [port.eq(rows.o.payload.end)
                     for port in (arrived.keys, arrived.values, arrived.left)]
        return m


def packet_of(regions, keys, offset, count, **fields):
    """Packet to a set that was appended to only, and never truncated."""
    bits = regions.position_bits
    behind = max(keys - regions.sink_keys, 0)
    held = min(behind, regions.ring_keys)
    wrapped = keys % (1 << bits) | (keys >> bits > 0) << bits
    return {"set": 0, "base": 0, "keys": wrapped, "held": held,
            "word": behind // regions.lanes % regions.ring_words, "count": count,
            "offset": offset % (1 << bits), "failed": 0, **fields}


def row_of(regions, keys, place):
    """Words (address, lanes seen), and whether a key is gone, by the definition."""
    seen = [j for j in range(keys) if (not regions.causal or j <= place)
            and (not regions.window or place - j < regions.window or j < regions.sinks)]
    if any(j >= regions.sink_keys and j < keys - regions.ring_keys for j in seen):
        return [], True
    words = {}
    for j in seen:
        words.setdefault(j // regions.lanes, set()).add(j % regions.lanes)
    for number in range(regions.sink_words if place >= 0 else 0):
        words.setdefault(number, set())
    first, ring = regions.sink_words, regions.ring_words
    return [(number if number < first else first + (number - first) % ring, words[number])
            for number in sorted(words)], False


CASES = {
    "all": Regions(capacity=12),
    "all, lanes": Regions(capacity=24, lanes=4),
    "not causal": Regions(capacity=24, lanes=4, causal=False),
    "window": Regions(capacity=7, window=5, chunk=3),
    "window, lanes": Regions(capacity=12, lanes=4, window=5, chunk=3, position_bits=7),
    "sinks": Regions(capacity=16, lanes=4, window=5, chunk=3, sinks=3, position_bits=7),
    "sinks fill": Regions(capacity=12, lanes=2, window=1, chunk=3, sinks=4, position_bits=7),
    "not causal window": Regions(capacity=12, lanes=2, window=3, sinks=3, causal=False),
}


@pytest.mark.parametrize("name", CASES)
def test_words_by_definition(name):
    """Queries before, at and behind the keys, in sets of any length, also when positions wrap."""
    regions = CASES[name]
    config = unit("attention")(dim=1, io_lanes=1, lanes=regions.lanes)
    rng = np.random.default_rng(1)
    packets, want = [], []
    most = 3 << regions.position_bits if regions.ring and regions.position_bits < 8 else \
        2 * regions.capacity if regions.ring else regions.capacity
    numbers = [*range(1, min(most, 14)), *rng.integers(1, most + 1, 12).tolist()]
    for keys in numbers:
        count = int(rng.integers(1, 4))
        place = keys - count + int(rng.choice([0, 0, 1, 2, -1, -4, -9, 9]))
        packets.append(packet_of(regions, keys, place, count))
        want += [(*row_of(regions, keys, place + i), i == count - 1) for i in range(count)]
    traffic = exchange(Visible(config, regions), {
        "i": packets, "query": [{"elements": [0], "last": last} for *_, last in want]}, len(want),
        gaps={"i": 0.2}, stalls=0.2)
    found, words = [], []
    for beat in traffic.beats:
        assert beat.first == (not words)
        words.append((beat.word, {k for k in range(regions.lanes) if not beat.mask >> k & 1}))
        if beat.last:
            # A row in which nothing is seen is one word.
            words = [] if not words[0][1] and len(words) == 1 else words
            found.append((words, bool(beat.row.mark), bool(beat.row.set_end)))
            words = []
    for row, (number, (got, wanted)) in enumerate(zip(
            [i for i, packet in enumerate(packets) for _ in range(packet["count"])],
            zip(found, want, strict=True), strict=True)):
        assert _trimmed(got) == _trimmed(wanted), (row, packets[number])


def _trimmed(row):
    """The row without the words at its end of which nothing is seen."""
    words, *rest = row
    words = list(words)
    while words and not words[-1][1]:
        words.pop()
    return words, *rest


def test_failed_packet():
    """A row of one masked word, marked."""
    regions = CASES["sinks"]
    config = unit("attention")(dim=1, io_lanes=1, lanes=4)
    traffic = exchange(Visible(config, regions), {
        "i": [packet_of(regions, 9, 8, 2, failed=1)],
        "query": [{"elements": [0], "last": last} for last in (0, 1)]}, 2)
    assert [(beat.mask, beat.last, beat.row.mark) for beat in traffic.beats] == [(15, 1, 1)] * 2


@pytest.mark.parametrize("gaps, stalls", [(0.4, 0), (0, 0.4)])
def test_packets_of_other_numbers_of_queries(gaps, stalls):
    """Queries that do not come leave marked rows, those that are too many go; the next is right."""
    regions = CASES["all, lanes"]
    config = unit("attention")(dim=1, io_lanes=1, lanes=4)
    numbers = [2, 5, 1, 1, 3]
    queries = [{"elements": [number], "last": place == count - 1}
               for number, count in enumerate(numbers) for place in range(count)]
    traffic = exchange(Visible(config, regions), {
        "i": [packet_of(regions, 9, 8, 3) for _ in range(3)] + [packet_of(regions, 3, 2, 1)]
             + [packet_of(regions, 9, 8, 3)],
        "query": queries}, 13, gaps={"query": gaps}, stalls=stalls)
    rows = [beat for beat in traffic.beats if beat.first]
    # Of the third packet, whose only query is its last, two rows fail.
    assert [beat.row.mark for beat in rows] == [0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0]
    assert [beat.query[0] for beat in rows if not beat.row.mark] == [
        0, 0, 1, 1, 1, 2, 3, 4, 4, 4]

"""What queries see: from packets of queries to the words of the keys of each."""

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...stream.register_slice import RegisterSlice
from .layouts import PacketLayout
from .positions import position_shape

__all__ = ["RowLayout", "VisibleRows"]


class RowLayout(data.StructLayout):
    """The keys that one query sees: words of sinks, then words of the ring.

    Parameters
    ----------
    regions : Regions
        Memory that the set is in.

    Members
    -------
    set : range(sets)
        Number of the set.
    base : range(sets * words)
        First word of its region.
    end : position_shape(regions)
        End of the positions that the query sees.
    sinks : unsigned(1)
        The row has words of sinks: all of them.
    sink_first, sink_last : range(sink_keys + 1)
        The window from one to the other position, as far as it is in these words.
    ring : unsigned(1)
        The row has words of the ring.
    word : range(ring_words)
        First of them.
    words : range(ring_words + 1)
        Their number, less 1.
    first, last : range(lanes)
        First lane of the first word, last lane of the last word that the query sees.
    failed : unsigned(1)
        There is nothing to answer from, or a key is gone.
    final : unsigned(1)
        The query is the last one of its packet.
    """

    def __init__(self, regions):
        super().__init__({
            "set": range(regions.sets), "base": range(regions.sets * regions.words),
            "end": position_shape(regions), "sinks": unsigned(1),
            "sink_first": range(regions.sink_keys + 1), "sink_last": range(regions.sink_keys + 1),
            "ring": unsigned(1), "word": range(regions.ring_words),
            "words": range(regions.ring_words + 1), "first": range(regions.lanes),
            "last": range(regions.lanes), "failed": unsigned(1), "final": unsigned(1)})


class VisibleRows(wiring.Component):
    """The rows of keys of the queries in packets, one row a query.

    The key at position ``j`` is visible to the query at ``p`` iff ``j <= p`` (with ``causal``) and
    ``p - j < window`` or ``j < sinks``. The position of a query is the one nearest to the number of
    keys, modulo ``2**position_bits``. A query without a visible key has a row without words; one
    with a visible key that the ring has no longer fails. Latency 9 cycles from a packet to its
    first row, throughput one row per cycle but for one cycle a packet. Empty after reset.

    Parameters
    ----------
    regions : Regions
        Memory of the sets, window and sinks.

    Members
    -------
    i : In(stream.Signature(PacketLayout(regions)))
        Packets.
    o : Out(stream.Signature(RowLayout(regions)))
        Rows.
    """

    def __init__(self, regions):
        self.regions = regions
        super().__init__({"i": In(stream.Signature(PacketLayout(regions))),
                          "o": Out(stream.Signature(RowLayout(regions)))})

    def elaborate(self, platform):
        m = Module()
        bits = self.regions.position_bits
        packet, active = Signal(PacketLayout(self.regions)), Signal()
        place = Signal(bits)
        take, final = Signal(), Signal()
        m.d.comb += [self.i.ready.eq(~active), final.eq(packet.count == 1)]
        with m.If(self.i.ready & self.i.valid):
            m.d.sync += [active.eq(1), packet.eq(self.i.payload), place.eq(self.i.payload.offset)]
        with m.Elif(take):
            m.d.sync += [place.eq(place + 1), packet.count.eq(packet.count - 1),
                         active.eq(~final)]

        # Stages of one addition each, with what the ones behind it read.
        ready, valid, stage = take, active, {
            "packet": packet, "final": final,
            "distance": (place - packet.keys[:bits])[:bits].as_signed()}
        for number, step in enumerate((self._positions, self._window, self._start, self._parts,
                                       self._gone, self._addresses, self._wrapped), 1):
            ready, valid, stage = _register(m, ready, valid, stage, f"stage_{number}")
            stage = step(stage)
        # What waits for a row behind is no path to the registers before.
        m.submodules.row = row = RegisterSlice(RowLayout(self.regions))
        m.d.comb += [row.i.valid.eq(valid), ready.eq(valid & row.i.ready)]
        m.d.comb += [row.i.payload[name].eq(stage[name])
                     for name in RowLayout(self.regions).members]
        wiring.connect(m, row.o, wiring.flipped(self.o))
        return m

    def _positions(self, stage):
        """Position of the query, and last visible one, both signed."""
        keys, distance = stage["packet"].keys, stage["distance"]
        # Positions are counted from the next key, so the last key's is -1.
        last = Mux(distance < 0, distance, -1) if self.regions.causal else Const(-1, signed(2))
        place = keys + distance if self.regions.window else Const(0)
        return {**_shared(stage), "place": place, "high": keys + last}

    def _window(self, stage):
        """First position of the window."""
        low = Const(0)
        if self.regions.window:
            low = stage["place"] - (self.regions.window - 1)
            low = Mux(low < 0, 0, low)
        return {**_shared(stage), "low": low, "high": stage["high"]}

    def _start(self, stage):
        """First position of the ring that the window may have, and whether the window is empty."""
        first, low, high = self.regions.sink_keys, stage["low"], stage["high"]
        return {
            **_shared(stage), "high": high,
            "start": Mux(low < first, first, low) if first else low,
            "sinks": (first > 0) & (high >= 0), "empty": low > high if first else Const(0),
            "sink_first": _at_most(low, first), "sink_last": _at_most(high, first),
        }

    def _parts(self, stage):
        """Which words the row has, and the end of what is visible."""
        regions, packet = self.regions, stage["packet"]
        start, high, sinks = stage["start"], stage["high"], stage["sinks"]
        bits = regions.position_bits
        ring = high >= start
        # What is visible of the words of sinks ends with the window, or with the sinks.
        last = stage["sink_last"]
        if regions.sinks:
            most = regions.sinks - 1
            last = Mux(stage["empty"] & (last > most), most, last)
        end = Mux(ring, high, last) + 1
        end = Mux(ring | sinks, end, 0)
        return {
            **_kept(stage, "sink_first", "sink_last", "sinks"), "ring": ring,
            "end": Cat(end[:bits], packet.keys[bits] & ring), "behind": packet.keys - start,
            "start": start[:bits], "high": high[:bits],
        }

    def _gone(self, stage):
        """Whether one of the row's keys is gone."""
        packet, ring = stage["packet"], stage["ring"]
        gone = ring & (stage["behind"] > packet.held) if self.regions.ring else Const(0)
        failed = packet.failed | gone
        return {**_kept(stage, "sink_first", "sink_last", "start", "high", "end"),
                "failed": failed, "sinks": stage["sinks"] & ~failed, "ring": ring & ~failed}

    def _addresses(self, stage):
        """Words of the ring, modulo its length, and lanes."""
        packet, start, high = stage["packet"], stage["start"], stage["high"]
        bits, lane = self.regions.position_bits, (self.regions.lanes - 1).bit_length()

        def between(one, other):
            return (one[lane:bits] - other[lane:bits])[:bits - lane]

        return {
            **_kept(stage, "sink_first", "sink_last", "end", "sinks", "ring", "failed"),
            "back": between(packet.keys, start)[:len(packet.word) + 1],
            "words": between(high, start), "first": start[:lane], "last": high[:lane],
        }

    def _wrapped(self, stage):
        """Address of the first word of the ring."""
        packet, ring = stage["packet"], self.regions.ring_words
        word = packet.word - stage["back"]
        return {**{name: value for name, value in stage.items() if name not in ("packet", "back")},
                "set": packet.set, "base": packet.base, "word": Mux(word < 0, word + ring, word)}


def _shared(stage):
    """What every stage hands on."""
    return {"packet": stage["packet"], "final": stage["final"]}


def _kept(stage, *names):
    """What a stage hands on as it is."""
    return {**_shared(stage), **{name: stage[name] for name in names}}


def _register(m, ready, valid, stage, name):
    """Pipeline register behind ``stage``: its ready, its valid and what it holds."""
    full, onward = Signal(name=f"{name}_full"), Signal(name=f"{name}_ready")
    m.d.comb += ready.eq(valid & (~full | onward))
    held = {}
    with m.If(~full | onward):
        m.d.sync += full.eq(valid)
        for key, value in stage.items():
            held[key] = Signal.like(value, name=f"{name}_{key}", reset_less=True)
            m.d.sync += held[key].eq(value)
    return onward, full, held


def _at_most(value, limit):
    """``value``, of which what is below 0 is not asked for, saturated."""
    return Mux(value > limit, limit, value)[:max(limit.bit_length(), 1)]

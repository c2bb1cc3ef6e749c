"""State of the sets, and the commands that change it and ask for it."""

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.memory import ram
from .layouts import COMMAND, CommandLayout, LoadLayout, Operation, PacketLayout
from .positions import advanced, position_shape, reached

__all__ = ["CommandSequencer", "StateLayout"]

# Cycles from a set's state to what a command makes of it, less one.
WEIGHING = 4


class StateLayout(data.StructLayout):
    """State of a set.

    Parameters
    ----------
    regions : Regions
        Memory that the set is in.
    ticket_bits : int
        Width of the numbers of packets.

    Members
    -------
    keys : position_shape(regions)
        Number of keys that were accepted, so the position of the next one.
    held : range(ring_keys + 1)
        Keys that the ring holds.
    word : range(ring_words)
        Word of the ring that the next key goes to.
    refused : unsigned(1)
        An append was refused.
    truncated : unsigned(1)
        Keys went, and none has come since.
    aborted : unsigned(1)
        Values that had not come went as well.
    ticket : unsigned(ticket_bits)
        Number of the last packet of queries.
    """

    def __init__(self, regions, ticket_bits):
        super().__init__({
            "keys": position_shape(regions), "held": range(regions.ring_keys + 1),
            "word": range(regions.ring_words), "refused": unsigned(1), "truncated": unsigned(1),
            "aborted": unsigned(1), "ticket": unsigned(ticket_bits)})


class CommandSequencer(wiring.Component):
    """Executes commands in their order: what an append loads, and what queries find.

    Queries that were accepted before an append or a truncation find what was there before. An
    append whose keys would take the place of keys that queries on their way may see waits for these
    queries; the first one after a truncation waits for the loads before it as well. An append
    beyond the capacity is refused: its vectors are swallowed, and the set's queries fail until it
    is truncated.

    A query takes 4 cycles, other commands 9, if they need not wait. Sets are empty after reset,
    which takes a further cycle a set.

    Parameters
    ----------
    regions : Regions
        Memory of the sets.
    heads : int
        Number of query heads.
    loads_heads : bool
        Whether heads have parameters, which come by a command.

    Members
    -------
    i : In(stream.Signature(CommandLayout()))
        Commands.
    keys : Out(stream.Signature(LoadLayout(regions)))
        Loads of keys.
    values : Out(stream.Signature(LoadLayout(regions)))
        Loads of values.
    packets : Out(stream.Signature(PacketLayout(regions)))
        Packets of queries.
    head : Out(range(heads))
        Head of the packet, or of the parameters.
    known : Out(1)
        The head is there.
    load : Out(1)
        Parameters of that head are asked for.
    loaded : In(1)
        They have come.
    done : In(1)
        Pulses when all that a packet needs was read.
    idle : In(1)
        No load waits or runs.
    waiting : In(1)
        A load has not started.
    loading : In(range(sets))
        Set whose values are loaded.
    limit : Out(position_shape(regions))
        Keys of that set. Combinational.
    asking : In(range(sets))
        Set of the next query.
    left : Out(position_shape(regions))
        Keys of that set at present. Combinational.
    aborted : Out(1)
        Values of that set went before they had come. Combinational.
    cut : Out(1)
        The same of the set ``loading``. Combinational.
    refused : Out(1)
        Pulses when an append is refused.
    unknown : Out(1)
        Pulses when a command names a set or a head that is not there.
    """

    #: Packets on their way at most, and one.
    PACKETS = 32
    #: Width of the number of a packet: twice as many are told apart as are on their way.
    TICKET_BITS = 6

    def __init__(self, regions, heads=1, loads_heads=False):
        self.regions = regions
        self.heads = heads
        self.loads_heads = loads_heads
        load = stream.Signature(LoadLayout(regions))
        super().__init__({
            "i": In(stream.Signature(CommandLayout())), "keys": Out(load), "values": Out(load),
            "packets": Out(stream.Signature(PacketLayout(regions))), "head": Out(range(heads)),
            "known": Out(1), "load": Out(1), "loaded": In(1),
            "done": In(1), "idle": In(1), "waiting": In(1),
            "loading": In(range(regions.sets)), "limit": Out(position_shape(regions)),
            "asking": In(range(regions.sets)), "left": Out(position_shape(regions)),
            "aborted": Out(1), "cut": Out(1), "refused": Out(1), "unknown": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        regions = self.regions
        layout = StateLayout(regions, self.TICKET_BITS)
        m.submodules.states = states = ram(layout, regions.sets, "distributed")
        write = states.write_port()
        read, limit, left = (states.read_port(domain="comb") for _ in range(3))
        m.d.comb += [
            limit.addr.eq(self.loading), self.limit.eq(limit.data.keys),
            left.addr.eq(self.asking), self.left.eq(left.data.keys),
            self.aborted.eq(left.data.aborted), self.cut.eq(limit.data.aborted),
        ]

        # Command, then the state that it finds, then the numbers that follow.
        command, state, new = Signal(COMMAND), Signal(layout), Signal(layout)
        base, there, known = Signal(range(regions.sets * regions.words)), Signal(), self.known
        clearing, weighing = Signal(range(regions.sets)), Signal(range(WEIGHING + 1))
        m.d.comb += [read.addr.eq(command.set), write.addr.eq(command.set), write.data.eq(new)]

        issued, done = Signal(self.TICKET_BITS), Signal(self.TICKET_BITS)
        most = self.PACKETS - 1
        under_way, last = Signal(self.TICKET_BITS), Signal(self.TICKET_BITS)
        full, busy, some = Signal(), Signal(), Signal()
        m.d.comb += [under_way.eq(issued - done), last.eq(issued - state.ticket),
                     busy.eq(last < under_way)]
        with m.If(self.done):
            m.d.sync += done.eq(done + 1)

        count = Mux(command.operation == Operation.FREE, 0, command.count)
        grown, fits, wraps = self._append(m, state, count)
        cut, goes = self._truncate(m, state, count)
        self._outputs(m, command, state, base, there & known, there & fits)
        # A cycle late, which is early enough: only commands make them rise, cycles before.
        hold = Signal()
        m.d.sync += [
            full.eq(under_way == most), some.eq(count.any()),
            hold.eq((busy & (state.truncated | wraps)) | (state.truncated & ~self.idle)),
        ]
        with m.FSM():
            with m.State("clear"):
                cleared = layout.const({"truncated": 1})
                m.d.comb += [write.addr.eq(clearing), write.data.eq(cleared), write.en.eq(1)]
                m.d.sync += clearing.eq(clearing + 1)
                with m.If(clearing == regions.sets - 1):
                    m.next = "take"
            with m.State("take"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += command.eq(self.i.payload.data)
                with m.If(self.i.valid):
                    m.next = "read"
            with m.State("read"):
                m.d.sync += [state.eq(read.data), base.eq(command.set * regions.words),
                             there.eq(command.set < regions.sets),
                             known.eq(command.head < self.heads)]
                with m.Switch(command.operation):
                    with m.Case(Operation.QUERY):
                        m.next = "query"
                    with m.Case(Operation.HEAD):
                        m.next = "head"
                    with m.Default():
                        m.d.sync += weighing.eq(WEIGHING)
                        m.next = "weigh"
            with m.State("weigh"):
                m.d.sync += weighing.eq(weighing - 1)
                with m.If(weighing == 0):
                    with m.If(command.operation == Operation.APPEND):
                        m.next = "append"
                    with m.Else():
                        m.next = "truncate"
            with m.State("query"):
                m.d.comb += [new.eq(state), new.ticket.eq(issued + 1),
                             self.packets.valid.eq(some & ~full)]
                with m.If(~some | (self.packets.valid & self.packets.ready)):
                    m.d.comb += self.unknown.eq(~there | ~known)
                    m.next = "take"
                with m.If(self.packets.valid & self.packets.ready):
                    m.d.comb += write.en.eq(there)
                    m.d.sync += issued.eq(issued + 1)
            with m.State("append"):
                # Both loads go in one cycle.
                go = some & ~(there & fits & hold)
                m.d.comb += [
                    self.keys.valid.eq(go & self.values.ready),
                    self.values.valid.eq(go & self.keys.ready),
                    new.eq(Mux(fits, grown, state)), new.refused.eq(state.refused | ~fits),
                ]
                with m.If(~some):
                    m.next = "take"
                with m.Elif(self.keys.valid & self.keys.ready):
                    m.d.comb += [write.en.eq(there), self.unknown.eq(~there),
                                 self.refused.eq(there & ~fits)]
                    m.next = "take"
                    with m.If(there & fits & state.truncated):
                        m.next = "start"
            with m.State("start"):
                # Queries that follow must not find what had come before the truncation.
                with m.If(~self.waiting):
                    m.next = "take"
            with m.State("head"):
                if self.loads_heads:
                    m.d.comb += self.load.eq(1)
                    with m.If(self.loaded):
                        m.d.comb += self.unknown.eq(~known)
                        m.next = "take"
                else:
                    m.d.comb += self.unknown.eq(1)
                    m.next = "take"
            with m.State("truncate"):
                m.d.comb += [new.eq(Mux(goes, cut, state)), new.refused.eq(0),
                             new.aborted.eq(state.aborted | (goes & command.abort)),
                             write.en.eq(there), self.unknown.eq(~there)]
                m.next = "take"
        return m

    def _outputs(self, m, command, state, base, there, stored):
        """Payloads of the loads and of the packets."""
        regions = self.regions
        word = Mux(_beyond(state.keys, regions), state.word + regions.sink_words,
                   state.keys >> _lane_bits(regions))
        for load in self.keys.payload, self.values.payload:
            m.d.comb += [
                load.set.eq(command.set), load.base.eq(base), load.word.eq(word),
                load.position.eq(state.keys), load.count.eq(command.count), load.drop.eq(~stored),
            ]
        packet = self.packets.payload
        m.d.comb += [
            packet.set.eq(Mux(there, command.set, 0)), packet.base.eq(base),
            packet.keys.eq(state.keys), packet.held.eq(state.held), packet.word.eq(state.word),
            packet.count.eq(command.count), packet.offset.eq(command.offset),
            packet.failed.eq(~there | state.refused | ~state.keys.any()),
            self.head.eq(command.head),
        ]

    def _append(self, m, state, count):
        """State with ``count`` keys more, whether they fit, and whether others make room.

        :data:`WEIGHING` cycles after the state and the count.
        """
        regions, bits = self.regions, _lane_bits(self.regions)
        grown, fits, wraps = Signal.like(state), Signal(), Signal()
        most = regions.ring_keys
        room = regions.capacity - state.keys[:-1]
        # Keys that are behind the positions which stay for ever.
        first, before = _beyond(state.keys, regions), Signal(range(regions.sink_keys + 1))
        in_ring, added = Signal(range(most + 1)), Signal(range(2 * most + 1))
        lane, words = Signal(bits), Signal(range(regions.ring_words + 1))
        word = Signal(range(2 * regions.ring_words + 1))
        keys = Signal.like(state.keys)
        m.d.sync += [
            before.eq(Mux(first, 0, regions.sink_keys - state.keys[:-1])),
            # The first of them may be within a word.
            lane.eq(Mux(first, state.keys[:bits], 0)),
            fits.eq(count <= (most if regions.ring else room)),
            in_ring.eq(Mux(count > before, count - before, 0)),
            added.eq(state.held + in_ring), words.eq((lane + in_ring) >> bits),
            wraps.eq(added > most), word.eq(state.word + words),
            keys.eq(advanced(state.keys, count)),
        ]
        m.d.comb += [
            grown.eq(state), grown.keys.eq(keys), grown.truncated.eq(0), grown.aborted.eq(0),
            grown.held.eq(Mux(wraps, most, added)),
            grown.word.eq(_wrapped(word, regions.ring_words)),
        ]
        return grown, fits, wraps

    def _truncate(self, m, state, count):
        """State with the first ``count`` keys, and whether it differs, as late."""
        regions, bits = self.regions, _lane_bits(self.regions)
        cut, goes = Signal.like(state), Signal()
        keys, free = Signal.like(state.keys), Signal()
        lost, stays = Signal(regions.position_bits), Signal()
        words = Signal(regions.position_bits - bits)
        back = Signal(signed(len(state.word) + 2))
        m.d.sync += [
            free.eq(~count.any()),
            keys.eq(Cat(count[:regions.position_bits], state.keys[-1] & count.any())),
            goes.eq(free | Mux(state.keys[-1], ~reached(keys, state.keys), count < state.keys)),
            lost.eq(state.keys[:-1] - count), stays.eq(~free & (lost < state.held)),
            # Whole words that go, both ends counted from position 0 modulo 2**position_bits.
            words.eq(state.keys[bits:-1] - count[bits:regions.position_bits]),
            back.eq(state.word - words[:len(state.word) + 1]),
        ]
        m.d.comb += [
            cut.eq(state), cut.keys.eq(keys), cut.truncated.eq(1),
            cut.held.eq(Mux(stays, state.held - lost, 0)),
            cut.word.eq(Mux(stays, Mux(back < 0, back + regions.ring_words, back), 0)),
        ]
        return cut, goes


def _beyond(keys, regions):
    """Whether the next key's position is in the ring."""
    return keys[-1] | (keys >= regions.sink_keys) if regions.sink_keys else Const(1)


def _wrapped(word, words):
    return Mux(word >= words, word - words, word)


def _lane_bits(regions):
    return (regions.lanes - 1).bit_length()

"""Columns of K, sorted by value: the order in which a greedy search takes their elements."""

import enum

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..pipeline import delays
from .choose import choose
from .vector_store import BLOCK_WORDS


__all__ = ["ColumnSort"]


class Phase(enum.IntEnum):
    """What the tables are used for."""

    CLEAR = 0
    COUNT = 1
    SUM = 2
    PLACE = 3


class ColumnSort(wiring.Component):
    """Sorts the columns of two sets of keys, and holds them.

    Elements of a column are in ascending order, equal ones in the order of their keys; keys that
    take no part are left out. A counting sort, stable by itself, of ``io_lanes`` columns at a time:
    how often each value occurs, sums of that, which are the places where the elements go. The
    columns of a lane lie one behind the other, so that the sums run through all of them.

    A set takes ``keys * vector_beats`` cycles to count, which keep up with its arrival,
    ``2**bits * vector_beats`` to sum, ``keys * vector_beats`` to place, and
    ``2**bits * vector_beats`` to clear the tables before the next one (:meth:`cycles_of`).

    Besides the sorted columns there is a copy of the ``head`` least and the ``head`` largest
    elements of each, which are read ``io_lanes`` columns at a time.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.
    head : int
        Elements at each end of a column that are copied.

    Members
    -------
    finished : In(1)
        All keys of a set are there.
    place : In
        Number of keys that are there of the set that comes, or fewer.
    ends : In
        Last key of each of the two sets.
    key, bank : Out
        Key to read, and of which of the two sets.
    vector, mask : In
        What was read, a cycle later.
    done : Out(1)
        A set is sorted, from the next cycle on.
    count : Out
        Elements of each column of the two sets.
    first : Out
        First key that takes part in each of the two sets; key 0 if none does.
    head_bank, head_beat : In
        Columns whose ends are to be read.
    low, high : Out
        The ends of these, a cycle later: ``head`` elements for each lane, the outermost first.
        Only the first ``count`` of them count.
    address, lane : In
        Elements to read, one at each of two ports; address 0 is the first element of the lane's
        first column of set 0, and address :attr:`words` that of set 1.
    o : Out
        What was read, a cycle later: ``value`` and ``key``.
    """

    def __init__(self, config, head):
        self.config = config
        self.head = head
        self.lanes, self.beats = config.io_lanes, config.vector_beats
        #: Elements of a lane in the longest set.
        self.words = self.beats * config.max_keys
        self.element = data.StructLayout({"value": signed(config.bits),
                                          "key": range(config.max_keys)})
        heads = data.ArrayLayout(data.ArrayLayout(self.element, head), self.lanes)
        vector = data.ArrayLayout(signed(config.bits), config.dim)
        super().__init__({
            "finished": In(1), "place": In(range(config.max_keys)),
            "ends": In(range(config.max_keys)).array(2),
            "key": Out(range(config.max_keys)), "bank": Out(1),
            "vector": In(vector), "mask": In(1),
            "done": Out(1),
            "count": Out(range(config.max_keys + 1)).array(2),
            "first": Out(range(config.max_keys)).array(2),
            "head_bank": In(1), "head_beat": In(range(self.beats)),
            "low": Out(heads), "high": Out(heads),
            "address": In(range(2 * self.words)).array(2),
            "lane": In(range(self.lanes)).array(2),
            "o": Out(self.element).array(2),
        })

    @staticmethod
    def cycles_of(config, keys):
        """Cycles from one set sorted to the next, at most."""
        return config.vector_beats * (2 * keys + (2 << config.bits)) + 8

    def elaborate(self, platform):
        m = Module()
        config = self.config
        phase, beat, work, first, last, code = self._sequence(m)

        # Stages: 1 the vector is read, 2 so is the table, 4 it is written, 5 the element is, 6 so
        # is its copy.
        phases = delays(m, phase, 4, "phase")
        works = delays(m, work, 4, "work")
        firsts = delays(m, first, 4, "first")
        codes = delays(m, code, 2, "code")
        beats = delays(m, beat, 6, "beat")
        banks = delays(m, self.bank, 6, "bank")
        keys = delays(m, self.key, 6, "key")
        m.d.comb += self.done.eq(delays(m, last & (phase == Phase.PLACE), 6, "done")[-1])
        masked = Signal()
        m.d.sync += masked.eq(self.mask)
        live = delays(m, works[2] & ~masked, 2, "live")[2]
        self._statistics(m, works[2] & (phases[2] == Phase.COUNT), firsts[2],
                         ~masked & (beats[2] == 0), banks[2], keys[2])

        base = Mux(banks[4], self.words, 0)
        # First place of the columns at hand, and the one behind their last.
        start, end = Signal(range(2 * self.words)), Signal(range(2 * self.words + 1))
        number = Mux(banks[4], self.count[1], self.count[0])
        following = Signal.like(start)
        m.d.comb += following.eq(Mux(beats[4] == 0, base, start + number))
        with m.If(works[4] & (phases[4] == Phase.PLACE)):
            m.d.sync += [start.eq(following), end.eq(following + number)]

        by_value = (phases[2] == Phase.CLEAR) | (phases[2] == Phase.SUM)
        placed = Signal()
        m.d.sync += placed.eq(live & (phases[4] == Phase.PLACE))
        copied = delays(m, placed, 1, "copied")[1]
        read = []
        for lane in range(self.lanes):
            element = Signal(signed(config.bits), name=f"element_{lane}")
            m.d.sync += element.eq(choose(
                [self.vector[j] for j in range(lane, config.dim, self.lanes)], beats[1]))
            # Half the range on top makes the order of the values that of the codes.
            ordered = Cat(element[:-1], ~element[-1])
            address = Cat(Mux(by_value, codes[2], ordered), beats[2][:len(beat)])
            place = Signal(range(2 * self.words), name=f"place_{lane}")
            m.d.sync += place.eq(self._table(m, lane, address, phases[4], works[4], live,
                                             firsts[4], base))
            value = delays(m, element, 4, f"value_{lane}")

            m.submodules[f"column_{lane}"] = column = memory.Memory(
                shape=self.element, depth=2 * self.words, init=[],
                attrs={"ram_style": self._style(2 * self.words)})
            write = column.write_port()
            m.d.comb += [write.addr.eq(place), write.en.eq(placed),
                         write.data.value.eq(value[3]), write.data.key.eq(keys[5])]
            ports = [column.read_port() for _ in range(2)]
            m.d.comb += [port.addr.eq(address) for port, address in
                         zip(ports, self.address, strict=True)]
            read.append([port.data for port in ports])

            for name, ends, offset in (("low", self.low, place - start),
                                       ("high", self.high, end - 1 - place)):
                outside = Signal(range(2 * self.words), name=f"{name}_offset_{lane}")
                m.d.sync += outside.eq(offset)
                for k in range(self.head):
                    m.submodules[f"{name}_{lane}_{k}"] = copy = memory.Memory(
                        shape=self.element, depth=1 << (1 + len(beat)), init=[],
                        attrs={"ram_style": "distributed"})
                    write, port = copy.write_port(), copy.read_port()
                    m.d.comb += [
                        write.addr.eq(Cat(beats[6], banks[6])),
                        write.en.eq(copied & (outside == k)),
                        write.data.value.eq(value[4]), write.data.key.eq(keys[6]),
                        port.addr.eq(Cat(self.head_beat, self.head_bank)),
                        ends[lane][k].eq(port.data),
                    ]
        for side in range(2):
            chosen = Signal.like(self.lane[side], name=f"lane_{side}")
            m.d.sync += chosen.eq(self.lane[side])
            m.d.comb += self.o[side].eq(choose([ports[side] for ports in read], chosen))
        return m

    def _style(self, depth):
        """Kind of memory that is asked for."""
        if self.config.memory != "auto":
            return self.config.memory
        return "block" if depth > BLOCK_WORDS else "distributed"

    def _sequence(self, m):
        """Steps of the sort: phase, beat, whether there is one, the phase's first, last, code."""
        config = self.config
        phase = Signal(range(len(Phase)))
        beat, code = Signal(range(self.beats)), Signal(config.bits)
        # Sets that are there and not sorted.
        pending = Signal(range(3))
        work, first, last, placed = Signal(), Signal(init=1), Signal(), Signal()
        by_key = (phase == Phase.COUNT) | (phase == Phase.PLACE)
        last_beat = beat == self.beats - 1
        last_key = (pending != 0) & (self.key == Mux(self.bank, self.ends[1], self.ends[0]))
        m.d.comb += [
            work.eq(~by_key | (pending != 0) | (self.key < self.place)),
            last.eq(work & last_beat & Mux(by_key, last_key, code.all())),
            placed.eq(last & (phase == Phase.PLACE)),
        ]
        m.d.sync += [pending.eq(pending + self.finished - placed), self.bank.eq(self.bank ^ placed)]
        with m.If(by_key & work):
            m.d.sync += beat.eq(Mux(last_beat, 0, beat + 1))
            with m.If(last_beat):
                m.d.sync += self.key.eq(Mux(last_key, 0, self.key + 1))
        with m.Elif(work):
            m.d.sync += code.eq(code + 1)
            with m.If(code.all()):
                m.d.sync += beat.eq(Mux(last_beat, 0, beat + 1))
        with m.If(work):
            m.d.sync += first.eq(last)
        with m.If(last):
            m.d.sync += phase.eq(phase + 1)
        return phase, beat, work, first & work, last, code

    def _statistics(self, m, counts, first, live, bank, key):
        """Number of keys that take part, and the first of them."""
        for number in range(2):
            count, earliest = self.count[number], self.first[number]
            with m.If(counts & (bank == number)):
                m.d.sync += count.eq(Mux(first, 0, count) + live)
                # Key 0 stands for none.
                with m.If(first | ((count == 0) & live)):
                    m.d.sync += earliest.eq(key)

    def _table(self, m, lane, address, phase, work, live, first, base):
        """Table of the columns of a lane; returns the place of the element of stage 4."""
        depth = 1 << len(address)
        shape = range(2 * self.words + 1)
        m.submodules[f"table_{lane}"] = table = memory.Memory(
            shape=shape, depth=depth, init=[], attrs={"ram_style": self._style(depth)})
        write = table.write_port()
        read = table.read_port()
        addresses = [address, *(Signal.like(address, name=f"address_{lane}_{k}") for k in (1, 2))]
        found, running, written = (Signal(shape, name=f"{name}_{lane}")
                                   for name in ("found", "running", "written"))
        # What is written while a word of the same address is read, or a cycle later, is forwarded.
        late, again = Signal(name=f"late_{lane}"), Signal(name=f"again_{lane}")
        old = Signal(shape, name=f"old_{lane}")
        now = Mux(first, base, running)
        m.d.sync += [addresses[1].eq(address), addresses[2].eq(addresses[1]),
                     found.eq(Mux(late, written, read.data)), written.eq(write.data),
                     late.eq((address == addresses[2]) & write.en),
                     again.eq((addresses[1] == addresses[2]) & write.en)]
        m.d.comb += [read.addr.eq(address), write.addr.eq(addresses[2]), write.en.eq(work),
                     old.eq(Mux(again, written, found))]
        with m.Switch(phase):
            with m.Case(Phase.CLEAR):
                m.d.comb += write.data.eq(0)
            with m.Case(Phase.SUM):
                m.d.comb += write.data.eq(now)
                with m.If(work):
                    m.d.sync += running.eq(now + old)
            with m.Default():
                m.d.comb += [write.data.eq(old + 1), write.en.eq(live)]
        return old

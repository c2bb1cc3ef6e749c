"""Sort of the columns of K by value."""

import enum

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.choose import choose
from ...blocks.memory import ram
from ...blocks.pipeline import delays
from ..layouts import PlaceLayout
from .sorted_columns import SortedColumns

__all__ = ["ColumnSort"]


class Phase(enum.IntEnum):
    """What the tables are used for."""

    CLEAR = 0
    COUNT = 1
    SUM = 2
    PLACE = 3


class ColumnSort(wiring.Component):
    """Sorts the columns of sets of keys, one set after the other.

    Elements of a column leave in ascending order, equal ones in the order of their keys; masked
    keys are left out. A counting sort, which is stable, of ``io_lanes`` columns at a time: a table
    counts the occurrences of each value, running sums of the counts are the places of the elements.
    The columns of a lane lie one behind the other, so that the sums run through all of them.

    A set takes ``keys * vector_beats`` cycles to count, in step with its arrival,
    ``2**bits * vector_beats`` to sum, ``keys * vector_beats`` to place, and
    ``2**bits * vector_beats`` to clear the tables before the next one (:meth:`cycles_of`).

    Parameters
    ----------
    config : AttentionConfig
        Configuration; ``n`` stands for ``max_keys``.

    Members
    -------
    finished : In(1)
        Pulses when all keys of a set are written.
    written : In(range(n))
        Number of keys of the arriving set that are written, or fewer.
    ends : In(range(n)).array(2)
        Last key of each of the two sets.
    count : In(range(n + 1)).array(2)
        Number of keys of each that take part, valid once all are written.
    place : Out(PlaceLayout(n, lanes))
        Place of the key to read.
    bank : Out(1)
        Which of the two sets it is of.
    vector : In(ArrayLayout(signed(bits), dim))
        Key that was read, a cycle later.
    mask : In(1)
        That key takes no part.
    write : Out(1)
        ``o`` is written.
    o : Out(SortedColumns.write_layout(config))
        Elements, for :class:`~rtl.attention.greedy.sorted_columns.SortedColumns`.
    done : Out(1)
        Pulses when a set is sorted; it can be read from the next cycle on.
    """

    def __init__(self, config):
        self.config = config
        self.lanes, self.beats = config.io_lanes, config.vector_beats
        self.words = config.column_words
        vector = data.ArrayLayout(signed(config.bits), config.dim)
        super().__init__({
            "finished": In(1), "written": In(range(config.max_keys)),
            "ends": In(range(config.max_keys)).array(2),
            "count": In(range(config.max_keys + 1)).array(2),
            "place": Out(PlaceLayout(config.max_keys, config.lanes)), "bank": Out(1),
            "vector": In(vector), "mask": In(1),
            "write": Out(1), "o": Out(SortedColumns.write_layout(config)),
            "done": Out(1),
        })

    @staticmethod
    def cycles_of(config, keys):
        """Cycles from one set sorted to the next, at most."""
        return config.vector_beats * (2 * keys + (2 << config.bits)) + 8

    def elaborate(self, platform):
        m = Module()
        config = self.config
        phase, key, beat, work, first, last, code = self._sequence(m)

        # Stages: 1 the vector is read, 2 so is the table, 4 it is written, 5 the element is.
        phases = delays(m, phase, 4, "phase")
        works = delays(m, work, 4, "work")
        firsts = delays(m, first, 4, "first")
        codes = delays(m, code, 2, "code")
        beats = delays(m, beat, 5, "beat")
        banks = delays(m, self.bank, 5, "bank")
        keys = delays(m, key, 5, "key")
        m.d.comb += self.done.eq(delays(m, last & (phase == Phase.PLACE), 6, "done")[-1])
        masked = Signal()
        m.d.sync += masked.eq(self.mask)
        live = delays(m, works[2] & ~masked, 2, "live")[2]

        base = Mux(banks[4], self.words, 0)
        # First place of the columns at hand, and the one behind their last.
        start, end = Signal.like(self.o.start), Signal.like(self.o.end)
        number = Mux(banks[4], self.count[1], self.count[0])
        following = Signal.like(start)
        m.d.comb += following.eq(Mux(beats[4] == 0, base, start + number))
        with m.If(works[4] & (phases[4] == Phase.PLACE)):
            m.d.sync += [start.eq(following), end.eq(following + number)]
        m.d.comb += [self.o.start.eq(start), self.o.end.eq(end), self.o.beat.eq(beats[5]),
                     self.o.bank.eq(banks[5])]
        m.d.sync += self.write.eq(live & (phases[4] == Phase.PLACE))

        by_value = (phases[2] == Phase.CLEAR) | (phases[2] == Phase.SUM)
        for lane, column in enumerate(self.o.columns):
            element = Signal(signed(config.bits), name=f"element_{lane}")
            m.d.sync += element.eq(choose(
                [self.vector[j] for j in range(lane, config.dim, self.lanes)], beats[1]))
            # Half the range on top makes the order of the values that of the codes.
            ordered = Cat(element[:-1], ~element[-1])
            address = Cat(Mux(by_value, codes[2], ordered), beats[2][:len(beat)])
            place = Signal.like(column.place, name=f"place_{lane}")
            m.d.sync += place.eq(self._table(m, lane, address, phases[4], works[4], live,
                                             firsts[4], base))
            m.d.comb += [column.place.eq(place), column.element.key.eq(keys[5]),
                         column.element.value.eq(delays(m, element, 3, f"value_{lane}")[3])]
        return m

    def _sequence(self, m):
        """Steps of the sort: phase, key, beat, whether there is one, first, last, code."""
        config = self.config
        phase = Signal(range(len(Phase)))
        key, beat = Signal(range(config.max_keys)), Signal(range(self.beats))
        code = Signal(config.bits)
        # Sets that are there and not sorted.
        pending = Signal(range(3))
        work, first, last, placed = Signal(), Signal(init=1), Signal(), Signal()
        by_key = (phase == Phase.COUNT) | (phase == Phase.PLACE)
        last_beat = beat == self.beats - 1
        last_key = (pending != 0) & (key == Mux(self.bank, self.ends[1], self.ends[0]))
        m.d.comb += [
            work.eq(~by_key | (pending != 0) | (key < self.written)),
            last.eq(work & last_beat & Mux(by_key, last_key, code.all())),
            placed.eq(last & (phase == Phase.PLACE)),
        ]
        m.d.sync += [pending.eq(pending + self.finished - placed), self.bank.eq(self.bank ^ placed)]
        with m.If(by_key & work):
            m.d.sync += beat.eq(Mux(last_beat, 0, beat + 1))
            with m.If(last_beat):
                m.d.sync += key.eq(Mux(last_key, 0, key + 1))
        with m.Elif(work):
            m.d.sync += code.eq(code + 1)
            with m.If(code.all()):
                m.d.sync += beat.eq(Mux(last_beat, 0, beat + 1))
        with m.If(work):
            m.d.sync += first.eq(last)
        with m.If(last):
            m.d.sync += phase.eq(phase + 1)
        self._follow(m, key, by_key & work & last_beat, last_key)
        return phase, key, beat, work, first & work, last, code

    def _follow(self, m, key, step, last_key):
        """Place of the key at hand."""
        lanes, place = self.config.lanes, self.place
        if lanes & (lanes - 1) == 0:
            bits = (lanes - 1).bit_length()
            m.d.comb += [place.lane.eq(key[:bits]), place.word.eq(key[bits:])]
            return
        with m.If(step):
            m.d.sync += place.lane.eq(place.lane + 1)
            with m.If(last_key):
                m.d.sync += place.eq(0)
            with m.Elif(place.lane == lanes - 1):
                m.d.sync += [place.lane.eq(0), place.word.eq(place.word + 1)]

    def _table(self, m, lane, address, phase, work, live, first, base):
        """Table of the columns of a lane; returns the place of the element of stage 4."""
        shape = range(2 * self.words + 1)
        m.submodules[f"table_{lane}"] = table = ram(shape, 1 << len(address),
                                                        self.config.memory)
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

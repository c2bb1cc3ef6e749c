"""Columns of K that come sorted."""

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.memory import ram
from ...blocks.pipeline import delays
from ..vector_beat import VectorLayout
from .sorted_columns import SortedColumns

__all__ = ["ColumnLoad"]

# Bits below the key's number in an element of the stream.
VALUE_BITS = 8


class ColumnLoad(wiring.Component):
    """Takes the sorted columns of sets of keys from a stream, one set after the other.

    Vector ``p`` of a set has the element at place ``p`` of each sorted column. There are as many
    vectors as keys that take part; if none does, one vector of any content, which is dropped. A
    set's columns are taken once its keys are complete.

    Elements are in ascending order, equal ones in the order of their keys. A set in another order,
    one of another number of vectors, one that ends within a vector, or one that names a key which
    it does not have, is :attr:`broken`.

    Throughput one beat per cycle (:meth:`cycles_of`).

    Parameters
    ----------
    config : AttentionConfig
        Configuration; ``n`` stands for ``max_keys``.

    Members
    -------
    i : In(stream.Signature(ColumnLoad.layout(config)))
        Elements: the value in bits 0 to 7, of which the lowest ``config.bits`` count, the key from
        bit 8 on.
    finished : In(1)
        Pulses when all keys of a set are written.
    ends : In(range(n)).array(2)
        Last key of each of the two sets.
    count : In(range(n + 1)).array(2)
        Number of keys of each that take part, valid once all are written.
    write : Out(1)
        ``o`` is written.
    o : Out(SortedColumns.write_layout(config))
        Elements, for :class:`~rtl.attention.greedy.sorted_columns.SortedColumns`.
    done : Out(1)
        Pulses when a set's columns are complete; they can be read from the next cycle on.
    broken : Out(1).array(2)
        The columns of each of the two sets are undefined.
    error : Out(1)
        Pulses when a set turns out to be broken.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "i": In(stream.Signature(self.layout(config))),
            "finished": In(1), "ends": In(range(config.max_keys)).array(2),
            "count": In(range(config.max_keys + 1)).array(2),
            "write": Out(1), "o": Out(SortedColumns.write_layout(config)),
            "done": Out(1), "broken": Out(1).array(2), "error": Out(1),
        })

    @staticmethod
    def layout(config):
        """Layout of a beat."""
        return VectorLayout(unsigned(VALUE_BITS + (config.max_keys - 1).bit_length()),
                            config.io_lanes)

    @staticmethod
    def cycles_of(config, keys):
        """Cycles from a set's keys to its columns, both without gaps."""
        return config.vector_beats * keys + 4

    def elaborate(self, platform):
        m = Module()
        config, beat = self.config, self.i.payload
        # Sets whose keys are there and whose columns are not.
        pending, bank = Signal(range(3)), Signal()
        transfer, over = Signal(), Signal()
        m.d.comb += [self.i.ready.eq(pending != 0), transfer.eq(self.i.valid & self.i.ready),
                     over.eq(transfer & beat.last)]
        m.d.sync += [pending.eq(pending + self.finished - over), bank.eq(bank ^ over)]

        part, place = Signal(range(config.vector_beats)), Signal(range(config.max_keys))
        number, end_key = (Mux(bank, pair[1], pair[0]) for pair in (self.count, self.ends))
        whole = part == config.vector_beats - 1
        final = (place + 1 == number) | (number == 0)
        with m.If(transfer):
            m.d.sync += part.eq(Mux(whole | beat.last, 0, part + 1))
            with m.If(beat.last):
                m.d.sync += place.eq(0)
            with m.Elif(whole):
                m.d.sync += place.eq(place + 1)

        # What comes behind a set that is broken would be written anywhere.
        bad, cut = Signal(), Signal()
        beyond, unordered = Signal(config.io_lanes), Signal(config.io_lanes)
        # The same part of the vector before: elements of the same columns.
        m.submodules.before = before = ram(beat.data.shape(), config.vector_beats, "distributed")
        store, fetch = before.write_port(), before.read_port(domain="comb")
        m.d.comb += [
            store.addr.eq(part), store.data.eq(beat.data), store.en.eq(transfer),
            fetch.addr.eq(part),
            bad.eq(transfer & ((beat.last != (whole & final))
                               | ((number != 0) & (beyond | unordered).any()))),
            self.error.eq(bad & ~cut),
        ]
        with m.If(over):
            m.d.sync += cut.eq(0)
            for k, broken in enumerate(self.broken):
                with m.If(bank == k):
                    m.d.sync += broken.eq(cut | bad)
        with m.Elif(bad):
            m.d.sync += cut.eq(1)

        # The columns of a lane lie one behind the other.
        start, here = Signal.like(self.o.start), Signal.like(self.o.start)
        m.d.comb += here.eq(Mux(part == 0, Mux(bank, config.column_words, 0), start))
        with m.If(transfer):
            m.d.sync += start.eq(here + number)
        m.d.sync += [self.write.eq(transfer & ~cut & (number != 0)), self.o.start.eq(here),
                     self.o.end.eq(here + number), self.o.beat.eq(part), self.o.bank.eq(bank)]
        for lane, column in enumerate(self.o.columns):
            element, key = column.element, beat.data[lane][VALUE_BITS:]
            m.d.comb += [
                beyond[lane].eq(key > end_key),
                unordered[lane].eq((place != 0) & (self._order(beat.data[lane])
                                                   <= self._order(fetch.data[lane])))]
            m.d.sync += [column.place.eq(here + place), element.key.eq(key),
                         element.value.eq(beat.data[lane][:config.bits])]
        m.d.comb += self.done.eq(delays(m, over, 2, "over")[-1])
        return m

    def _order(self, element):
        """Number that rises from element to element of a column: the value, then the key."""
        value = element[:self.config.bits]
        # The top bit of a sign is turned: values without one are in the same order.
        return Cat(element[VALUE_BITS:], value[:-1], ~value[-1])

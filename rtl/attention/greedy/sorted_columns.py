"""Columns of K in the order of their elements: where a greedy search finds its products."""

from amaranth import Cat, Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.choose import choose
from ...blocks.memory import ram
from ...blocks.pipeline import delays

__all__ = ["SortedColumns"]


class SortedColumns(wiring.Component):
    """Memory of the sorted columns of two sets of keys, ``io_lanes`` columns wide.

    The columns of a lane lie one behind the other, without a gap. A copy in LUT RAM has the
    ``head`` least and the ``head`` largest elements of each, read ``io_lanes`` columns at a time.
    Throughput one write, two reads of elements and one read of heads per cycle.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.
    head : int
        Elements at each end of a column that are copied.

    Members
    -------
    write : In(1)
        ``i`` is written: an element of each of ``io_lanes`` columns.
    i : In(write_layout(config))
        For each lane the ``element`` and its ``place``; of all of them the ``start`` of the columns
        and the ``end``, the place behind them; ``beat``, the columns' place in a vector; ``bank``,
        which of the two sets.
    address : In(range(2 * words)).array(2)
        Elements to read. Address 0 is the first element of the lane's first column of set 0,
        ``words`` that of set 1.
    lane : In(range(io_lanes)).array(2)
        Lanes of these elements.
    o : Out(element).array(2)
        Elements that were read, ``value`` and ``key``, two cycles later.
    head_bank : In(1)
        Set whose column ends are read.
    head_beat : In(range(vector_beats))
        Columns of which they are. A copy can be read two cycles after its element was written.
    low : Out(ArrayLayout(ArrayLayout(element, head), io_lanes))
        Least elements of these columns, a cycle later, the least first. Undefined beyond the
        elements that a column has.
    high : Out(ArrayLayout(ArrayLayout(element, head), io_lanes))
        Largest elements, the largest first, as ``low``.
    """

    def __init__(self, config, head):
        self.head = head
        self.lanes, self.beats = config.io_lanes, config.vector_beats
        self.words = config.column_words
        self._memory = config.memory
        #: Layout of an element.
        self.element = self.element_layout(config)
        heads = data.ArrayLayout(data.ArrayLayout(self.element, head), self.lanes)
        super().__init__({
            "write": In(1), "i": In(self.write_layout(config)),
            "address": In(range(2 * self.words)).array(2),
            "lane": In(range(self.lanes)).array(2),
            "o": Out(self.element).array(2),
            "head_bank": In(1), "head_beat": In(range(self.beats)),
            "low": Out(heads), "high": Out(heads),
        })

    @staticmethod
    def element_layout(config):
        """Layout of an element: its value, and the key that it is of."""
        return data.StructLayout({"value": signed(config.bits), "key": range(config.max_keys)})

    @classmethod
    def write_layout(cls, config):
        """Layout of what is written at a time."""
        places = range(2 * config.column_words)
        column = data.StructLayout({"element": cls.element_layout(config), "place": places})
        return data.StructLayout({
            "columns": data.ArrayLayout(column, config.io_lanes),
            "start": places, "end": range(places.stop + 1),
            "beat": range(config.vector_beats), "bank": 1})

    def elaborate(self, platform):
        m = Module()
        # Copies are made a cycle later.
        copied, beat = Signal(), Signal.like(self.i.beat)
        bank = Signal()
        m.d.sync += [copied.eq(self.write), beat.eq(self.i.beat), bank.eq(self.i.bank)]
        read = []
        for lane, column in enumerate(self.i.columns):
            m.submodules[f"column_{lane}"] = elements = ram(
                self.element, 2 * self.words, self._memory)
            write = elements.write_port()
            m.d.comb += [write.addr.eq(column.place), write.en.eq(self.write),
                         write.data.eq(column.element)]
            ports = [elements.read_port() for _ in range(2)]
            m.d.comb += [port.addr.eq(address) for port, address in
                         zip(ports, self.address, strict=True)]
            read.append([port.data for port in ports])

            element = Signal(self.element, name=f"element_{lane}")
            m.d.sync += element.eq(column.element)
            for name, ends, offset in (("low", self.low, column.place - self.i.start),
                                       ("high", self.high, self.i.end - 1 - column.place)):
                outside = Signal.like(column.place, name=f"{name}_offset_{lane}")
                m.d.sync += outside.eq(offset)
                for k in range(self.head):
                    m.submodules[f"{name}_{lane}_{k}"] = copy = ram(
                        self.element, 2 << len(beat), "distributed")
                    write, port = copy.write_port(), copy.read_port()
                    m.d.comb += [
                        write.addr.eq(Cat(beat, bank)),
                        write.en.eq(copied & (outside == k)), write.data.eq(element),
                        port.addr.eq(Cat(self.head_beat, self.head_bank)),
                        ends[lane][k].eq(port.data),
                    ]
        # A block RAM takes longer than anything else: one of them is chosen in the next cycle.
        for side, lane in enumerate(self.lane):
            words = []
            for number, ports in enumerate(read):
                word = Signal(self.element, name=f"word_{side}_{number}")
                m.d.sync += word.eq(ports[side])
                words.append(word)
            m.d.comb += self.o[side].eq(choose(words, delays(m, lane, 2, f"lane_{side}")[2]))
        return m

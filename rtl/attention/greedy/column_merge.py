"""Largest product of a query with sorted columns, one after the other: one side of the search."""

import functools
import itertools
import operator

from amaranth import Cat, Const, Module, Mux, Shape, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.choose import choose
from ...blocks.memory import ram
from ...blocks.pipeline import delays
from .sorted_queue import SortedQueue

__all__ = ["ColumnMerge"]


class ColumnMerge(wiring.Component):
    """Merges the columns of a query's products, largest first, one product per cycle.

    A column is a factor and the elements that it meets, in the order of their products; products
    below 0 saturate to 0, which ends the column. Each ``step`` takes the largest product of all
    columns, of equals the lowest column's, and that column's next product replaces it in the next
    cycle.

    Sorted shift registers (:class:`~rtl.attention.greedy.sorted_queue.SortedQueue`) hold the best
    product of each column, the largest at their head. The product that a column presents next
    stands in a register of its own first, and competes with the heads. LUT RAM holds the next
    :attr:`HEAD` products of each column; each one that is taken is replaced by one that is fetched
    from the sorted column and multiplied, which takes five cycles.

    While the columns of one query are merged, those of the next one are loaded and thereby sorted,
    ``lanes`` of them per cycle.

    Parameters
    ----------
    config : AttentionConfig
        Configuration; ``lanes`` stands for ``start_lanes``, ``n`` for ``max_keys``.
    element : ShapeLike
        An element of a sorted column.
    addresses : int
        Number of addresses of sorted elements.

    Members
    -------
    load : In(1)
        ``i`` holds columns.
    i : In(load_layout)
        ``group``, the number of the columns by ``lanes``; for each lane the column's ``factor``,
        its first products ``keys``, the ``rows`` that these come from, and ``origin`` and ``lane``
        of what follows; ``left``, the number of elements that follow in each. The element with
        ``k`` left, itself included, is at ``origin + k``, or at ``origin - k`` if the factor is
        negative.
    start : In(1)
        The query that was loaded is merged from the next cycle on; loading begins anew.
    step : In(1)
        Take the largest product.
    top : Out(2 * bits - 1)
        The largest product, 0 if none is left. Combinational.
    row : Out(range(n))
        Its row.
    address : Out(range(addresses))
        Sorted element to read.
    lane : Out(range(io_lanes))
        Lane of that element.
    element : In(element)
        Element that was read, two cycles later.
    """

    #: Products of a column that are at hand: those of the cycles that one takes to be fetched, and
    #: the one that is compared.
    HEAD = 6

    def __init__(self, config, element, addresses):
        self.lanes = config.start_lanes
        self.groups = config.dim // self.lanes
        self.key_bits = 2 * config.bits - 1
        self._rows = range(config.max_keys)
        factor = signed(config.bits + 1)
        #: Columns that are loaded at a time.
        self.load_layout = data.StructLayout({
            "columns": data.ArrayLayout(data.StructLayout({
                "factor": factor,
                "keys": data.ArrayLayout(self.key_bits, self.HEAD),
                "rows": data.ArrayLayout(self._rows, self.HEAD),
                "origin": range(addresses), "lane": range(config.io_lanes)}), self.lanes),
            "left": range(config.max_keys + 1), "group": range(self.groups)})
        # Elements that are left count up to 0, and on for a head that the column does not have.
        self._state = data.StructLayout({
            "slot": range(self.HEAD), "minus_left": range(-config.max_keys, self.HEAD + 1)})
        self._source = data.StructLayout({
            "origin": range(addresses), "lane": range(config.io_lanes), "factor": factor})
        super().__init__({
            "load": In(1), "i": In(self.load_layout), "start": In(1), "step": In(1),
            "top": Out(self.key_bits), "row": Out(self._rows),
            "address": Out(range(addresses)), "lane": Out(range(config.io_lanes)),
            "element": In(element),
        })
        self._column_bits = len(self.i.group) + self.lanes.bit_length() - 1

    def elaborate(self, platform):
        m = Module()
        # A place: the product, and below it the column's number turned over, for the lowest number
        # to win among equals.
        active, waiting = Signal(), Signal(self.key_bits + self._column_bits)
        m.d.sync += active.eq(active ^ self.start)
        heads, chosen = self._queues(m, waiting)

        # Which of what waits and the heads has the largest product. Synthesis would take a choice
        # by multiplexers for leave to choose the addresses first and look up afterwards.
        flags = [~Cat(chosen).any(), *chosen]

        def best(values):
            """Value that belongs to the largest product, of one for each."""
            masked = [Value.cast(value) & flag.replicate(len(value))
                      for flag, value in zip(flags, values, strict=True)]
            return functools.reduce(operator.or_, masked)

        # All columns that may have the largest product are looked up while this is found out.
        columns = [~source[:self._column_bits] for source in (waiting, *heads)]
        column = Signal(self._column_bits)
        m.d.comb += [column.eq(best(columns)),
                     self.top.eq(best([source[self._column_bits:]
                                       for source in (waiting, *heads)]))]
        states = self._states(m, active, columns, column, best)
        following = self._products(m, active, columns, column, states, best)
        with m.If(self.start):
            m.d.sync += waiting.eq(0)
        with m.Elif(self.step):
            m.d.sync += waiting.eq(Cat(~column, following))
        return m

    def _split(self, column):
        """Lane and group of a column's number."""
        bits = self.lanes.bit_length() - 1
        return column[:bits], column[bits:]

    def _queues(self, m, waiting):
        """Places of the columns; returns the queues' heads, and which of them is the largest."""
        queues = []
        for lane in range(self.lanes):
            m.submodules[f"queue_{lane}"] = queue = SortedQueue(self.groups, self.key_bits,
                                                                self._column_bits)
            number = Cat(Const(lane, self.lanes.bit_length() - 1), self.i.group)
            m.d.comb += [queue.fresh.eq(Cat(~number, self.i.columns[lane]["keys"][0])),
                         queue.load.eq(self.load), queue.start.eq(self.start),
                         queue.waiting.eq(waiting)]
            queues.append(queue)
        heads = [queue.head for queue in queues]
        second = heads[1] > heads[0] if self.lanes == 2 else Const(0)
        largest = []
        for lane, queue in enumerate(queues):
            chosen = Signal(name=f"chosen_{lane}")
            m.d.comb += [chosen.eq(queue.ahead & (second if lane else ~second)),
                         queue.step.eq(self.step & chosen)]
            largest.append(chosen)
        return heads, largest

    def _states(self, m, active, columns, column, best):
        """States of columns, and that of the best, which is written back if it takes a step."""
        fresh = Signal(self._state, name="fresh_state")
        m.d.comb += [fresh.slot.eq(1), fresh.minus_left.eq(-self.i.left)]
        state, after = Signal(self._state), Signal(self._state, name="after_best")
        found = [data.View(self._state, one) for one in self._lookup(
            m, "state", self._state, active, columns, [fresh] * self.lanes,
            (self.step, column, after))]
        steps = []
        for number, one in enumerate(found):
            moved = Signal(self._state, name=f"after_{number}")
            m.d.comb += [moved.slot.eq(Mux(one.slot == self.HEAD - 1, 0, one.slot + 1)),
                         moved.minus_left.eq(one.minus_left + 1)]
            steps.append(moved.as_value())
        m.d.comb += [state.as_value().eq(best([one.as_value() for one in found])),
                     after.as_value().eq(best(steps))]
        return [state, *found]

    def _products(self, m, active, columns, column, states, best):
        """Row of the product at hand, and the next product of its column, with what fetches it."""
        state, *states = states
        # Requests, from the cycle after a product is taken to the one that writes another one.
        held = data.StructLayout({"column": self._column_bits, "state": self._state})
        requests = [Signal(held, name=f"request_{k}") for k in range(4)]
        valid = [Signal(name=f"request_valid_{k}") for k in range(4)]
        # Once all that is left is 0 it stays so, wherever the states go.
        over, taken = [Signal(name=f"over_{k}") for k in range(3)], Signal.like(self.top)
        m.d.sync += [requests[0].column.eq(column), requests[0].state.eq(state),
                     valid[0].eq(self.step & ~self.start), taken.eq(self.top),
                     over[0].eq(taken == 0)]
        for k in range(1, 4):
            m.d.sync += [requests[k].eq(requests[k - 1]), valid[k].eq(valid[k - 1] & ~self.start)]
        m.d.sync += [after.eq(before) for before, after in itertools.pairwise(over)]

        # Where the columns' elements come from is loaded only.
        source, = self._lookup(
            m, "source", self._source, active, [requests[0].column],
            [Cat(new.origin, new.lane, new.factor) for new in self.i.columns])
        source = data.View(self._source, source)
        minus_left = requests[0].state.minus_left
        m.d.comb += [
            self.address.eq(source.origin + Mux(source.factor < 0, minus_left, -minus_left)),
            self.lane.eq(source.lane),
        ]
        factors = delays(m, source.factor, 2, "factor")
        product = Signal(signed(len(self.element.value) + len(source.factor)), reset_less=True)
        row = Signal.like(self.row, name="request_row")
        m.d.sync += [product.eq(self.element.value * factors[2]), row.eq(self.element.key)]
        final = requests[3]
        key = Signal(self.key_bits)
        m.d.comb += key.eq(Mux(~product[-1] & (final.state.minus_left < 0) & ~over[2], product, 0))

        # The row of a product is where its column's next product is.
        keys, rows_there = [], []
        for slot in range(self.HEAD):
            at = (slot + 1) % self.HEAD
            keys.append(self._lookup(
                m, f"key_{slot}", self.key_bits, active, columns,
                [new["keys"][slot] for new in self.i.columns],
                (valid[3] & (final.state.slot == at), final.column, key)))
            rows_there.append(self._lookup(
                m, f"row_{slot}", self._rows, active, columns,
                [new.rows[slot - 1] for new in self.i.columns],
                (valid[3] & (final.state.slot == slot), final.column, row)))
        following = Signal(self.key_bits)
        at_hand, rows_at_hand = ([choose([slots[k] for slots in found], states[k].slot)
                                  for k in range(len(columns))] for found in (keys, rows_there))
        # An empty place has the number of a column that may not be, where the RAM has anything.
        gaps = self.groups & (self.groups - 1)
        known = [self._split(number)[1] < self.groups if gaps else 1 for number in columns]
        m.d.comb += [following.eq(best([Mux(there, key, 0) for there, key in
                                        zip(known, at_hand, strict=True)])),
                     self.row.eq(best(rows_at_hand))]
        return following

    def _lookup(self, m, name, shape, active, columns, loaded, written=None):
        """What LUT RAM has of columns of the query at hand.

        There is one RAM for each of two queries and for each lane. The one that is loaded gets
        ``loaded``, which holds a word for each lane; the other one what is ``written``: whether,
        the column and the word.
        """
        enable, column, word = written or (Const(0, 1), Const(0, self._column_bits),
                                           Const(0, Shape.cast(shape).width))
        to_lane, to_group = self._split(column)
        found = [[[], []] for _ in columns]
        for query in range(2):
            at_hand = active == query
            for number in range(self.lanes):
                m.submodules[f"{name}_{query}_{number}"] = words = ram(
                    shape, 1 << max(len(to_group), 1), "distributed")
                write = words.write_port()
                m.d.comb += [
                    write.en.eq(Mux(at_hand, enable & (to_lane == number), self.load)),
                    write.addr.eq(Mux(at_hand, to_group, self.i.group)),
                    Value.cast(write.data).eq(Mux(at_hand, word, loaded[number])),
                ]
                for place, source in enumerate(columns):
                    read = words.read_port(domain="comb")
                    m.d.comb += read.addr.eq(self._split(source)[1])
                    found[place][query].append(Value.cast(read.data))
        return [Mux(active, *(choose(words, self._split(source)[0])
                              for words in reversed(by_query)))
                for source, by_query in zip(columns, found, strict=True)]

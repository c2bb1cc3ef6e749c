"""Largest product of a query with sorted columns, one after the other: one side of the search."""

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .choose import choose


__all__ = ["ColumnMerge"]


class ColumnMerge(wiring.Component):
    """Merges the columns of a query's products, largest first, one product per cycle.

    A column is a factor and the elements that it meets, in the order of their products, which are
    cut off at 0: what is not positive counts as the end of its column. The best of the columns is
    taken, of equals the first column's, and the column's next product is in its place in the next
    cycle.

    The columns' best products stand in queues, sorted shift registers, of which the head is the
    largest: one comparison per cycle and place, all at the same time, where a tree would take six
    of them one behind the other. What comes next in its column stands in a register of its own
    before it enters a queue, and competes with the heads. The next :attr:`HEAD` products of each
    column are in LUT RAM; each one that is taken makes room for one that is fetched from the sorted
    column and multiplied, which takes five cycles.

    The columns of the next query are loaded, ``lanes`` of them per cycle, while those of the
    query at hand are merged. Loading sorts them.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.
    element : ShapeLike
        An element of a sorted column.
    addresses : int
        Number of addresses of sorted elements.

    Members
    -------
    load : In(1)
        Columns are loaded.
    group : In
        Number of the first of them, by ``lanes``.
    columns : In
        For each lane its ``factor``; the first products (``keys``), each with the ``rows`` that it
        comes from; the address of what comes behind these, and the ``lane`` there; and, for all of
        them, ``left``, the number of elements behind these.
    start : In(1)
        What was loaded is to be merged from the next cycle on; loading begins anew.
    step : In(1)
        Take the largest product.
    top, row : Out
        The largest product, and its row. A product of 0 stands for none. Combinational.
    address, lane : Out
        Element to read.
    element : In
        What was read, a cycle later.
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
                "address": range(addresses), "lane": range(config.io_lanes)}), self.lanes),
            "left": range(config.max_keys + 1), "group": range(self.groups)})
        self._state = data.StructLayout({
            "slot": range(self.HEAD), "address": range(addresses),
            "left": range(config.max_keys + 1), "lane": range(config.io_lanes), "factor": factor})
        super().__init__({
            "load": In(1), "i": In(self.load_layout), "start": In(1), "step": In(1),
            "top": Out(self.key_bits), "row": Out(self._rows),
            "address": Out(range(addresses)), "lane": Out(range(config.io_lanes)),
            "element": In(element),
        })

    def elaborate(self, platform):
        m = Module()
        lane_bits = self.lanes.bit_length() - 1
        self._column_bits = len(self.i.group) + lane_bits
        # A place: the product, and below it the column's number turned over, for the lowest number
        # to win among equals.
        place = unsigned(self.key_bits + self._column_bits)
        active, waiting, best = Signal(), Signal(place), Signal(place)
        m.d.sync += active.eq(active ^ self.start)
        self._queues(m, place, waiting, best)
        column = Signal(self._column_bits)
        m.d.comb += [column.eq(~best[:self._column_bits]),
                     self.top.eq(best[self._column_bits:])]
        lane, group = column[:lane_bits], column[lane_bits:]
        state = self._states(m, active, lane, group)
        following = self._products(m, active, lane, group, state)
        with m.If(self.start):
            m.d.sync += waiting.eq(0)
        with m.Elif(self.step):
            m.d.sync += waiting.eq(Cat(~column, following))
        return m

    def _queues(self, m, place, waiting, best):
        """Places of the columns that are loaded and of those that are merged: the ``best``."""
        low = self._column_bits
        queues = []
        for lane in range(self.lanes):
            number = Cat(Const(lane, self.lanes.bit_length() - 1), self.i.group)
            fresh = Signal(place, name=f"fresh_{lane}")
            m.d.comb += fresh.eq(Cat(~number, self.i.columns[lane]["keys"][0]))
            loaded = [Signal(place, name=f"loaded_{lane}_{k}") for k in range(self.groups)]
            above = Signal(self.groups, name=f"above_{lane}")
            for k, entry in enumerate(loaded):
                # Equal products stay in the order in which they come.
                m.d.comb += above[k].eq(entry[low:] >= fresh[low:])
                with m.If(self.start):
                    m.d.sync += entry.eq(0)
                with m.Elif(self.load & ~above[k]):
                    m.d.sync += entry.eq(Mux(above[k - 1], fresh, loaded[k - 1]) if k else fresh)
            queues.append((loaded, [Signal(place, name=f"queue_{lane}_{k}")
                                    for k in range(self.groups)]))

        m.d.comb += best.eq(waiting)
        heads = [queue[0] for _, queue in queues]
        second = heads[1] > heads[0] if self.lanes == 2 else Const(0)
        for lane, (loaded, queue) in enumerate(queues):
            before = Signal(self.groups, name=f"before_{lane}")
            chosen = Signal(name=f"chosen_{lane}")
            m.d.comb += [before.eq(Cat(entry > waiting for entry in queue)),
                         chosen.eq(before[0] & (second if lane else ~second))]
            with m.If(chosen):
                m.d.comb += best.eq(queue[0])
            for k, entry in enumerate(queue):
                with m.If(self.start):
                    m.d.sync += entry.eq(loaded[k])
                with m.Elif(self.step & chosen & before[k]):
                    m.d.sync += entry.eq(waiting if k + 1 == self.groups else
                                         Mux(before[k + 1], queue[k + 1], waiting))

    def _states(self, m, active, lane, group):
        """State of the column at hand, which is written back if the column takes a step."""
        state = Signal(self._state)
        after = Signal(self._state)
        m.d.comb += [
            after.eq(state),
            after.slot.eq(Mux(state.slot == self.HEAD - 1, 0, state.slot + 1)),
            after.address.eq(Mux(state.factor < 0, state.address + 1, state.address - 1)),
            after.left.eq(Mux(state.left == 0, 0, state.left - 1)),
        ]
        loaded = []
        for column in self.i.columns:
            fresh = Signal(self._state)
            m.d.comb += [fresh.slot.eq(1), fresh.address.eq(column.address),
                         fresh.left.eq(self.i.left), fresh.lane.eq(column.lane),
                         fresh.factor.eq(column.factor)]
            loaded.append(fresh)
        m.d.comb += state.eq(self._lookup(
            m, "state", self._state, active, lane, group,
            loaded, (self.step, lane, group, after)))
        return state

    def _products(self, m, active, lane, group, state):
        """Row of the product at hand, and the next product of its column, with what fetches it."""
        # Requests, from the cycle after a product is taken to the one that writes another one.
        held = data.StructLayout({"column": self._column_bits, "state": self._state})
        requests = [Signal(held, name=f"request_{k}") for k in range(4)]
        valid = [Signal(name=f"request_valid_{k}") for k in range(4)]
        m.d.sync += [requests[0].column.eq(Cat(lane, group)), requests[0].state.eq(state),
                     valid[0].eq(self.step & ~self.start)]
        for k in range(1, 4):
            m.d.sync += [requests[k].eq(requests[k - 1]), valid[k].eq(valid[k - 1] & ~self.start)]
        m.d.comb += [self.address.eq(requests[0].state.address),
                     self.lane.eq(requests[0].state.lane)]
        value = Signal.like(self.element.value, reset_less=True)
        factor = Signal.like(state.factor, reset_less=True)
        product = Signal(signed(len(value) + len(factor)), reset_less=True)
        rows = [Signal(self._rows, name=f"request_row_{k}") for k in range(2)]
        m.d.sync += [value.eq(self.element.value), factor.eq(requests[1].state.factor),
                     product.eq(value * factor), rows[0].eq(self.element.key),
                     rows[1].eq(rows[0])]
        final = requests[3]
        final_lane = final.column[:self.lanes.bit_length() - 1]
        final_group = final.column[self.lanes.bit_length() - 1:]
        key = Signal(self.key_bits)
        m.d.comb += key.eq(Mux((product > 0) & (final.state.left != 0), product, 0))

        # The row of a product is where its column's next product is.
        keys, rows_there = [], []
        for slot in range(self.HEAD):
            at = (slot + 1) % self.HEAD
            keys.append(self._lookup(
                m, f"key_{slot}", self.key_bits, active, lane, group,
                [column["keys"][slot] for column in self.i.columns],
                (valid[3] & (final.state.slot == at), final_lane, final_group, key)))
            rows_there.append(self._lookup(
                m, f"row_{slot}", self._rows, active, lane, group,
                [column.rows[slot - 1] for column in self.i.columns],
                (valid[3] & (final.state.slot == slot), final_lane, final_group, rows[1])))
        following = Signal(self.key_bits)
        m.d.comb += [following.eq(choose(keys, state.slot)),
                     self.row.eq(choose(rows_there, state.slot))]
        return following

    def _lookup(self, m, name, shape, active, lane, group, loaded, written):
        """What a LUT RAM has of a column of the query at hand, whose place is ``lane``, ``group``.

        There is one RAM for each of two queries and for each lane. The one that is loaded gets
        ``loaded``, which holds a word for each lane; the other one what is ``written``: whether,
        the lane, the group and the word.
        """
        enable, to_lane, to_group, word = written
        found = []
        for query in range(2):
            at_hand = active == query
            for number in range(self.lanes):
                m.submodules[f"{name}_{query}_{number}"] = ram = memory.Memory(
                    shape=shape, depth=1 << max(len(group), 1), init=[],
                    attrs={"ram_style": "distributed"})
                write, read = ram.write_port(), ram.read_port(domain="comb")
                m.d.comb += [
                    write.en.eq(Mux(at_hand, enable & (to_lane == number), self.load)),
                    write.addr.eq(Mux(at_hand, to_group, self.i.group)),
                    Value.cast(write.data).eq(Mux(at_hand, word, loaded[number])),
                    read.addr.eq(group),
                ]
                found.append(Value.cast(read.data))
        by_query = [choose(found[query * self.lanes:(query + 1) * self.lanes], lane)
                    for query in range(2)]
        return Mux(active, by_query[1], by_query[0])

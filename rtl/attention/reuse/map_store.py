"""Store of attention maps: codes and sums of the rows, and the source of each map."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...blocks.memory import BankedMemory, ram
from ...blocks.pipeline import delays

__all__ = ["MapStore", "MapUse"]

TAG_BITS = 8


class MapUse(data.StructLayout):
    """What a set of values is for, in its last beat.

    Members
    -------
    reuse : unsigned(1)
        A stored map weights the values. If 0, they belong to the next set of keys and queries,
        whose map is stored.
    map : range(maps)
        Index of the map.
    tag : unsigned(8)
        Number that the user gives the source of a map: a map serves values of its tag only.
    """

    def __init__(self, maps):
        super().__init__({"reuse": unsigned(1), "map": range(maps), "tag": unsigned(TAG_BITS)})


class MapStore(wiring.Component):
    """Attention maps of a few sets: written row by row, read two rows at a time.

    The codes of even rows and of odd ones are in memories of their own, one row behind the other.
    Both are written and read from the beginning of a map on; :attr:`begin` rewinds them. Throughput
    one code written, or two read, per cycle; read latency 3 cycles. No map is valid after reset.

    Parameters
    ----------
    maps, rows, keys : int
        Maps, and the rows and keys of each at most.
    code_bits, sum_bits : int
        Width of a code, and of a row's sum.
    memory : "auto", "block" or "distributed"
        Kind of memory of the codes: by size, block RAM or LUT RAM.

    Members
    -------
    map : In(range(maps))
        Index of the map accessed.
    begin : In(1)
        The map is written or read from its first row on, with the next cycle.
    clear : In(1)
        The map becomes invalid.
    write : In(1)
        ``code`` is written to the row at hand.
    code : In(code_bits)
        Code of the next key of that row.
    end : In(1)
        It is the row's last code.
    total : In(sum_bits)
        Sum of the row, with its last code.
    read : In(1)
        The next codes of the two rows at hand are read.
    take : In(2)
        Bit 0: read the even row, bit 1: the odd one; a row that is not read gives 0.
    codes : Out(code_bits).array(2)
        Codes of the even and the odd row, read three cycles before.
    end_pair : In(1)
        The codes read are the last of both rows.
    totals : Out(sum_bits).array(2)
        Sums of the two rows whose end was read three cycles before.
    complete : In(1)
        With ``end`` of the last row: the map becomes valid, with ``keys`` and ``tag``.
    broken : In(1)
        With ``complete``: the map stays invalid.
    keys : In(range(keys))
        Place of the last key of the map that is complete.
    tag : In(8)
        Tag of that map.
    info : Out(StructLayout)
        ``valid``, ``keys``, ``tag``, and ``rows``, the place of the last row, of the map accessed.
    """

    def __init__(self, maps, rows, keys, code_bits, sum_bits, memory):
        self.maps, self.rows, self.keys_room = maps, rows, keys
        self.code_bits, self.sum_bits, self.memory = code_bits, sum_bits, memory
        self._pairs = -(-rows // 2)
        self._info = data.StructLayout({
            "valid": unsigned(1), "keys": range(keys), "tag": unsigned(TAG_BITS),
            "rows": range(rows)})
        super().__init__({
            "map": In(range(maps)), "begin": In(1), "clear": In(1),
            "write": In(1), "code": In(code_bits), "end": In(1), "total": In(sum_bits),
            "read": In(1), "take": In(2), "codes": Out(code_bits).array(2),
            "end_pair": In(1), "totals": Out(sum_bits).array(2),
            "complete": In(1), "broken": In(1), "keys": In(range(keys)), "tag": In(TAG_BITS),
            "info": Out(self._info),
        })

    def elaborate(self, platform):
        m = Module()
        size = self.maps * self._pairs
        # Rows so far; saturates one above the rows that a map holds.
        row = Signal(range(self.rows + 2))
        pair = Signal(range(size))
        room = Signal()
        m.d.comb += room.eq(row < self.rows)
        ended = self.write & self.end
        for parity in range(2):
            m.submodules[f"codes_{parity}"] = codes = BankedMemory(
                self.code_bits, size * self.keys_room, self.memory)
            place = Signal(range(size * self.keys_room), name=f"place_{parity}")
            own = (row[0] == parity) & room
            m.d.comb += [
                codes.address.eq(place), codes.data.eq(self.code),
                codes.write.eq(self.write & own), codes.read.eq(place),
            ]
            taken = delays(m, self.read & self.take[parity], 2, f"taken_{parity}")
            m.d.sync += self.codes[parity].eq(Mux(taken[2], codes.o, 0))
            with m.If(codes.write | taken[0]):
                m.d.sync += place.eq(place + 1)
            with m.If(self.begin):
                m.d.sync += place.eq(self.map * (self._pairs * self.keys_room))

            m.submodules[f"sums_{parity}"] = sums = ram(
                self.sum_bits, size, "distributed")
            port, read = sums.write_port(), sums.read_port()
            m.d.comb += [
                port.addr.eq(pair), port.data.eq(self.total), port.en.eq(ended & own),
                read.addr.eq(pair),
            ]
            m.d.comb += self.totals[parity].eq(delays(m, read.data, 2, f"total_{parity}")[2])
        with m.If(ended & room):
            m.d.sync += row.eq(row + 1)
        with m.If(ended & ~room):
            m.d.sync += row.eq(self.rows + 1)
        with m.If((ended & room & row[0]) | self.end_pair):
            m.d.sync += pair.eq(pair + 1)
        with m.If(self.begin):
            m.d.sync += [row.eq(0), pair.eq(self.map * self._pairs)]

        valid = Signal(self.maps)
        m.submodules.infos = infos = ram(self._info, max(self.maps, 2), "distributed")
        port, read = infos.write_port(), infos.read_port(domain="comb")
        # By the time of the end, another set may have begun.
        m.d.comb += [
            port.data.keys.eq(self.keys), port.data.tag.eq(self.tag), port.data.rows.eq(row),
            port.en.eq(self.complete), read.addr.eq(self.map),
            self.info.eq(read.data), self.info.valid.eq(valid.bit_select(self.map, 1)),
        ]
        written = Signal.like(self.map)
        m.d.sync += written.eq(self.map)
        m.d.comb += port.addr.eq(written)
        with m.If(self.complete):
            m.d.sync += valid.bit_select(written, 1).eq(room & ~self.broken)
        with m.If(self.clear):
            m.d.sync += valid.bit_select(self.map, 1).eq(0)
        return m

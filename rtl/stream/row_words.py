"""Words that belong to a whole row, beside the row store that holds its beats."""

import typing

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.choose import choose
from ..blocks.memory import ram
from ..blocks.pipeline import delays

__all__ = ["RowWord", "RowWords"]

# Deepest memory that LUT RAM is taken for: four LUTs hold three bits of 64 words, but one of 128.
LUT_RAM_DEPTH = 64


class RowWord(typing.NamedTuple):
    """A word of a row, such as its maximum or sum.

    Attributes
    ----------
    shape : ShapeLike
        Shape of the word.
    lag : int
        Cycles from the row's last beat at the store's input until the word is known: at most 2, or
        3 for a late word.
    late : bool
        Whether the word is wanted one cycle after the beats, and not beside them.
    short_path : bool
        Whether a word from block RAM is registered before it is chosen; takes LUTs behind it.
    """

    shape: typing.Any
    lag: int
    late: bool = False
    short_path: bool = False


class RowWords(wiring.Component):
    """Words of the rows in a :class:`~rtl.stream.row_store.RowStore`, held while a row is read.

    A word has the slot of its row's first beat. Each row in the store has one, so there is a word
    for every row that the store can hold: no sequence of lengths needs more.

    A slot is written again, at the earliest, in the cycle in which its beat is read, and the next
    word in it no earlier than that, or one or two cycles later for LUT RAM. A word is read that
    long after its row's first beat: before it is overwritten. A word that is written too late for a
    row that is read as soon as it has ended, within :attr:`ages` cycles, passes by the memory.

    With ``max_rows`` a word has the number of its row modulo ``max_rows`` instead, where that is
    the smaller memory, and the caller bounds the rows.

    Latency: a word is on its output two cycles after the store reads the row's first beat, a late
    one three, until the next row's is. Throughput one row per cycle; never stalls.

    Parameters
    ----------
    words : dict of str to RowWord
        Words of a row, by name.
    slots : int
        Slots of the store, a power of two.
    max_rows : int
        Rows inside at a time; 0 for any number.
    memory : "auto", "block" or "distributed"
        Kind of memory: LUT RAM, or block RAM above 64 words unless "distributed".

    Members
    -------
    end : In(1)
        The last beat of a row is written to the store.
    row_i : In(range(slots))
        With ``end``: slot of the row's first beat.
    row_o : In(range(slots))
        Slot that the store reads.
    age : In(range(ages + 1))
        Cycles since the row whose first beat the store reads has ended; 0 for more than
        :attr:`ages`. Only if that is not 0.
    first : In(1)
        The first beat of a row is on the store's output.
    <word>_i : In(shape)
        Word of the row that ended ``lag`` cycles ago.
    <word> : Out(shape)
        Word of the row that is read.
    """

    def __init__(self, words, slots, *, max_rows=0, memory="auto"):
        self.words = words
        self.slots = slots
        rows = 1 << max(max_rows - 1, 1).bit_length()
        #: Whether a word has the number of its row, and not a slot.
        self.numbered = bool(max_rows) and rows < slots
        self.depth = rows if self.numbered else slots
        # A row's number is known a cycle too late for block RAM.
        self.block = memory != "distributed" and not self.numbered and self.depth > LUT_RAM_DEPTH
        ports = {"age": In(range(self.ages + 1))} if self.ages else {}
        super().__init__({
            "end": In(1), "row_i": In(range(slots)), "row_o": In(range(slots)), "first": In(1),
            **ports,
            **{f"{name}_i": In(word.shape) for name, word in words.items()},
            **{name: Out(word.shape) for name, word in words.items()},
        })

    @property
    def ages(self):
        """Most cycles after which the word of a row that is read is not in the memory yet."""
        return max(map(self._ages, self.words.values()))

    def _ages(self, word):
        return self._wait(word) - self._reach(word)

    @staticmethod
    def _wanted(word, age):
        """Cycles from the end of a row until its word is loaded, if it is read at this age."""
        return age + 1 + word.late

    def _reach(self, word):
        """Cycles from the read of a row's first beat to that of a word."""
        return 0 if self.block else 1 + word.late

    def _wait(self, word):
        """Cycles from the end of a row until a word is written."""
        if self.block:
            return max(0, *(each.lag for each in self.words.values()))
        return max(word.lag, self._reach(word))

    def elaborate(self, platform):
        m = Module()
        longest = max(map(self._wait, self.words.values()))
        ends = delays(m, self.end, longest, "end")
        firsts = delays(m, self.first, 1, "first")
        row_i, row_o = self._numbers(m) if self.numbered else (self.row_i, self.row_o)
        written = delays(m, row_i, longest, "written")
        inputs = {}
        for name, word in self.words.items():
            oldest = max(self._wait(word), self._wanted(word, self._ages(word))) - word.lag
            inputs[name] = delays(m, getattr(self, f"{name}_i"), oldest, name)
        writes = {name: inputs[name][self._wait(word) - word.lag]
                  for name, word in self.words.items()}
        read = self._block_ram(m, ends[-1], written[-1], writes) if self.block else \
            self._lut_rams(m, ends, written, row_o, writes)
        for name, word in self.words.items():
            recent = [inputs[name][self._wanted(word, age) - word.lag]
                      for age in range(1, self._ages(word) + 1)]
            age = delays(m, self.age, 1 + word.late, f"{name}_age")[-1] if recent else None
            self._hold(m, name, firsts[word.late], read[name], recent, age)
        return m

    def _hold(self, m, name, load, read, recent, age):
        """Hold the word that was read, or one of the ``recent`` ones by its row's ``age``."""
        # Without a reset, a register can move into the operand of a multiplier.
        held = Signal.like(read, name=f"{name}_held", reset_less=True)
        m.d.comb += getattr(self, name).eq(held)
        word = self.words[name]
        # A block RAM is the slowest element of a cycle. A late word has a register there as it is.
        if recent and self.block and word.short_path and not word.late:
            passed = Signal.like(held, name=f"{name}_passed")
            passes = Signal(name=f"{name}_passes")
            with m.If(load):
                m.d.sync += [held.eq(read), passed.eq(choose([recent[0], *recent], age)),
                             passes.eq(age != 0)]
            with m.If(passes):
                m.d.comb += getattr(self, name).eq(passed)
        else:
            with m.If(load):
                m.d.sync += held.eq(choose([read, *recent], age))

    def _numbers(self, m):
        """Numbers of the row that ends, and of the one whose first beat comes from the store."""
        number_i = Signal(range(self.depth))
        number_o = Signal(range(self.depth))
        with m.If(self.end):
            m.d.sync += number_i.eq(number_i + 1)
        with m.If(self.first):
            m.d.sync += number_o.eq(number_o + 1)
        return number_i, number_o

    def _block_ram(self, m, end, row_i, writes):
        """Words from one block RAM for all of them."""
        layout = data.StructLayout({name: word.shape for name, word in self.words.items()})
        m.submodules.memory = memory = ram(layout, self.depth, "block")
        write, port = memory.write_port(), memory.read_port()
        m.d.comb += [write.addr.eq(row_i), write.en.eq(end), port.addr.eq(self.row_o)]
        m.d.comb += [write.data[name].eq(value) for name, value in writes.items()]
        return {name: delays(m, port.data[name], int(word.late), f"{name}_read")[-1]
                for name, word in self.words.items()}

    def _lut_rams(self, m, ends, written, row_o, writes):
        """Words from a LUT RAM for each of them."""
        read = {}
        for name, word in self.words.items():
            m.submodules[name] = memory = ram(word.shape, self.depth, "distributed")
            write, port = memory.write_port(), memory.read_port(domain="comb")
            wait = self._wait(word)
            m.d.comb += [
                write.addr.eq(written[wait]), write.en.eq(ends[wait]),
                write.data.eq(writes[name]),
                port.addr.eq(delays(m, row_o, word.late + (not self.numbered),
                                    f"{name}_place")[-1]),
            ]
            read[name] = port.data
        return read

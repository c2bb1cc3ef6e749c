"""Parameters of the channels, a beat of them at a time."""

from amaranth import Cat, Module, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.lookup import lookup
from ..blocks.memory import memory_style

__all__ = ["ChannelTable", "ChannelWords"]


class ChannelWords:
    """What a :class:`ChannelTable` holds, and where.

    A parameter that is the same in every beat is a constant and takes no memory, unless it can be
    loaded. Lanes behind the last channel hold what they hold in the first beat.

    Parameters
    ----------
    fields : dict of str to (Shape, sequence of int)
        Parameters by name: shape of one, and the value of every channel (the initial one, if they
        are loaded).
    lanes : int
        Channels per beat.
    loaded : bool
        Whether they are loaded: there are two banks then, one to read and one to write.
    style : "auto", "block" or "distributed"
        Kind of memory: block RAM, LUTs, or by size.
    """

    def __init__(self, fields, lanes, *, loaded, style):
        self.lanes = lanes
        self.loaded = loaded
        self.layout = data.StructLayout({name: data.ArrayLayout(shape, lanes)
                                         for name, (shape, _) in fields.items()})
        self.words = {name: _beats(values, lanes) for name, (_, values) in fields.items()}
        self.beats = max(map(len, self.words.values()), default=1)
        kept = [name for name, words in self.words.items() if loaded or len(set(words)) > 1]
        self.kept = data.StructLayout({name: self.layout[name].shape for name in kept})
        bits = self.kept.size * self.beats * (1 + loaded)
        self.style = memory_style(style, bits)

    @property
    def latency(self):
        """Cycles from the number of a beat to its parameters."""
        if not self.kept.members:
            return 0
        # A memory answers in one, but slowly.
        return 2 if self.loaded or self.style == "block" else 1

    def rows(self):
        """Contents of the memory, beat by beat."""
        return [{name: self.words[name][beat] for name in self.kept.members}
                for beat in range(self.beats)]


def _beats(values, lanes):
    beats = [tuple(values[start:start + lanes]) for start in range(0, len(values), lanes)]
    beats[0] += (0,) * (lanes - len(beats[0]))
    beats[-1] += beats[0][len(beats[-1]):]
    return beats


class ChannelTable(wiring.Component):
    """Parameters of the channels of each beat of a row.

    Latency ``words.latency`` cycles from ``index`` and ``bank`` to ``o``; one beat per cycle.

    Parameters
    ----------
    words : ChannelWords
        Contents.

    Members
    -------
    index : In(range(words.beats))
        Number of the beat.
    bank : In(1)
        Bank to read; if they are loaded.
    o : Out(words.layout)
        Parameters: an array of ``lanes`` for each field.
    write : In(1)
        ``write_data`` is to be written; if they are loaded, as the ports below.
    write_bank : In(1)
        Bank to write to.
    write_index : In(range(words.beats))
        Number of the beat that is written.
    write_data : In(words.layout)
        Parameters to write.
    """

    def __init__(self, words):
        self.words = words
        index = range(max(words.beats, 2))
        ports = {"index": In(index), "o": Out(words.layout)}
        if words.loaded:
            ports |= {"bank": In(1), "write": In(1), "write_bank": In(1),
                      "write_index": In(index), "write_data": In(words.layout)}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        words = self.words
        for name, beats in words.words.items():
            if name not in words.kept.members:
                m.d.comb += [self.o[name][lane].eq(value) for lane, value in enumerate(beats[0])]
        if words.latency:
            word = Signal(words.kept)
            # Of contents that are only read, Yosys makes no LUT RAM: they are logic.
            m.d.sync += word.eq(self._memory(m) if words.latency == 2 else lookup(
                m, self.index, [words.kept.const(row).as_value().value for row in words.rows()]))
            m.d.comb += [self.o[name].eq(word[name]) for name in words.kept.members]
        return m

    def _memory(self, m):
        """Word of the index, a cycle later."""
        words = self.words
        rows = words.rows()
        if words.loaded:
            # The bank is the highest bit of the address.
            rows = (rows + [{}] * ((1 << len(self.index)) - words.beats)) * 2
        m.submodules.words = contents = memory.Memory(
            shape=words.kept, depth=max(len(rows), 2), init=rows,
            attrs={"ram_style": words.style})
        read = contents.read_port()
        m.d.comb += [read.en.eq(1), read.addr.eq(Cat(self.index, self.bank) if words.loaded
                                                 else self.index)]
        if words.loaded:
            write = contents.write_port()
            m.d.comb += [write.addr.eq(Cat(self.write_index, self.write_bank)),
                         write.en.eq(self.write)]
            m.d.comb += [write.data[name].eq(self.write_data[name]) for name in words.kept.members]
        return read.data

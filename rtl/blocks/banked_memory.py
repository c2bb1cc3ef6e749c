"""Memory of several block RAMs, deep rather than wide."""

from amaranth import Module, Shape, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .choose import choose
from .pipeline import delays

__all__ = ["BankedMemory"]


class BankedMemory(wiring.Component):
    """Memory with a write and a read port, read two cycles later.

    Deep memories are banks of a block RAM each, whose words are registered before one of them is
    chosen: a block RAM takes longer to read than anything else in a cycle, and would have the
    choice behind it.

    Parameters
    ----------
    shape : ShapeLike
        Shape of a word.
    depth : int
        Number of words.
    style : str
        Kind of memory: "block" or "distributed".

    Members
    -------
    address, data, write : In
        Word to write.
    read : In
        Address to read.
    o : Out(shape)
        What was read, two cycles later.
    """

    #: Words of a block RAM (RAMB36E1), by their width.
    BLOCK_RAM = {1: 32768, 2: 16384, 4: 8192, 9: 4096, 18: 2048, 36: 1024}

    def __init__(self, shape, depth, style):
        self.shape, self.depth, self.style = shape, depth, style
        width = Shape.cast(shape).width
        self.bank = depth if style != "block" else next(
            (words for bits, words in self.BLOCK_RAM.items() if bits >= width), 1024)
        super().__init__({
            "address": In(range(depth)), "data": In(shape), "write": In(1),
            "read": In(range(depth)), "o": Out(shape)})

    def elaborate(self, platform):
        m = Module()
        bits = (self.bank - 1).bit_length()
        words = []
        for number, start in enumerate(range(0, self.depth, self.bank)):
            m.submodules[f"bank_{number}"] = bank = memory.Memory(
                shape=self.shape, depth=min(self.bank, self.depth - start), init=[],
                attrs={"ram_style": self.style})
            write, read = bank.write_port(), bank.read_port()
            word = Signal(self.shape, name=f"word_{number}")
            m.d.comb += [
                write.addr.eq(self.address[:bits]), write.data.eq(self.data),
                write.en.eq(self.write & (self.address[bits:] == number)),
                read.addr.eq(self.read[:bits]),
            ]
            m.d.sync += word.eq(read.data)
            words.append(word)
        m.d.comb += self.o.eq(choose(words, delays(m, self.read[bits:], 2, "chosen")[2]))
        return m

"""Memories: the kind that a store is made of, and deep ones made of several block RAMs."""

from itertools import pairwise

from amaranth import Module, Shape, Signal, Value
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .choose import choose
from .pipeline import delays

__all__ = ["BLOCK_BITS", "BankedMemory", "SlicedMemory", "memory_style", "ram"]

# Above this many bits a store is worth a block RAM.
BLOCK_BITS = 4096

# Words of a block RAM (RAMB36E1), by their width.
BLOCK_RAM = {1: 32768, 2: 16384, 4: 8192, 9: 4096, 18: 2048, 36: 1024}


def memory_style(wanted, bits):
    """Kind of a memory of so many bits: the one that is ``wanted``, or by size for "auto"."""
    if wanted != "auto":
        return wanted
    return "block" if bits > BLOCK_BITS else "distributed"


def ram(shape, depth, style="auto"):
    """Memory of ``depth`` words, all 0 at first, of the kind ``style`` or, for "auto", by size."""
    return memory.Memory(shape=shape, depth=depth, init=[], attrs={
        "ram_style": memory_style(style, depth * Shape.cast(shape).width)})


def _ports(shape, depth):
    """Members of a memory with a write port and a read port."""
    return {"address": In(range(depth)), "data": In(shape), "write": In(1),
            "read": In(range(depth)), "o": Out(shape)}


class BankedMemory(wiring.Component):
    """Memory with a write port and a read port, for any depth.

    A block RAM is the slowest element of a cycle, so its word is registered before anything
    follows. In block RAM a deep memory is banks of one block RAM each, deep rather than wide, and
    one of the registered words is chosen. Read latency 2 cycles, throughput one read and one write
    per cycle. A word that is read while it is written is undefined.

    Parameters
    ----------
    shape : ShapeLike
        Shape of a word.
    depth : int
        Number of words.
    style : "auto", "block" or "distributed"
        Kind of memory: by size, block RAM or LUT RAM.

    Members
    -------
    address : In(range(depth))
        Word to write.
    data : In(shape)
        Its content.
    write : In(1)
        Write it.
    read : In(range(depth))
        Word to read.
    o : Out(shape)
        Word that was read, two cycles later.
    """

    def __init__(self, shape, depth, style="auto"):
        width = Shape.cast(shape).width
        self.shape, self.depth = shape, depth
        self.style = memory_style(style, depth * width)
        self.bank = depth if self.style != "block" else next(
            (words for bits, words in BLOCK_RAM.items() if bits >= width), 1024)
        super().__init__(_ports(shape, depth))

    def elaborate(self, platform):
        m = Module()
        bits = (self.bank - 1).bit_length()
        words = []
        for number, start in enumerate(range(0, self.depth, self.bank)):
            m.submodules[f"bank_{number}"] = bank = ram(
                self.shape, min(self.bank, self.depth - start), self.style)
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


class SlicedMemory(wiring.Component):
    """Memory of wide words with a write port and a read port, read in one cycle at any depth.

    In block RAM a memory that is deeper than a block RAM of full width is slices of its words, so
    narrow that one block RAM holds a slice of all words: no word is chosen behind the block RAM,
    which is the slowest element of a cycle. That takes more block RAMs than banks where the depth
    is no power of two, and no LUT. Read latency 1 cycle, throughput one read and one write per
    cycle. A word that is read while it is written is undefined.

    Parameters
    ----------
    shape : ShapeLike
        Shape of a word.
    depth : int
        Number of words. Beyond 32,768 words a slice takes several block RAMs.
    style : "auto", "block" or "distributed"
        Kind of memory: by size, block RAM or LUT RAM.

    Members
    -------
    address : In(range(depth))
        Word to write.
    data : In(shape)
        Its content.
    write : In(1)
        Write it.
    read : In(range(depth))
        Word to read.
    o : Out(shape)
        Word that was read, a cycle later.
    """

    def __init__(self, shape, depth, style="auto"):
        width = Shape.cast(shape).width
        self.depth = depth
        self.style = memory_style(style, depth * width)
        whole = self.style != "block" or depth <= BLOCK_RAM[max(BLOCK_RAM)]
        #: Bits of a slice.
        self.slice_bits = width if whole else max(
            (bits for bits, words in BLOCK_RAM.items() if words >= depth), default=1)
        super().__init__(_ports(shape, depth))

    def elaborate(self, platform):
        m = Module()
        word, output = Value.cast(self.data), Value.cast(self.o)
        ends = [*range(0, len(word), self.slice_bits), len(word)]
        for number, (low, high) in enumerate(pairwise(ends)):
            m.submodules[f"slice_{number}"] = part = ram(high - low, self.depth, self.style)
            write, read = part.write_port(), part.read_port()
            m.d.comb += [
                write.addr.eq(self.address), write.data.eq(word[low:high]),
                write.en.eq(self.write), read.addr.eq(self.read),
                output[low:high].eq(read.data),
            ]
        return m

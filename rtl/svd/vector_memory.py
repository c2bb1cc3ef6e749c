"""Memory of a vector in words of several lanes, written element by element."""

from amaranth import Cat, Module, Signal, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.memory import memory_style

__all__ = ["VectorMemory"]


class VectorMemory(wiring.Component):
    """Elements in the order in which they come, ``top + 1`` of them a word.

    The first element of a word clears its other lanes, so that a word that is not full ends in
    zeros. ``skip`` ends a word. Read latency 1 cycle; throughput one element written and one word
    read per cycle.

    Parameters
    ----------
    width : int
        Width of an element, signed.
    lanes : int
        Elements of a word, at most.
    depth : int
        Words.
    style : "auto", "block" or "distributed"
        Kind of memory: by size, block RAM or LUT RAM.

    Members
    -------
    start : In(1)
        The next element goes to lane 0 of word 0. Not with ``write``.
    i : In(signed(width))
        Element.
    write : In(1)
        ``i`` holds an element.
    skip : In(1)
        It is the last of its word.
    top : In(range(lanes))
        Last lane that is used.
    word : Out(range(depth + 1))
        Word that the next element goes to.
    read : In(range(depth))
        Word to read.
    o : Out(ArrayLayout(signed(width), lanes))
        Word that was read, a cycle later.
    """

    def __init__(self, width, lanes, depth, style="auto"):
        self.width, self.lanes, self.depth = width, lanes, depth
        self.style = memory_style(style, width * lanes * depth)
        super().__init__({
            "start": In(1), "i": In(signed(width)), "write": In(1), "skip": In(1),
            "top": In(range(lanes)), "word": Out(range(depth + 1)), "read": In(range(depth)),
            "o": Out(data.ArrayLayout(signed(width), lanes))})

    def elaborate(self, platform):
        m = Module()
        lane = Signal(range(self.lanes))
        for number in range(self.lanes):
            # A memory a lane: tools infer write enables of any width for it.
            m.submodules[f"lane_{number}"] = words = memory.Memory(
                shape=signed(self.width), depth=self.depth, init=[],
                attrs={"ram_style": self.style})
            write, read = words.write_port(), words.read_port()
            own = Signal(name=f"own_{number}")
            m.d.comb += [
                own.eq(lane == number),
                write.addr.eq(self.word), write.en.eq(self.write & (own | (lane == 0))),
                write.data.eq(self.i & Cat(own).replicate(self.width)),
                read.addr.eq(self.read), self.o[number].eq(read.data),
            ]
        with m.If(self.start):
            m.d.sync += [lane.eq(0), self.word.eq(0)]
        with m.If(self.write):
            m.d.sync += lane.eq(lane + 1)
            with m.If(self.skip | (lane == self.top)):
                m.d.sync += [lane.eq(0), self.word.eq(self.word + 1)]
        return m

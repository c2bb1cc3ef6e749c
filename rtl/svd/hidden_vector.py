"""Memories of a hidden vector, in the words that each kind of rows meets."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .row_sums import Pass
from .vector_memory import VectorMemory

__all__ = ["HiddenVector"]


class HiddenVector(wiring.Component):
    """A hidden vector before and behind the transform, as the rows of each pass take it.

    ======= =======================================================================
    kind    words
    ======= =======================================================================
    BASIS   the vector as given, as many elements as there are lanes for wide weights
    PREVIEW ``columns`` elements of ``h``, ``lanes`` a word
    TAIL    with ``residual`` all of ``h`` from word 0 on; else the elements behind the
            preview's, in the words behind the preview's
    ======= =======================================================================

    With ``transform="supplied"`` the given vector is ``h``. Read latency 1 cycle; throughput one
    element written and one word read per cycle.

    Parameters
    ----------
    config : SvdSoftmaxConfig
        Configuration.

    Members
    -------
    start : In(1)
        A vector begins. Not with an element.
    given : In(signed(config.hidden_bits))
        Element as given.
    given_valid : In(1)
        ``given`` holds one.
    transformed : In(signed(config.hidden_bits))
        Element of ``h`` from the transform.
    transformed_valid : In(1)
        ``transformed`` holds one.
    columns : In(range(config.max_preview + 1))
        Elements in the preview; held.
    kind : In(Pass)
        Kind of the rows that read.
    read : In(range(config.vector_words))
        Word to read.
    o : Out(ArrayLayout(signed(config.hidden_bits), config.lanes))
        That word, a cycle later.
    """

    def __init__(self, config):
        self.config = config
        element = signed(config.hidden_bits)
        super().__init__({
            "start": In(1), "given": In(element), "given_valid": In(1),
            "transformed": In(element), "transformed_valid": In(1),
            "columns": In(range(config.max_preview + 1)), "kind": In(Pass),
            "read": In(range(config.vector_words)),
            "o": Out(data.ArrayLayout(element, config.lanes)),
        })

    def elaborate(self, platform):
        m = Module()
        config = self.config
        transforms = config.transform == "engine"
        element = Signal(signed(config.hidden_bits))
        valid = Signal()
        number = Signal(range(config.dim + 1))
        m.d.comb += [element.eq(self.transformed if transforms else self.given),
                     valid.eq(self.transformed_valid if transforms else self.given_valid)]
        with m.If(valid):
            m.d.sync += number.eq(number + 1)
        with m.If(self.start):
            m.d.sync += number.eq(0)
        m.submodules.words = words = VectorMemory(
            config.hidden_bits, config.lanes, config.vector_words, config.memory)
        m.d.comb += [
            words.start.eq(self.start), words.i.eq(element), words.write.eq(valid),
            words.skip.eq(number == self.columns - 1),
            words.top.eq(Mux(number < self.columns, config.lanes - 1, config.tail_lanes - 1)),
            words.read.eq(self.read), self.o.eq(words.o),
        ]
        if config.residual:
            fine = self._words(m, "fine_words", config.tail_lanes, element, valid)
            with m.If(self.kind == Pass.TAIL):
                m.d.comb += self.o.as_value().eq(fine.o.as_value())
        if transforms:
            given = self._words(m, "given_words", config.wide_lanes, self.given, self.given_valid)
            with m.If(self.kind == Pass.BASIS):
                m.d.comb += self.o.as_value().eq(given.o.as_value())
        return m

    def _words(self, m, name, lanes, element, valid):
        """All elements, ``lanes`` a word."""
        config = self.config
        m.submodules[name] = words = VectorMemory(
            config.hidden_bits, lanes, -(-config.dim // lanes), config.memory)
        m.d.comb += [words.start.eq(self.start), words.i.eq(element), words.write.eq(valid),
                     words.top.eq(lanes - 1), words.read.eq(self.read)]
        return words

"""Threshold of the largest logits: the high byte from one histogram, the low byte from another."""

from amaranth import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .threshold import Threshold

__all__ = ["ThresholdSearch"]


class ThresholdSearch(wiring.Component):
    """The ``count``-th largest of all logits, in offset binary, and its places.

    The high bytes of all logits are counted as they come, with ``add``. ``find`` finds the byte in
    which the ``count``-th largest lies; then all logits come again, with ``again``, and the low
    bytes of those in that bin give the other one. Logits above ``threshold`` are among the
    ``count`` largest, and of those at it as many as there are ``places``.

    256 cycles from ``clear`` until the first logit may be added, and 768 from ``find`` to ``done``
    beside those in which the logits come again.

    Parameters
    ----------
    config : SvdSoftmaxConfig
        Configuration.

    Members
    -------
    clear : In(1)
        Start to clear the histogram. Not while ``busy``, as ``find``.
    add : In(1)
        Count ``logit``, of all words.
    logit : In(config.LOGIT_BITS)
        Logit, in offset binary.
    count : In(range(config.max_count + 1))
        Logits that are wanted, at least 1; held from ``find`` to ``done``.
    find : In(1)
        All logits were added.
    rescan : Out(1)
        Pulses when all logits must come again.
    again : In(1)
        ``again_logit`` is one of them. Not before ``rescan``.
    again_logit : In(config.LOGIT_BITS)
        Logit, in offset binary.
    rescanned : In(1)
        The last one came a cycle before; held until ``done``.
    busy : Out(1)
        Clearing or searching.
    done : Out(1)
        Pulses when ``threshold`` and ``places`` are valid; they are held until the next ``find``.
    threshold : Out(config.LOGIT_BITS)
        Least logit of the largest ones, in offset binary.
    places : Out(range(config.max_count + 1))
        How many of those at the threshold are among them.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({
            "clear": In(1), "add": In(1), "logit": In(config.LOGIT_BITS),
            "count": In(range(config.max_count + 1)), "find": In(1), "rescan": Out(1),
            "again": In(1), "again_logit": In(config.LOGIT_BITS), "rescanned": In(1),
            "busy": Out(1), "done": Out(1), "threshold": Out(config.LOGIT_BITS),
            "places": Out(range(config.max_count + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.histogram = histogram = Threshold(self.config.max_vocab)
        high = Signal(8)
        target = Signal.like(histogram.target)
        m.d.comb += [histogram.target.eq(target), self.threshold.eq(Cat(histogram.bin, high))]
        m.d.sync += [histogram.add.eq(self.add), histogram.value.eq(self.logit[8:])]
        with m.FSM():
            with m.State("COUNT_HIGH"):
                m.d.comb += [self.busy.eq(histogram.busy), histogram.clear.eq(self.clear)]
                m.d.sync += target.eq(self.count)
                with m.If(self.find):
                    m.next = "FIND_HIGH"
            with m.State("FIND_HIGH"):
                m.d.comb += [self.busy.eq(1), histogram.find.eq(1)]
                m.next = "HIGH"
            with m.State("HIGH"):
                m.d.comb += self.busy.eq(1)
                with m.If(~histogram.busy):
                    m.d.comb += histogram.clear.eq(1)
                    m.d.sync += [high.eq(histogram.bin), target.eq(histogram.left)]
                    m.next = "CLEAR"
            with m.State("CLEAR"):
                m.d.comb += self.busy.eq(1)
                with m.If(~histogram.busy):
                    m.d.comb += self.rescan.eq(1)
                    m.next = "COUNT_LOW"
            with m.State("COUNT_LOW"):
                m.d.comb += self.busy.eq(1)
                m.d.sync += [histogram.add.eq(self.again & (self.again_logit[8:] == high)),
                             histogram.value.eq(self.again_logit[:8])]
                with m.If(self.rescanned):
                    m.next = "FIND_LOW"
            with m.State("FIND_LOW"):
                m.d.comb += [self.busy.eq(1), histogram.find.eq(1)]
                m.next = "LOW"
            with m.State("LOW"):
                m.d.comb += self.busy.eq(1)
                m.d.sync += self.places.eq(histogram.left)
                with m.If(~histogram.busy):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += [self.busy.eq(1), self.done.eq(1)]
                m.next = "COUNT_HIGH"
        return m

"""Hardware of the exponentials."""

from amaranth import Cat, Module, Mux

from ..blocks.pipeline import delays
from .split_core import SplitDatapath
from .two_pass_core import Schedule

__all__ = ["ExponentialsDatapath", "latency"]


def latency(config):
    """Cycles of a row of one beat."""
    return Schedule(config).term + 1


class ExponentialsDatapath(SplitDatapath):
    """First pass: maximum. Second pass: exponentials, as products of two table words."""

    def elaborate(self, platform):
        m = Module()
        config, at = self.config, self.at
        rows, distances = self._first_pass(m)
        terms, _ = self.terms(m, distances, rows.o.live)
        w, cycles = config.out_bits, at.term - at.read + 1
        m.d.sync += [element.eq(Mux(term[w], Cat(term[w]).replicate(w), term[:w]))
                     for element, term in zip(self.o.data, terms, strict=True)]
        m.d.comb += [
            self.o.keep.eq(delays(m, rows.o.keep, cycles, "read_keep")[-1]),
            self.o.last.eq(delays(m, rows.o.last, cycles, "read_last")[-1]),
            self.o_valid.eq(delays(m, rows.valid, cycles, "read_valid")[-1]),
            self.leaving.eq(rows.leaving),
        ]
        return m

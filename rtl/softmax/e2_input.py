"""E2Softmax with codes in steps of the input."""

from amaranth import Cat, Const, Mux, Signal

from ..adder_tree import AdderTree
from ..lookup import constant_multiple, lookup
from ..max_radix import MaxRadix
from .e2_core import TABLE_BITS, E2Datapath, Schedule, round_half_up


__all__ = ["InputDatapath"]


class InputDatapath(E2Datapath):
    """References lie on whole octaves; what an element stands for, and log2 S, are looked up.

    The top code stands for 0, in the sum and in the output.
    """

    @staticmethod
    def schedule(config):
        # Unrounded logits are positions already, but for the sign bit.
        return Schedule(
            position=int(config.input_shift < 0), candidates=MaxRadix.stages(config.bucket_bits),
            distance=0, beat_sum=AdderTree.stages(config.lanes))

    def _references(self, m, positions):
        config, at = self.config, self.at
        m.submodules.maximum = finder = MaxRadix(config.bucket_bits, config.lanes)
        m.d.comb += finder.live.eq(self.lives[at.position])
        m.d.comb += [word.eq(x[config.bucket_shift:])
                     for word, x in zip(finder.data, positions, strict=True)]

        maximum = Signal(config.bucket_bits)
        octave = Signal(config.octave_bits)
        reference = Signal(config.reference_bits)
        # The least bucket is neutral, so that a beat of which no element takes part needs no flag.
        rises = self.firsts[at.candidates] | (finder.o > maximum)
        with m.If(self.valids[at.candidates] & rises):
            m.d.sync += [maximum.eq(finder.o), octave.eq(self._octave(m, finder.o)),
                         reference.eq(self._reference(m, finder.o))]
        return reference, self._rise(m, octave, lambda m, difference: difference)

    def _octave(self, m, bucket):
        """Octave of a maximum's bucket."""
        config = self.config
        if config.bucket_bits <= TABLE_BITS:
            words = [config.octave(b) for b in range(1 << config.bucket_bits)]
            return lookup(m, bucket, words, name="octave_word")
        a, p, _, _ = config.octave_factors
        top = Cat(Const((1 << config.bucket_shift) - 1, config.bucket_shift), bucket)
        return (constant_multiple(top, a) >> p) + 1

    def _reference(self, m, bucket):
        """Position of the reference for a maximum's bucket."""
        config = self.config
        if config.bucket_bits <= TABLE_BITS:
            words = [config.reference(b) for b in range(1 << config.bucket_bits)]
            return lookup(m, bucket, words, name="reference_word")
        _, _, g, q = config.octave_factors
        return round_half_up(constant_multiple(self._octave(m, bucket), g), q)

    def _near(self, distance):
        return ~distance[self.config.code_bits:].any()

    def _near_code(self, m, distance, name):
        return distance[:self.config.code_bits]

    def _beat_sum(self, m, codes, distances):
        config, at = self.config, self.at
        term_bits = config.unit_term.bit_length()
        m.submodules.beat_sum = tree = AdderTree(term_bits, config.lanes,
                                                 largest=config.unit_term)
        # The terms come from the distances, not from the codes, and are there a stage sooner.
        for k, distance in enumerate(distances):
            term = Signal(term_bits, name=f"term_{k}", reset_less=True)
            with m.If(self.lives[at.distance][k] & self._near(distance)):
                m.d.sync += term.eq(lookup(m, distance[:config.code_bits], config.terms,
                                           name=f"term_word_{k}"))
            with m.Else():
                m.d.sync += term.eq(0)
            m.d.comb += tree.i[k].eq(term)
        return tree.o

    def _late_code(self, m, distance):
        # No more than makes every output 0.
        zero = self.config.zero_code
        return Mux(distance >= zero, zero, distance)[:zero.bit_length()]

    def _logarithm(self, m, place, fraction):
        log = lookup(m, Cat(fraction, place), self.config.sum_logs, name="log_word")
        return log, Const(0, 0)

"""Codes that count steps of the input, for any method with a running reference."""

from amaranth import Cat, Const, Mux, Signal

from ..blocks.adder_tree import AdderTree
from ..blocks.lookup import constant_multiple, lookup
from ..fixed import round_shift
from .online_core import TABLE_BITS, OnlineDatapath, levels

__all__ = ["InputCodeDatapath"]


class InputCodeDatapath(OnlineDatapath):
    """References lie on whole octaves; what an element stands for is looked up by its code.

    The top code stands for 0, in the sum (``config.terms``) and in the output. Codes from
    ``config.zero_code`` on make an output of 0.
    """

    @staticmethod
    def first_pass(config):
        # Unrounded logits are positions already, but for the sign bit.
        return {"position": int(config.axis.factors[1] > 0), "distance": 0,
                "beat_sum": AdderTree.stages(config.lanes, levels(config))}

    @staticmethod
    def search(config):
        return {"width": config.axis.bucket_bits, "radix": True,
                "relaxed": config.pipeline == "deep"}

    def _references(self, m, positions):
        axis = self.config.axis
        maximum = self._maximum(m, [x[axis.bucket_shift:] for x in positions])
        octave = Signal(axis.octave_bits)
        self.reference = Signal(axis.reference_bits)
        with m.If(maximum.update):
            m.d.sync += [octave.eq(self._octave(m, maximum.candidate)),
                         self.reference.eq(self._reference(m, maximum.candidate))]
        return self.reference, self._risen(m, octave)

    def _octave(self, m, bucket):
        """Octave of a maximum's bucket."""
        axis = self.config.axis
        if axis.bucket_bits <= TABLE_BITS:
            words = [axis.octave(b) for b in range(1 << axis.bucket_bits)]
            return lookup(m, bucket, words, name="octave_word")
        a, p, _, _ = axis.octave_factors
        top = Cat(Const((1 << axis.bucket_shift) - 1, axis.bucket_shift), bucket)
        return (constant_multiple(top, a) >> p) + 1

    def _reference(self, m, bucket):
        """Position of the reference for a maximum's bucket."""
        axis = self.config.axis
        if axis.bucket_bits <= TABLE_BITS:
            words = [axis.reference(b) for b in range(1 << axis.bucket_bits)]
            return lookup(m, bucket, words, name="reference_word")
        _, _, g, q = axis.octave_factors
        return round_shift(constant_multiple(self._octave(m, bucket), g), q, "round")

    def _near(self, k, distance):
        """Whether an element takes part and is near enough for a code of its own."""
        return self.lives[self.at.distance][k] & ~distance[self.code_bits:].any()

    def _codes(self, m, distances):
        codes = []
        for k, distance in enumerate(distances):
            code = Signal(self.code_bits, name=f"code_{k}", reset_less=True)
            near = self._near(k, distance)
            m.d.sync += code.eq(Mux(near, distance[:self.code_bits], self.config.top_code))
            codes.append(code)
        return codes

    def _beat_sum(self, m, codes, distances):
        config = self.config
        largest = config.terms[0]
        m.submodules.beat_sum = tree = AdderTree(largest.bit_length(), config.lanes,
                                                 largest=largest, levels=levels(config))
        # The terms come from the distances, not from the codes, and are there a stage sooner.
        for k, distance in enumerate(distances):
            term = Signal(largest.bit_length(), name=f"term_{k}", reset_less=True)
            with m.If(self._near(k, distance)):
                m.d.sync += term.eq(lookup(m, distance[:self.code_bits], config.terms,
                                           name=f"term_word_{k}"))
            with m.Else():
                m.d.sync += term.eq(0)
            m.d.comb += tree.i[k].eq(term)
        return tree.o

    def _late_code(self, m, rise):
        # No more than makes every output 0.
        zero = self.config.zero_code
        return Mux(rise >= zero, zero, rise)[:zero.bit_length()]

    def _looked_up(self, m, codes, offset, words, name):
        """Words of codes that ``offset`` is added to, registered; 0 beyond their end."""
        bits = max((len(words) - 1).bit_length(), 1)
        words = [*words, *[0] * ((1 << bits) - len(words))]
        found = []
        for k, code in enumerate(codes):
            total = Signal(max(self.code_bits, len(offset), bits) + 1, name=f"{name}_total_{k}")
            m.d.comb += total.eq(code + offset)
            word = Signal(max(max(words), 1).bit_length(), name=f"{name}_{k}", reset_less=True)
            # Where the sum of a top code and something does not tell that it is one, it is asked.
            unsaid = code == self.config.top_code if self.ends_early else 0
            with m.If(total[bits:].any() | unsaid):
                m.d.sync += word.eq(0)
            with m.Else():
                m.d.sync += word.eq(lookup(m, total[:bits], words, name=f"{name}_word_{k}"))
            found.append(word)
        return found

    @property
    def ends_early(self):
        """Whether codes end before all outputs are 0."""
        return self.config.top_code < self.config.zero_code

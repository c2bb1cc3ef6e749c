"""Codes that count steps of the input: a kind of code of any method with a running reference."""

from amaranth import Mux, Signal

from ..blocks.adder_tree import AdderTree
from ..blocks.lookup import lookup
from .online import Reference
from .positions import Distances, OctaveReferences, Positions
from .row_sum import levels
from .search import MaximumSearch

__all__ = ["InputCodes", "corrected_words", "ends_early"]


class InputCodes:
    """Kind of code: the distance to a reference on whole octaves, in steps of ``config.grid``.

    What an element stands for is looked up by its code. The top code stands for 0, in the sum
    (``config.terms``, a word for each code) and in the output. Codes from ``config.zero_code`` on
    make an output of 0. :class:`~rtl.softmax.online.OnlineDatapath` says what the members are.

    Parameters
    ----------
    config : SoftmaxConfig
        With a ``grid`` (:class:`~rtl.softmax.grid.InputGrid`), ``code_bits``, ``top_code``,
        ``zero_code``, ``terms`` and ``pipeline``.
    """

    flagged = False

    def __init__(self, config):
        self.config = config
        grid = config.grid
        # Unrounded logits are positions already, but for the sign bit.
        self.position = Positions(config, int(grid.factors[1] > 0))
        self.search = MaximumSearch(grid.bucket_bits, config.summands, radix=True,
                                    relaxed=config.pipeline == "deep")
        self._references = OctaveReferences(grid)
        self.reference_latency = self._references.latency
        self.distance = Distances(config, 0)
        self.sum = _TermSum(config)
        self.bits = config.code_bits
        self.stored_bits = grid.reference_bits

    def searched(self, positions):
        """Words to take the maximum of: the buckets of the positions."""
        return [x[self.config.grid.bucket_shift:] for x in positions]

    def reference(self, m, maximum):
        """Reference of the maximum, looked up or computed from its bucket, registered."""
        octave, reference = self._references(m, maximum)
        return Reference(position=reference, level=octave, stored=reference)

    @staticmethod
    def rise(m, risen):
        """Shift of the sum: octaves."""
        return risen

    def encode(self, m, beat):
        """Distances, at most the top code; the top code for elements that take no part."""
        config = self.config
        codes = []
        for k, distance in enumerate(beat.distances):
            code = Signal(self.bits, name=f"code_{k}", reset_less=True)
            m.d.sync += code.eq(Mux(_near(config, beat, k), distance[:self.bits],
                                    config.top_code))
            codes.append(code)
        return codes

    def late(self, m, rise):
        """What codes lack: the rise itself, but no more than makes every output 0."""
        zero = self.config.zero_code
        return Mux(rise >= zero, zero, rise)[:zero.bit_length()]


class _TermSum:
    """Stage: sum of the terms of a beat's codes.

    The terms are looked up by the distances, not by the codes, and are there with the codes.
    """

    def __init__(self, config):
        self.config = config
        self.latency = AdderTree.stages(config.summands, levels(config))

    def __call__(self, m, beat, codes):
        config = self.config
        largest = config.terms[0]
        m.submodules.beat_sum = tree = AdderTree(largest.bit_length(), config.summands,
                                                 largest=largest, levels=levels(config))
        for k, distance in enumerate(beat.distances):
            term = Signal(largest.bit_length(), name=f"term_{k}", reset_less=True)
            with m.If(_near(config, beat, k)):
                m.d.sync += term.eq(lookup(m, distance[:config.code_bits], config.terms,
                                           name=f"term_word_{k}"))
            with m.Else():
                m.d.sync += term.eq(0)
            m.d.comb += tree.i[k].eq(term)
        return tree.o


def _near(config, beat, lane):
    """Whether an element takes part and is near enough for a code of its own."""
    return beat.live[lane] & ~beat.distances[lane][config.code_bits:].any()


def ends_early(config):
    """Whether codes end before all outputs are 0."""
    return config.top_code < config.zero_code


def corrected_words(m, config, codes, offset, words, name):
    """Words of codes that ``offset`` is added to, registered; 0 beyond their end.

    ``codes`` is a list of Values of ``config.code_bits`` bits, ``offset`` a Value, ``words`` a list
    of integers. One cycle.
    """
    bits = max((len(words) - 1).bit_length(), 1)
    words = [*words, *[0] * ((1 << bits) - len(words))]
    found = []
    for k, code in enumerate(codes):
        total = Signal(max(config.code_bits, len(offset), bits) + 1, name=f"{name}_total_{k}")
        m.d.comb += total.eq(code + offset)
        word = Signal(max(max(words), 1).bit_length(), name=f"{name}_{k}", reset_less=True)
        # ``top_code + offset`` may stay in the table, so compare the code.
        top = code == config.top_code if ends_early(config) else 0
        with m.If(total[bits:].any() | top):
            m.d.sync += word.eq(0)
        with m.Else():
            m.d.sync += word.eq(lookup(m, total[:bits], words, name=f"{name}_word_{k}"))
        found.append(word)
    return found

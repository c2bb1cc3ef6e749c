"""Hardware of the 2D LUT."""

from amaranth import Cat, Const, Mux, Signal

from ..lookup import lookup
from ..pipeline import delays
from ..row_unit import RowUnit
from .two_pass_core import ExponentTableDatapath, Stages, direct


__all__ = ["Lut2dSoftmax", "stages"]


def stages(config):
    """Cycles of the method."""
    return Stages(terms=1 if direct(config) else 2, result=1, outputs=1 + levels(config.rows - 1))


def levels(count):
    """Multiplexers, one behind the other, that pick one of ``count`` words."""
    return max(-(-(count - 1).bit_length() // 2), 1)


class Lut2dSoftmax(RowUnit):
    """2D-LUT softmax unit; :class:`rtl.softmax.lut2d.Lut2dSoftmaxConfig` says what it computes.

    First pass: maximum. Second pass: exponents and their rows of the two-dimensional table. Third
    pass: the column of the sum, of which every lane picks a word.
    """

    def __init__(self, config):
        super().__init__(config, _Datapath(config))


def places(count):
    """Where each of ``count`` words lies in a tree of four-way multiplexers.

    Up to 16 words are the leaves of a root with four branches: a branch is a multiplexer or, where
    it can be, a single word. That takes a LUT6 for three words.
    """
    if count <= 4 or count > 16:
        return tuple(range(count))
    inner = max(-(-(count - 4) // 3), 0)
    found = [4 * branch + leaf for branch in range(inner) for leaf in range(4)]
    found += [4 * branch for branch in range(inner, 4)]
    return tuple(found[:count])


class _Datapath(ExponentTableDatapath):
    def __init__(self, config):
        super().__init__(config)
        self._alone = {}

    @property
    def largest_term(self):
        return max(self.config.exponentials[0], 1)

    @property
    def places(self):
        """Places of the rows' words in the multiplexers; row 0 is always 0, and has none."""
        return places(self.config.rows - 1)

    @property
    def code_shape(self):
        # With the flag that it is a place.
        return max(self.places[-1].bit_length(), 1) + 1

    def terms(self, m, distances, live):
        config = self.config
        flag = 1 << (self.code_shape - 1)
        codes = [flag | self.places[r - 1] if r else 0 for r in config.row_numbers]
        return (self.looked_up(m, distances, live, config.exponentials, "term"),
                self.looked_up(m, distances, live, codes, "code", self.code_shape))

    def result(self, m, total):
        config = self.config
        return self.sum_index(m, total, config.linear_index(total),
                              1 << config.sum_fraction_bits, config.column_count)

    def outputs(self, m, codes, index):
        config = self.config
        # Linear columns start at 1.
        missing = [0] if config.sum_index == "linear" else []
        words = [Const(0, config.out_bits)] * (1 << (self.code_shape - 1))
        for r, place in enumerate(self.places, 1):
            word = Signal(config.out_bits, name=f"column_{r}")
            m.d.sync += word.eq(lookup(m, index, [*missing, *config.sigma[r]],
                                       name=f"column_word_{r}"))
            words[place] = word
        outputs = []
        for k, code in enumerate(codes):
            code = delays(m, code, 1, f"code_{k}")[-1]
            place, flag = code[:-1], code[-1]
            level = words
            while len(level) > 4:
                level, place, flag = self._level(m, level, place, flag, k)
            output = Signal(config.out_bits, name=f"output_{k}", reset_less=True)
            with m.If(flag):
                m.d.sync += output.eq(_four(level, place))
            with m.Else():
                m.d.sync += output.eq(0)
            outputs.append(output)
        return outputs

    def _level(self, m, words, place, flag, lane):
        """A level of the tree, with registers behind it."""
        following = []
        for start in range(0, len(words), 4):
            group = words[start:start + 4]
            name = f"level_{len(words)}_{start}"
            if all(isinstance(word, Const) for word in group[1:]):
                # A word alone waits for all lanes together.
                if name not in self._alone:
                    self._alone[name] = delays(m, group[0], 1, name)[-1]
                following.append(self._alone[name])
            else:
                node = Signal(self.config.out_bits, name=f"{name}_{lane}")
                m.d.sync += node.eq(_four(group, place[:2]))
                following.append(node)
        waiting = delays(m, Cat(place[2:], flag), 1, f"place_{len(words)}_{lane}")[-1]
        return following, waiting[:-1], waiting[-1]


def _four(words, place):
    """Word at a place of up to four: one LUT6 a bit."""
    words = [*words, *[Const(0, len(words[0]))] * (4 - len(words))]
    if len(place) == 1:
        return Mux(place, words[1], words[0])
    return Mux(place[1], Mux(place[0], words[3], words[2]), Mux(place[0], words[1], words[0]))

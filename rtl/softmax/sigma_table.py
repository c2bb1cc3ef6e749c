"""Two-dimensional table of the 2D LUT: words by row and column, for every lane."""

from amaranth import Cat, Const, Mux, Signal

from ..blocks.block_table import BlockTable
from ..blocks.lookup import lookup
from ..blocks.pipeline import delays

__all__ = ["places", "sigma_table"]


def sigma_table(config):
    """Stage that holds the table of a configuration: a :class:`_Block` or :class:`_Multiplexed`.

    Either has a ``latency`` from codes and column to outputs, the ``code(row)`` that stands for a
    row (0 for row 0), its width ``code_bits``, and is called as ``table(m, codes, column)``.
    """
    return (_Block if config.sigma_memory == "block" else _Multiplexed)(config)


def _columns(config, row):
    """Words of a row, by the index of the sum. Linear columns start at 1."""
    return [*([0] if config.sum_index == "linear" else []), *config.sigma[row]]


class _Block:
    """The whole table in block RAM, a copy for every two lanes."""

    latency = BlockTable.latency

    def __init__(self, config):
        self.config = config
        self.code_bits = (config.rows - 1).bit_length()

    @staticmethod
    def code(row):
        return row

    def __call__(self, m, codes, column):
        config = self.config
        # As many columns as the index can tell apart: short rows reach the first ones only.
        size, words = 1 << len(column), []
        for row in range(config.rows):
            columns = _columns(config, row)[:size]
            words += columns + [0] * (size - len(columns))
        m.submodules.sigma = table = BlockTable(words, config.out_bits, config.lanes)
        m.d.comb += [index.eq(Cat(column, code))
                     for index, code in zip(table.index, codes, strict=True)]
        return list(table.o)


class _Multiplexed:
    """A column, fetched once a row, of which every lane picks a word."""

    def __init__(self, config):
        self.config = config
        self.latency = 1 + max(-(-(config.rows - 2).bit_length() // 2), 1)
        #: Places of the rows' words in the multiplexers; row 0 is always 0, and has none.
        self.places = places(config.rows - 1)
        # With the flag that it is a place.
        self.code_bits = max(self.places[-1].bit_length(), 1) + 1

    def code(self, row):
        return 1 << (self.code_bits - 1) | self.places[row - 1] if row else 0

    def __call__(self, m, codes, column):
        config = self.config
        words = [Const(0, config.out_bits)] * (1 << (self.code_bits - 1))
        for row, place in enumerate(self.places, 1):
            word = Signal(config.out_bits, name=f"column_{row}")
            m.d.sync += word.eq(lookup(m, column, _columns(config, row),
                                       name=f"column_word_{row}"))
            words[place] = word
        outputs, alone = [], {}
        for k, code in enumerate(codes):
            code = delays(m, code, 1, f"code_{k}")[-1]
            place, flag = code[:-1], code[-1]
            level = words
            while len(level) > 4:
                level, place, flag = self._level(m, level, place, flag, k, alone)
            output = Signal(config.out_bits, name=f"output_{k}", reset_less=True)
            with m.If(flag):
                m.d.sync += output.eq(_four(level, place))
            with m.Else():
                m.d.sync += output.eq(0)
            outputs.append(output)
        return outputs

    def _level(self, m, words, place, flag, lane, alone):
        """A level of the tree, with registers behind it.

        ``alone`` collects the registers of the words that wait for all lanes together, by name.
        """
        following = []
        for start in range(0, len(words), 4):
            group = words[start:start + 4]
            name = f"level_{len(words)}_{start}"
            if all(isinstance(word, Const) for word in group[1:]):
                if name not in alone:
                    alone[name] = delays(m, group[0], 1, name)[-1]
                following.append(alone[name])
            else:
                node = Signal(self.config.out_bits, name=f"{name}_{lane}")
                m.d.sync += node.eq(_four(group, place[:2]))
                following.append(node)
        waiting = delays(m, Cat(place[2:], flag), 1, f"place_{len(words)}_{lane}")[-1]
        return following, waiting[:-1], waiting[-1]


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


def _four(words, place):
    """Word at a place of up to four: one LUT6 a bit."""
    words = [*words, *[Const(0, len(words[0]))] * (4 - len(words))]
    if len(place) == 1:
        return Mux(place, words[1], words[0])
    return Mux(place[1], Mux(place[0], words[3], words[2]), Mux(place[0], words[1], words[0]))

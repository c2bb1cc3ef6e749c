"""Hardware that the two methods of Vasyltsov & Chang share."""

from amaranth import Cat, Mux, Signal

from ..blocks.leading_one import normalised
from ..blocks.lookup import constant_multiple, lookup
from ..blocks.pipeline import delays
from .input_codes import InputCodeDatapath
from .two_pass_core import TwoPassDatapath

__all__ = ["FinalDatapath", "RunningDatapath", "direct", "index_cycles"]

# Distances of up to this many bits are looked up; wider ones are scaled to an index first.
DIRECT_BITS = 8

# Steps after which the normalisation of a sum rests, where there is time.
RESTS = (2,)


def index_cycles(config):
    """Cycles from a row's sum to its index, with the final maximum."""
    return 1 + (len(RESTS) if config.sum_index == "floating" else 0)


def direct(config):
    """Whether distances are looked up as they are."""
    return (config.span - 1).bit_length() <= DIRECT_BITS


class FinalDatapath(TwoPassDatapath):
    """Exponents relative to the final maximum, an indexed sum."""

    def looked_up(self, m, distances, live, words, name, width=None):
        """Word of each element by its index, registered; 0 where it takes no part.

        ``words`` are those of the entries of the exponent table, or what belongs to them.
        """
        config = self.config
        if direct(config):
            words = [words[config.index(d)] for d in range(config.span)] + [words[-1]]
            indices = distances
        else:
            indices, live = self._indices(m, distances, live, name)
            words = list(words)
        # All from where the words stay the same is beyond the table.
        tail = words[-1]
        while len(words) > 1 and words[-1] == tail:
            words.pop()
        bits = (len(words) - 1).bit_length()
        words += [tail] * ((1 << bits) - len(words))
        results = []
        for k, index in enumerate(indices):
            result = Signal(width or max(max(words), 1).bit_length(), name=f"{name}_{k}",
                            reset_less=True)
            far = index[bits:].any()
            word = lookup(m, index[:bits], words, name=f"{name}_word_{k}") if bits else words[0]
            with m.If(~live[k] | (far if not tail else 0)):
                m.d.sync += result.eq(0)
            with m.Elif(far if tail else 0):
                m.d.sync += result.eq(tail)
            with m.Else():
                m.d.sync += result.eq(word)
            results.append(result)
        return results

    def _indices(self, m, distances, live, name):
        """Registered indices of distances that are too wide for a table."""
        config = self.config
        multiplier, shift = config.index_factors
        half = 1 << shift >> 1 if config.exp_index == "round" else 0
        last = config.entries - 1
        indices = []
        for k, distance in enumerate(distances):
            scaled = (constant_multiple(distance, multiplier) + half) >> shift
            index = Signal(last.bit_length(), name=f"{name}_index_{k}")
            m.d.sync += index.eq(Mux(scaled >= last, last, scaled))
            indices.append(index)
        return indices, delays(m, live, 1, f"{name}_live")[-1]

    def sum_index(self, m, total, linear, least, last):
        """Index of a row's sum, registered: floating, or ``linear`` kept within its bounds."""
        if self.config.sum_index == "floating":
            place, fraction = normalised(m, total, self.config.smallest_place,
                                         self.config.sum_mantissa_bits, rests=RESTS)
            value = Cat(fraction, place)
        else:
            value = Mux(linear < least, least, linear)
            if last < (1 << len(linear)) - 1:
                value = Mux(linear > last, last, value)
            value = value[:last.bit_length()]
        index = Signal(len(value), name="sum_index")
        m.d.sync += index.eq(value)
        return index


class RunningDatapath(InputCodeDatapath):
    """Exponents relative to a running reference, a floating index of the sum."""

    @property
    def mantissa_bits(self):
        return self.config.sum_mantissa_bits

    def late_words(self, m, late, words, name):
        """Word of each element by its corrected distance, two cycles after the beat was read."""
        return self._looked_up(m, self._read_codes(m, 1), late, words[:self.config.zero_code], name)

"""Predictors: cheap estimates of the dot products, from codes of a few bits or of a few dimensions.

An element ``x`` has a code, a pair of codes a term, and the predicted score of a key is the sum of
its terms over the dimensions. Terms carry a constant that makes them non-negative; what is selected
by the scores depends on their differences only.
"""

from amaranth import Cat, Const, Signal, signed

from ...blocks.adder_tree import AdderTree
from ...blocks.lookup import lookup
from ...blocks.products import DotProduct
from .signed_sum import SignedSum
from .term_sum import TermSum

__all__ = ["PREDICTORS", "Prefix", "Predictor", "predictor"]


# Products of the magnitudes of octave codes.
WORDS = [[min(a * b, 15) for b in (0, 1, 2, 4)] for a in (0, 1, 2, 4)]


class Predictor:
    """A predictor for elements of ``bits`` bits: integer functions, and the same as logic.

    Attributes
    ----------
    dims : int
        Dimensions that it looks at, from the first on.
    code_bits : int
        Width of a code.
    largest : int
        Largest term.
    """

    #: Whether a score is a part of the exact dot product, which need not be computed again.
    partial = False

    def __init__(self, bits, dims):
        self.bits = bits
        self.dims = dims

    @property
    def score_bits(self):
        """Width of a score."""
        return (self.largest * self.dims).bit_length()

    @property
    def score_stages(self):
        """Cycles from the codes of a query and a key to the score."""
        return 1 + AdderTree.stages(self.dims)

    def score_logic(self, m, query, key, name):
        """Score of the codes of a query and a key, :attr:`score_stages` cycles later."""
        bits = self.largest.bit_length()
        m.submodules[name] = tree = AdderTree(bits, self.dims, largest=self.largest)
        for j in range(self.dims):
            term = Signal(bits, name=f"{name}_term_{j}")
            m.d.sync += term.eq(self.term_logic(m, query[j], key[j], term.name))
            m.d.comb += tree.i[j].eq(term)
        return tree.o

    def code(self, x):
        """Code of an element, as an unsigned integer."""
        raise NotImplementedError

    def term(self, a, b):
        """Term of two codes."""
        raise NotImplementedError

    def term_logic(self, m, a, b, name):
        """Logic of :meth:`term`."""
        raise NotImplementedError

    def code_logic(self, m, x, name):
        """Logic of :meth:`code`."""
        half = 1 << (self.bits - 1)
        words = [self.code(v - 2 * half if v >= half else v) for v in range(2 * half)]
        word = lookup(m, x.as_unsigned(), words, name=name)
        return Cat(word, Const(0, self.code_bits))[:self.code_bits]


class LeadingOne(Predictor):
    """Signs, and places of the leading ones, whose sum is the place of the product's.

    The term is ``2**(e_a + e_b - drop)`` with the sign of the product; none below 1.
    """

    code_bits = 4
    ZERO = 7

    @property
    def drop(self):
        """Place of the leading one below which a product counts as 0."""
        return self.bits - 2

    @property
    def bias(self):
        """Constant that each term carries."""
        return 1 << (self.bits - 2)

    @property
    def largest(self):
        return 2 * self.bias

    def code(self, x):
        # The lowest element has its leading one where no other has; it counts as the next one.
        place = min(abs(x).bit_length() - 1, self.bits - 2) if x else self.ZERO
        return (x < 0) << 3 | place

    def size(self, a, b):
        """Magnitude of the term of two places."""
        none = self.ZERO in (a, b) or a + b < self.drop
        return 0 if none else 1 << (a + b - self.drop)

    def term(self, a, b):
        size = self.size(a & 7, b & 7)
        return self.bias + (-size if (a ^ b) & 8 else size)

    @property
    def score_stages(self):
        return 1 + SignedSum.stages(self.dims)

    def score_logic(self, m, query, key, name):
        width, places = self.bits - 1, range(self.bits - 1)
        m.submodules[name] = total = SignedSum(width, self.dims, self.bias)
        for j in range(self.dims):
            a, b = query[j][:3], key[j][:3]
            # Each bit is a function of the six bits of two places: one LUT.
            hits = [Cat((a == x) & (b == self.drop + k - x) for x in places
                        if self.drop + k - x in places).any() for k in places]
            m.d.sync += [total.size[j].eq(Cat(hits)),
                         total.negative[j].eq(query[j][3] ^ key[j][3])]
        return total.o


class Octave(Predictor):
    """Signs, and magnitudes rounded to 0, 1, 2 or 4: nothing, and three octaves.

    The magnitude is ``x / 2**(bits - 4)``, rounded half away from 0; from 3 on it is 4. The term is
    the product, at most 15, and negative by one's complement, which saves an adder; an element of
    magnitude 0 has terms of 0.
    """

    code_bits = 3
    #: Constant that each term carries.
    bias = 16
    largest = 31

    def code(self, x):
        shift = self.bits - 4
        rounded = (2 * abs(x) + (1 << shift)) >> (shift + 1) if shift else abs(x)
        return (x < 0) << 2 | min(rounded, 3)

    def term(self, a, b):
        word = WORDS[a & 3][b & 3]
        return self.bias + (~word if word and (a ^ b) & 4 else word)

    @property
    def score_bits(self):
        # In hardware the sum carries a constant of its own.
        return TermSum.width(WORDS, self.dims)

    @property
    def score_stages(self):
        return TermSum.stages(self.dims)

    def score_logic(self, m, query, key, name):
        m.submodules[name] = terms = TermSum(WORDS, self.dims)
        m.d.comb += [terms.a.eq(query), terms.b.eq(key)]
        return terms.o


class Symmetric4(Predictor):
    """Elements rounded to four bits, symmetric: -7 to 7."""

    code_bits = 4
    largest = 64 + 49

    def code(self, x):
        shift = self.bits - 4
        rounded = (2 * abs(x) + (1 << shift)) >> (shift + 1) if shift else abs(x)
        rounded = min(rounded, 7)
        return (-rounded if x < 0 else rounded) & 15

    def term(self, a, b):
        return 64 + (a - 16 * (a > 7)) * (b - 16 * (b > 7))

    def term_logic(self, m, a, b, name):
        return (a.as_signed() * b.as_signed() + 64)[:7]


class Sign(Predictor):
    """Signs only: the score is the number of dimensions in which they agree."""

    code_bits = 1
    largest = 1

    def code(self, x):
        return int(x < 0)

    def term(self, a, b):
        return int(a == b)

    def term_logic(self, m, a, b, name):
        return ~(a ^ b)

    def code_logic(self, m, x, name):
        code = Signal(1, name=name)
        m.d.comb += code.eq(x[-1])
        return code


class Prefix(Predictor):
    """The exact dot product over the first dimensions, for a basis in which they carry most of it.

    :mod:`sim.accuracy.prefix_basis` finds one. What is predicted is a part of the dot product, and
    the kept keys have the other dimensions added to it.
    """

    partial = True

    @property
    def code_bits(self):
        return self.bits

    @property
    def bias(self):
        """Constant that each term carries."""
        return 1 << (2 * self.bits - 2)

    @property
    def largest(self):
        return 2 * self.bias

    def code(self, x):
        return x & ((1 << self.bits) - 1)

    def term(self, a, b):
        sign = 1 << (self.bits - 1)
        return self.bias + ((a ^ sign) - sign) * ((b ^ sign) - sign)

    @property
    def score_bits(self):
        # In hardware the sum carries a constant of its own.
        return DotProduct.width(signed(self.bits), signed(self.bits), self.dims)

    @property
    def offset(self):
        """Constant that a score in hardware carries."""
        return DotProduct.constant(signed(self.bits), signed(self.bits), self.dims)

    @property
    def score_stages(self):
        return DotProduct.stages(self.dims)

    def score_logic(self, m, query, key, name):
        element = signed(self.bits)
        m.submodules[name] = dot = DotProduct(element, element, self.dims)
        m.d.comb += [dot.a[j].eq(query[j].as_signed()) for j in range(self.dims)]
        m.d.comb += [dot.b[j].eq(key[j].as_signed()) for j in range(self.dims)]
        return dot.o


PREDICTORS = {"octave": Octave, "prefix": Prefix, "leading-one": LeadingOne, "4-bit": Symmetric4,
              "sign": Sign}


def predictor(name, bits, dims):
    """Predictor called ``name`` for elements of ``bits`` bits, over ``dims`` dimensions."""
    return PREDICTORS[name](bits, dims)

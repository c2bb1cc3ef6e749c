"""What the length of a row enters into: its reciprocal, its root and epsilon."""

import dataclasses
from fractions import Fraction

from ..fixed import half_up
from ..tables import quotient_word, root

__all__ = ["LENGTH_BITS", "Scale"]

# Fraction bits of reciprocals and square roots of the length, which are 1.0 up to 2.0.
LENGTH_BITS = 16


@dataclasses.dataclass(frozen=True)
class Scale:
    """What the length ``L`` of a row enters into.

    Attributes
    ----------
    reciprocal, shift : int
        ``1 / L`` is ``reciprocal * 2**-(LENGTH_BITS + shift)``, rounded half up.
    root : Fraction
        Mantissa, at least 1 and less than 2, of what the root of the radicand is divided into.
    exponent : int
        The standard deviation is ``sqrt(W) * 2**exponent / root``, with ``W`` in the binary point
        of :attr:`~rtl.layernorm.config.LayerNormConfig.radicand_bits`.
    epsilon : int
        Added to the radicand.
    """

    reciprocal: int
    shift: int
    root: Fraction
    exponent: int
    epsilon: int

    @classmethod
    def of(cls, length, weight, radicand_bits, epsilon):
        """Scale of a length whose radicand is the variance times ``weight``."""
        shift = (length - 1).bit_length()
        mantissa = root(weight / Fraction(4) ** (radicand_bits // 2 - 1))
        exponent = 0
        while mantissa < 1:
            mantissa, exponent = 2 * mantissa, exponent + 1
        while mantissa >= 2:
            mantissa, exponent = mantissa / 2, exponent - 1
        return cls(quotient_word(1 << (LENGTH_BITS + shift), length), shift, mantissa, exponent,
                   epsilon)

    @property
    def root_word(self):
        """:attr:`root` with ``LENGTH_BITS`` fraction bits, rounded half up."""
        return half_up(self.root * (1 << LENGTH_BITS))

"""Sum of a row, and the stage that splits it into a place and a mantissa."""

import dataclasses

from amaranth import Cat, Value

from ..blocks.adder_tree import LEVELS_PER_STAGE
from ..blocks.leading_one import normalised

__all__ = ["NormalisedSum", "RowSum", "levels", "rests"]


@dataclasses.dataclass(frozen=True)
class RowSum:
    """Signals that a skeleton offers to the stage that makes a row's result.

    Attributes
    ----------
    total : Value, unsigned
        Sum of the row's terms so far.
    end : list of Value, 1 bit each
        ``end[0]`` pulses while ``total`` is the sum of a whole row; ``end[k]`` pulses ``k`` cycles
        later, for ``k`` up to the latency of the stage.
    """

    total: Value
    end: list


class NormalisedSum:
    """Stage: place of the leading one of a row's sum, and the bits below it.

    The result is ``Cat(mantissa, place)``: ``bits`` bits of the sum below its leading one, and
    above them that one's place, less ``config.smallest_place``.

    Parameters
    ----------
    config : SoftmaxConfig
        With ``smallest_place``, the least place of the leading one of a sum that is not 0.
    bits : int
        Width of the mantissa.
    rests : tuple of int
        Steps of the normalisation after which there is a register. Latency: one cycle each.
    """

    def __init__(self, config, bits, rests=()):
        self.config, self.bits, self.rests = config, bits, rests

    @property
    def latency(self):
        """Cycles from the sum to the result."""
        return len(self.rests)

    def __call__(self, m, row):
        """Result of a row, from its :class:`RowSum`."""
        place, mantissa = normalised(m, row.total, self.config.smallest_place, self.bits,
                                     rests=self.rests)
        return Cat(mantissa, place)


def levels(config):
    """Additions of a beat's sum between two registers, by ``config.pipeline``."""
    return 1 if config.pipeline == "deep" else LEVELS_PER_STAGE


def rests(config):
    """Steps after which the normalisation of a sum has a register, by ``config.pipeline``."""
    return (2,) if config.pipeline == "deep" else ()

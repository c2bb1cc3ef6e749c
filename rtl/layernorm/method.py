"""What tells one LayerNorm method from another: three components and how sums are added."""

import dataclasses

__all__ = ["Method"]


@dataclasses.dataclass(frozen=True)
class Method:
    """Components of a method, which the datapath of every LayerNorm unit is made with.

    Each is a class of components that are made from the configuration. ``latencies(config)`` names
    the inputs that it needs, of those below, and says how many cycles it takes from each to the
    output ``o``. Throughput one result per cycle.

    Attributes
    ----------
    squares : type of Component
        Sum of the squares of a beat, from ``raw``: elements as they come, ``alpha``: exponents of
        their factors, ``live``: lanes that carry an element, ``value``: elements times factors.
    radicand : type of Component
        Radicand ``W`` from ``total``: sum of the elements of a row, ``squares``: that of their
        squares, ``mean``: the negated mean, ``epsilon``: what is added to the radicand, ``length``:
        elements of the row (of rows of variable length).
    mantissa : type of Component
        Mantissa of ``1 / sqrt(W)`` from ``normal``: bits of the radicand from the leading pair on.
    chained : bool
        Whether the elements of a beat are added in chains; see
        :class:`~rtl.layernorm.beat_sum.BeatSum`.
    """

    squares: type
    radicand: type
    mantissa: type
    chained: bool

"""Sink logit: an element of a row's first beat that takes weight and has no output."""

from amaranth import Cat, Signal, signed
from amaranth.lib import data

__all__ = ["with_sink"]


def with_sink(m, config, beat):
    """Elements of a beat that enter maximum and sum, and which of them take part.

    Parameters
    ----------
    config : SoftmaxConfig
        With ``sink``, ``summands`` and ``bits``.
    beat : RowDatapath
        Component whose ports bring the beats: ``data``, ``live``, ``first`` and ``row``.

    Returns
    -------
    elements : View(ArrayLayout(signed(bits), summands))
        The lanes and, with a sink, that of the row behind them.
    live : Value(summands)
        Bit k set: element k takes part; the sink does in the row's first beat, if it is valid.
    """
    if not config.sink:
        return beat.data, beat.live
    elements = Signal(data.ArrayLayout(signed(config.bits), config.summands), name="elements")
    m.d.comb += elements.eq(Cat(beat.data.as_value(), beat.row.sink))
    return elements, Cat(beat.live, beat.first & beat.row.sink_valid)

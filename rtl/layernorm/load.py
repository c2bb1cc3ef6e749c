"""The beat that carries the channels' parameters."""

from amaranth import Shape, unsigned
from amaranth.lib import data

__all__ = ["LoadLayout"]


class LoadLayout(data.StructLayout):
    """Parameters of as many channels as a beat of a row has lanes.

    Parameters
    ----------
    fields : dict of str to ShapeLike
        Parameters of a channel, lowest bits of its element first: ``gamma``, and ``beta`` and
        ``alpha`` where there are such.
    lanes : int
        Channels per beat.

    Members
    -------
    data : ArrayLayout(element, lanes)
        Parameters of each channel; lane 0 is the first one. What lanes behind the last channel
        hold does not matter.
    last : unsigned(1)
        The beat is that of the last channels.
    """

    def __init__(self, fields, lanes):
        self.channel = data.StructLayout(fields)
        self.element = unsigned(self.channel.size)
        self.lanes = lanes
        super().__init__({"data": data.ArrayLayout(self.element, lanes), "last": unsigned(1)})

    def parameter(self, beat, name, lane):
        """Parameter ``name`` of the channel of lane ``lane``, from a beat."""
        return data.View(self.channel, beat.data[lane])[name]

    def pack(self, **values):
        """Element of a channel, from its parameters."""
        element = 0
        for name, field in self.channel:
            shape = Shape.cast(field.shape)
            element |= (values[name] & ((1 << shape.width) - 1)) << field.offset
        return element

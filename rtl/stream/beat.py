"""The beat that every unit's stream carries."""

from amaranth import Shape, unsigned
from amaranth.lib import data

__all__ = ["BeatLayout"]


class BeatLayout(data.StructLayout):
    """One beat of a row.

    Parameters
    ----------
    element : ShapeLike
        Shape of one element.
    lanes : int
        Elements per beat.
    mask : bool
        Whether the beat carries a mask, as the inputs of softmax do.
    row : dict of str to ShapeLike
        Parameters of the row, where there are some.

    Members
    -------
    data : ArrayLayout(element, lanes)
        Elements; lane 0 is the first one in the row.
    keep : unsigned(lanes)
        Bit k set: lane k carries an element. All ones except in the last beat of a row, where the
        low lanes are kept, one at least.
    mask : unsigned(lanes)
        Bit k set: the element of lane k takes no part, and its output is 0.
    row : StructLayout(row)
        Parameters of the row; read in its first beat, ignored in the others.
    last : unsigned(1)
        The beat ends its row.
    """

    def __init__(self, element, lanes, *, mask=False, row=None):
        self.element = Shape.cast(element)
        self.lanes = lanes
        members = {"data": data.ArrayLayout(self.element, lanes), "keep": unsigned(lanes)}
        if mask:
            members["mask"] = unsigned(lanes)
        if row:
            members["row"] = data.StructLayout(row)
        super().__init__({**members, "last": unsigned(1)})

"""The beat of the streams that carry vectors."""

from amaranth import Shape, unsigned
from amaranth.lib import data

__all__ = ["VectorLayout"]


class VectorLayout(data.StructLayout):
    """One beat of a sequence of vectors: the keys, values, queries or outputs of a set.

    A vector is a fixed number of beats, element 0 in lane 0 of the first; all lanes are in use.

    Parameters
    ----------
    element : ShapeLike
        Shape of one element.
    lanes : int
        Elements per beat.
    mask : bool
        Whether the beat carries a mask.
    use : ShapeLike or None
        Shape of the member ``use``, if there is one.

    Members
    -------
    data : ArrayLayout(element, lanes)
        Elements.
    mask : unsigned(1)
        The vector takes no part. Read in a vector's last beat.
    use : ShapeLike(use)
        What the set is for. Read in a set's last beat.
    last : unsigned(1)
        The beat ends the last vector of its set.
    """

    def __init__(self, element, lanes, *, mask=False, use=None):
        self.element = Shape.cast(element)
        self.lanes = lanes
        members = {"data": data.ArrayLayout(self.element, lanes)}
        if mask:
            members["mask"] = unsigned(1)
        if use is not None:
            members["use"] = use
        super().__init__({**members, "last": unsigned(1)})

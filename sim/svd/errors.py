"""What the room refuses."""

from ..errors import RequestError

__all__ = ["SvdError"]


class SvdError(RequestError):
    """What no image of an output layer can be made of."""

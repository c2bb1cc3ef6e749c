"""SVD-softmax: preview of all words, full view of the best ones, softmax over all of them."""

from .config import SvdSoftmaxConfig

__all__ = ["SvdSoftmaxConfig"]

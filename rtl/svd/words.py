"""The beat of the streams of the SVD-softmax engine: words of equal width."""

from amaranth import Shape, signed, unsigned
from amaranth.lib import data

__all__ = ["OUTPUT_WORDS", "SETUP_WORDS", "SELECTED_BIT", "WordLayout", "job_layout"]

#: Words of a beat of the stream ``setup``, 32 bits each.
SETUP_WORDS = ("address", "vocabulary", "preview", "count")

#: Words of a beat of the stream ``o``, 32 bits each.
OUTPUT_WORDS = ("index", "probability", "logit", "log_partition")

#: Bit of the index of an output: the word is one of the full view.
SELECTED_BIT = 31


class WordLayout(data.StructLayout):
    """One beat: ``lanes`` words, element 0 first, and an end.

    Parameters
    ----------
    element : ShapeLike
        Shape of a word.
    lanes : int
        Words per beat.

    Members
    -------
    data : ArrayLayout(element, lanes)
        Words.
    last : unsigned(1)
        The beat ends what the stream groups.
    """

    def __init__(self, element, lanes):
        self.element = Shape.cast(element)
        self.lanes = lanes
        super().__init__({"data": data.ArrayLayout(self.element, lanes), "last": unsigned(1)})

    @classmethod
    def setup(cls):
        """Layout of :data:`SETUP_WORDS`."""
        return cls(unsigned(32), len(SETUP_WORDS))

    @classmethod
    def output(cls):
        """Layout of :data:`OUTPUT_WORDS`; signed words are sign-extended."""
        return cls(unsigned(32), len(OUTPUT_WORDS))

    @classmethod
    def hidden(cls, bits):
        """Layout of an element of a hidden vector."""
        return cls(signed(bits), 1)

    @classmethod
    def request(cls):
        """Layout of a memory request: byte address and number of port words, 32 bits each."""
        return cls(unsigned(32), 2)

    @classmethod
    def response(cls, port_bytes):
        """Layout of a port word, byte by byte; ``last`` ends a request."""
        return cls(unsigned(8), port_bytes)


def job_layout(address_bits, words_bits):
    """Layout of a job of :class:`~rtl.svd.memory_reader.MemoryReader`."""
    return data.StructLayout({"address": unsigned(address_bits), "words": unsigned(words_bits)})

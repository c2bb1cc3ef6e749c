"""What passes between the parts of the engine: queries, words of keys, rows of logits."""

from amaranth import signed, unsigned
from amaranth.lib import data

__all__ = ["BeatTap", "LogitLayout", "PlaceLayout", "QueryLayout", "RowLayout", "WordLayout",
           "WrittenKey"]


class PlaceLayout(data.StructLayout):
    """Place of a vector in a set whose words have ``lanes`` vectors each.

    Parameters
    ----------
    max_keys : int
        Vectors of a set at most.
    lanes : int
        Vectors per word.

    Members
    -------
    word : range(ceil(max_keys / lanes))
        Word.
    lane : range(lanes)
        Place in the word.
    """

    def __init__(self, max_keys, lanes):
        super().__init__({"word": range(-(-max_keys // lanes)), "lane": range(lanes)})


class QueryLayout(data.StructLayout):
    """A whole query.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.

    Members
    -------
    elements : ArrayLayout(signed(bits), dim)
        Elements.
    last : unsigned(1)
        The query is the last one of its set.
    failed : unsigned(1)
        The query is broken off, or the end of its set is missing.
    """

    def __init__(self, config):
        super().__init__({"elements": data.ArrayLayout(signed(config.bits), config.dim),
                          "last": unsigned(1), "failed": unsigned(1)})


class RowLayout(data.StructLayout):
    """What goes with a row, from the selection of its keys to its outputs.

    Parameters
    ----------
    more : ShapeLike
        Further members, by name.

    Members
    -------
    set_end : unsigned(1)
        The row is the last one of its set.
    """

    def __init__(self, **more):
        super().__init__({"set_end": unsigned(1), **more})

    def but(self, *less, **more):
        """Return the same without some of the further members, and with others."""
        return RowLayout(**{name: shape for name, shape in self.members.items()
                            if name not in ("set_end", *less)}, **more)


class WordLayout(data.StructLayout):
    """One word of keys that a query meets. A row is the words of one query.

    Parameters
    ----------
    config : AttentionConfig
        Configuration; ``dim``, ``bits`` and ``lanes`` count.
    word : ShapeLike
        Shape of the words' addresses: of one for all lanes, or an ``ArrayLayout`` of one for each.
    row : RowLayout
        Layout of what goes with the row.

    Members
    -------
    word : word
        Address of the keys, and of their values. That of a lane without a key counts for nothing.
    keep : unsigned(lanes)
        Bit k set: lane k has a key of the row. All ones except in the row's last word, where the
        low lanes are kept, one at least.
    mask : unsigned(lanes)
        Bit k set: the key of lane k takes no part, whatever its own mask says.
    first : unsigned(1)
        The word is the first one of its row.
    last : unsigned(1)
        The word is the last one of its row.
    query : ArrayLayout(signed(bits), dim)
        Elements of the query. Read with ``first``.
    row : RowLayout
        What goes with the row. Read with ``last``.
    """

    def __init__(self, config, word, row):
        super().__init__({
            "word": word, "keep": unsigned(config.lanes), "mask": unsigned(config.lanes),
            "first": unsigned(1), "last": unsigned(1),
            "query": QueryLayout(config)["elements"].shape, "row": row})


class LogitLayout(data.StructLayout):
    """One beat of a row of logits.

    Parameters
    ----------
    config : AttentionConfig
        Configuration; ``logit_bits`` and ``lanes`` count.
    word : ShapeLike
        Shape of the addresses of values, as of :class:`WordLayout`. Of width 0 where the beats of
        every row are the words 0, 1, 2 and so on.
    row : RowLayout
        Layout of what goes with the row.

    Members
    -------
    data : ArrayLayout(signed(logit_bits), lanes)
        Logits.
    keep : unsigned(lanes)
        Bit k set: lane k carries a logit. All ones except in a row's last beat, where the low
        lanes are kept, one at least.
    mask : unsigned(lanes)
        Bit k set: the key of lane k takes no part.
    last : unsigned(1)
        The beat ends its row.
    word : word
        Address of the values of these keys.
    row : RowLayout
        What goes with the row. Read with ``last``.
    """

    def __init__(self, config, word, row):
        super().__init__({
            "data": data.ArrayLayout(signed(config.logit_bits), config.lanes),
            "keep": unsigned(config.lanes), "mask": unsigned(config.lanes),
            "last": unsigned(1), "word": word, "row": row})


class BeatTap(data.StructLayout):
    """A beat of a stream, as it is transferred.

    Parameters
    ----------
    payload : ShapeLike
        Layout of the beat.

    Members
    -------
    transfer : unsigned(1)
        The beat is transferred in this cycle.
    payload : payload
        The beat.
    """

    def __init__(self, payload):
        super().__init__({"transfer": unsigned(1), "payload": payload})


class WrittenKey(data.StructLayout):
    """A key that is written to its store, as :class:`~rtl.attention.vector_store.VectorStore` says.

    Parameters
    ----------
    place : ShapeLike
        Layout of a place in a set.
    unstored : ShapeLike
        Layout of the elements that are not stored.

    Members
    -------
    write : unsigned(1)
        A key is written.
    bank : unsigned(1)
        Which of the two sets it is of.
    place : place
        Its place in the set.
    unstored : unstored
        Its elements that are not stored.
    finished : unsigned(1)
        The beat at hand ends the set.
    """

    def __init__(self, place, unstored):
        super().__init__({"write": unsigned(1), "bank": unsigned(1), "place": place,
                          "unstored": unstored, "finished": unsigned(1)})

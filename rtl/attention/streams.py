"""Streams and ports of the engine, and the sizes of what passes through them."""

from amaranth import signed, unsigned
from amaranth.lib import data

from .causes import causes_of
from .greedy.column_load import ColumnLoad
from .logit_bias import bias_layout
from .parameters import ParameterIntake
from .resident.layouts import CommandLayout
from .reuse.map_store import MapUse
from .vector_beat import VectorLayout

__all__ = ["EngineStreams"]


class EngineStreams:
    """Streams of an :class:`~rtl.attention.config.AttentionConfig`, which has the parameters."""

    @property
    def predict_words(self):
        """Words of predicted keys in the longest set."""
        return -(-self.max_keys // self.predict_lanes)

    @property
    def column_words(self):
        """Elements of a lane of sorted columns in the longest set, for a greedy search."""
        return self.vector_beats * self.max_keys

    @property
    def max_beats(self):
        """Cycles that the longest set takes per query."""
        return -(-self.max_keys // self.lanes)

    @property
    def vector_beats(self):
        """Beats of a query or key on its stream."""
        return self.dim // self.io_lanes

    @property
    def value_beats(self):
        """Beats of a value or output on its stream."""
        return self.value_dim // self.io_lanes

    @property
    def stream_beats(self):
        """Beats of a vector on the stream that has most of them."""
        return max(self.vector_beats, self.value_beats)

    @property
    def array_size(self):
        """Products of a lane of the array of dot products, which reuse adds up values with."""
        return max(self.dim, self.value_dim) if self.reuse else self.dim - self.known_dims

    def beats_of(self, stream):
        """Beats of a vector on a stream, by the stream's name."""
        return self.value_beats if stream in ("v", "o") else self.vector_beats

    @property
    def vector_layout(self):
        """Layout of a beat of Q: ``data`` and ``last``."""
        return VectorLayout(signed(self.bits), self.io_lanes)

    @property
    def value_layout(self):
        """Layout of a beat of V: ``data``, ``last`` and, for reuse, ``use``."""
        return VectorLayout(signed(self.bits), self.io_lanes,
                            use=MapUse(self.maps) if self.reuse else None)

    @property
    def key_layout(self):
        """Layout of a beat of K: ``data``, ``mask`` and ``last``."""
        return VectorLayout(signed(self.bits), self.io_lanes, mask=True)

    @property
    def column_layout(self):
        """Layout of a beat of sorted columns: ``data`` and ``last``.

        An element has the value in bits 0 to 7, and its key's number from bit 8 on.
        """
        return ColumnLoad.layout(self)

    @property
    def unstored_layout(self):
        """Layout of the elements of a key that only the prediction needs."""
        return data.ArrayLayout(signed(self.bits), self.known_dims)

    @property
    def output_layout(self):
        """Layout of an output beat: ``data``, ``use`` (1 for a failed answer) and ``last``."""
        return VectorLayout(signed(self.out_bits), self.io_lanes, use=unsigned(1))

    @property
    def streams(self):
        """Layout of the beats of each stream, by its name; the output comes last."""
        host = self.select == "greedy" and self.sort == "host"
        given = {"q": self.vector_layout, "k": self.key_layout, "v": self.value_layout,
                 **({"p": ParameterIntake.layout(self)} if self.run_time else {}),
                 **({"b": bias_layout(self)} if self.bias != "none" else {})}
        if self.store == "resident":
            return {"c": CommandLayout(), **given, "o": self.output_layout}
        return {**given, **({"c": self.column_layout} if host else {}), "o": self.output_layout}

    @property
    def limit_ports(self):
        """Names of the inputs that set what the selection goes by."""
        ports = self.select == "greedy" and not self.run_time
        return ("adjust", "iterations", "distance") if ports else ()

    @property
    def controls(self):
        """Names of the inputs that are no streams."""
        return (*self.limit_ports, *super().controls)

    @property
    def strobes(self):
        """Controls that are pulses."""
        return (*self.limit_ports[:1], *super().strobes)

    @property
    def causes(self):
        """What each bit of the output ``causes`` stands for, by its name, lowest bit first."""
        return causes_of(self)

    @property
    def source(self):
        """Input whose sets each become one of the output: values, or queries to resident sets."""
        return "q" if self.store == "resident" else "v"

"""Running sums of the values, times weights."""

from amaranth import Module, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..blocks.products import MultiplyAccumulate

__all__ = ["ValueSums"]


class ValueSums(wiring.Component):
    """``o_j = sum_i w_i v_ij`` over the beats of a row, exact.

    Every cycle adds: the weights must be 0 in a cycle without a beat. Throughput one beat per
    cycle; latency :meth:`latency_of` cycles from a beat to the sums up to it; never stalls.

    Parameters
    ----------
    config : AttentionConfig
        Configuration.

    Members
    -------
    weights : In(ArrayLayout(weight_width, lanes))
        Weights of a beat.
    values : In(ArrayLayout(StructLayout({"data": ArrayLayout(signed(bits), value_dim)}), lanes))
        Values of the same keys.
    first : In(1)
        The beat starts a row.
    o : Out(ArrayLayout(signed(sum_bits), value_dim))
        Sums of the row's beats so far.
    """

    def __init__(self, config):
        self.config = config
        vector = data.StructLayout({
            "data": data.ArrayLayout(signed(config.bits), config.value_dim)})
        super().__init__({
            "weights": In(data.ArrayLayout(unsigned(config.weight_width), config.lanes)),
            "values": In(data.ArrayLayout(vector, config.lanes)), "first": In(1),
            "o": Out(data.ArrayLayout(signed(config.sum_bits), config.value_dim)),
        })

    @staticmethod
    def latency_of(config):
        """Latency in cycles."""
        return MultiplyAccumulate.stages(config.lanes)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        for j in range(config.value_dim):
            m.submodules[f"sum_{j}"] = accumulator = MultiplyAccumulate(
                unsigned(config.weight_width), signed(config.bits), config.lanes,
                *config.sum_range)
            m.d.comb += [accumulator.first.eq(self.first), self.o[j].eq(accumulator.o)]
            m.d.comb += [port.eq(self.weights[k]) for k, port in enumerate(accumulator.a)]
            m.d.comb += [port.eq(self.values[k].data[j]) for k, port in enumerate(accumulator.b)]
        return m

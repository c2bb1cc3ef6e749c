"""E2Softmax with codes in octaves, as published."""

from amaranth import Cat, Mux, Signal

from ..blocks.lookup import constant_multiple, lookup
from ..blocks.pipeline import delays
from ..blocks.power_sum import PowerSum
from ..fixed import round_shift
from .online_core import TABLE_BITS, OnlineDatapath

__all__ = ["OctaveDatapath"]


class OctaveDatapath(OnlineDatapath):
    """The reference is the running maximum itself; an element stands for ``2**-code``."""

    @staticmethod
    def first_pass(config):
        # A distance goes straight through a table; where it is multiplied, it rests before.
        return {"position": int(not config.incremental),
                "distance": int(config.incremental and config.axis.position_bits > TABLE_BITS),
                "beat_sum": PowerSum.stages(config.lanes)}

    @staticmethod
    def search(config):
        return {"width": config.axis.position_bits}

    @staticmethod
    def output_cycles(config):
        return 3

    @property
    def stores_dead(self):
        return self.config.top_code < self.config.zero_code

    def _references(self, m, positions):
        self.reference = self._maximum(m, positions).o
        rise = self._risen(m, self.reference)
        return self.reference, self._clipped_code(m, rise, "rise_code")

    def _codes(self, m, distances):
        """Codes; the top code for elements that take no part."""
        config = self.config
        codes = []
        for k, distance in enumerate(distances):
            code = Signal(config.code_bits, name=f"code_{k}", reset_less=True)
            with m.If(self.lives[self.at.distance][k]):
                m.d.sync += code.eq(self._clipped_code(m, distance, f"code_word_{k}"))
            with m.Else():
                m.d.sync += code.eq(config.top_code)
            codes.append(code)
        return codes

    def _clipped_code(self, m, distance, name):
        """Code of any distance."""
        config = self.config
        if not config.incremental:
            near = ~distance[config.code_bits:].any()
            return Mux(near, distance[:config.code_bits], config.top_code)
        if len(distance) <= TABLE_BITS:
            words = [min(config.distance_code(d), config.top_code)
                     for d in range(1 << len(distance))]
            return lookup(m, distance, words, name=name)
        multiplier, shift = config.coefficient
        value = round_shift(constant_multiple(distance, multiplier), shift, config.code_rounding)
        return Mux(value >= config.top_code, config.top_code, value)[:config.code_bits]

    def _beat_sum(self, m, codes, distances):
        config = self.config
        m.submodules.beat_sum = tree = PowerSum(config.code_bits, config.sum_fraction_bits,
                                                config.lanes)
        m.d.comb += tree.live.eq(self.lives[self.at.code])
        m.d.comb += [operand.eq(code) for operand, code in zip(tree.code, codes, strict=True)]
        return tree.o

    def _late_code(self, m, rise):
        return self._clipped_code(m, rise, "late_code")

    def _outputs(self, m, late, result):
        config = self.config
        below = config.mantissa_bits
        log = result[below:]
        number = delays(m, result[:below], 1, "constant")[-1]
        if self.stores_dead:
            codes, offset = self._clipped_sums(m, late), delays(m, log, 1, "offset")[-1]
        else:
            codes = self._read_codes(m, 2)
            offset = Signal(max(len(late), len(log)) + 1)
            m.d.sync += offset.eq(late + log)
        dead = delays(m, self.read.dead, 2, "read_dead")[-1] if self.stores_dead else None

        bits = max((config.zero_code - 1).bit_length(), 1)
        words = [row[u] if u < len(row) else 0 for row in config.outputs for u in range(1 << bits)]
        outputs = []
        for k, code in enumerate(codes):
            total = Signal(max(config.code_bits, len(offset), bits) + 1, name=f"total_{k}")
            m.d.comb += total.eq(code + offset)
            output = Signal(config.out_bits, name=f"output_{k}", reset_less=True)
            with m.If(total[bits:].any() | (dead[k] if self.stores_dead else 0)):
                m.d.sync += output.eq(0)
            with m.Else():
                m.d.sync += output.eq(lookup(m, Cat(total[:bits], number), words,
                                             name=f"output_word_{k}"))
            outputs.append(output)
        return outputs

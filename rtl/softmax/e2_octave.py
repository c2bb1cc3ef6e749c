"""E2Softmax with codes in octaves, as published."""

from amaranth import Const, Mux, Signal

from ..lookup import constant_multiple, lookup
from ..max_tree import MaxTree, largest
from ..pipeline import delays
from ..power_sum import PowerSum
from .e2_core import TABLE_BITS, E2Datapath, Schedule, round_half_up


__all__ = ["OctaveDatapath"]


class OctaveDatapath(E2Datapath):
    """The reference is the running maximum itself; an element stands for ``2**-code``."""

    @staticmethod
    def schedule(config):
        # A distance goes straight through a table; where it is multiplied, it rests before.
        return Schedule(
            position=int(not config.incremental), candidates=MaxTree.stages(config.lanes),
            distance=int(config.incremental and config.position_bits > TABLE_BITS),
            beat_sum=PowerSum.stages(config.lanes))

    @property
    def stores_dead(self):
        return self.config.top_code < self.config.zero_code

    def _references(self, m, positions):
        config, at = self.config, self.at
        m.submodules.maximum = tree = MaxTree(config.position_bits, config.lanes)
        m.d.comb += tree.live.eq(self.lives[at.position])
        m.d.comb += [word.eq(x) for word, x in zip(tree.data, positions, strict=True)]

        maximum = Signal(config.position_bits)
        best, some = largest(m, [*tree.o, maximum],
                             [*tree.o_live, ~self.firsts[at.candidates]], "running")
        with m.If(self.valids[at.candidates]):
            # The least position is neutral: the maximum of a row whose elements all take no part.
            m.d.sync += maximum.eq(Mux(some, best, 0))
        return maximum, self._rise(m, maximum, lambda m, d: self._clipped_code(m, d, "rise_code"))

    def _near(self, distance):
        if self.config.incremental:
            return Const(1, 1)
        return ~distance[self.config.code_bits:].any()

    def _near_code(self, m, distance, name):
        if self.config.incremental:
            return self._clipped_code(m, distance, name)
        return distance[:self.config.code_bits]

    def _clipped_code(self, m, distance, name):
        """Code of any distance."""
        config = self.config
        if not config.incremental:
            return Mux(self._near(distance), distance[:config.code_bits], config.top_code)
        if len(distance) <= TABLE_BITS:
            words = [min(config.distance_code(d), config.top_code)
                     for d in range(1 << len(distance))]
            return lookup(m, distance, words, name=name)
        multiplier, shift = config.coefficient
        value = round_half_up(constant_multiple(distance, multiplier), shift, config.code_rounding)
        return Mux(value >= config.top_code, config.top_code, value)[:config.code_bits]

    def _beat_sum(self, m, codes, distances):
        config = self.config
        m.submodules.beat_sum = tree = PowerSum(config.code_bits, config.sum_fraction_bits,
                                                config.lanes)
        m.d.comb += tree.live.eq(self.lives[self.at.code])
        m.d.comb += [operand.eq(code) for operand, code in zip(tree.code, codes, strict=True)]
        return tree.o

    def _late_code(self, m, distance):
        return self._clipped_code(m, distance, "late_code")

    def _logarithm(self, m, place, fraction):
        return place, fraction

    def _corrected(self, m, beat, corrected, late, logarithm):
        if not self.stores_dead:
            return super()._corrected(m, beat, corrected, late, logarithm)
        # A corrected code is clipped before the logarithm is added, and here that shows.
        config = self.config
        codes = []
        for k in range(config.lanes):
            total = Signal(config.code_bits + 1, name=f"late_total_{k}")
            code = Signal(config.code_bits, name=f"late_code_{k}")
            m.d.comb += total.eq(beat.code[k] + late)
            m.d.sync += code.eq(Mux(total >= config.top_code, config.top_code, total))
            codes.append(code)
        return codes, delays(m, logarithm, 1, "offset")[-1]

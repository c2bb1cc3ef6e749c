"""Hardware of the 2D LUT."""

from ..blocks.pipeline import delays
from .exponent_table_core import FinalDatapath, RunningDatapath, direct, index_cycles
from .sigma import sigma
from .two_pass_core import Stages

__all__ = ["FinalLut2d", "RunningLut2d", "stages"]


def stages(config):
    """Cycles of the method."""
    return Stages(terms=1 if direct(config) else 2, result=index_cycles(config),
                  outputs=sigma(config).cycles)


class FinalLut2d(FinalDatapath):
    """First pass: maximum. Second pass: exponents and their rows of the two-dimensional table, sum
    of the exponents. Third pass: words of the two-dimensional table."""

    @property
    def largest_term(self):
        return max(self.config.exponentials[0], 1)

    @property
    def code_shape(self):
        return sigma(self.config).code_bits

    def terms(self, m, distances, live):
        config = self.config
        table = sigma(config)
        codes = [table.code(r) for r in config.row_numbers]
        return (self.looked_up(m, distances, live, config.exponentials, "term"),
                self.looked_up(m, distances, live, codes, "code", table.code_bits))

    def result(self, m, total):
        config = self.config
        return self.sum_index(m, total, config.linear_index(total),
                              1 << config.sum_fraction_bits, config.column_count)

    def outputs(self, m, codes, index):
        return sigma(self.config).outputs(m, codes, index)


class RunningLut2d(RunningDatapath):
    """First pass: distances to the running reference, their exponents' sum. Second pass: rows of
    the corrected distances, words of the two-dimensional table."""

    @staticmethod
    def output_cycles(config):
        return 2 + sigma(config).cycles

    def _outputs(self, m, late, result):
        table = sigma(self.config)
        codes = self.late_words(m, late, [table.code(r) for r in self.config.row_numbers], "row")
        codes = [code[:table.code_bits] for code in codes]
        return table.outputs(m, codes, delays(m, result, 1, "column")[-1])

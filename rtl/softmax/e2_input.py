"""E2Softmax with codes in steps of the input."""

from amaranth import Signal

from ..blocks.lookup import lookup
from ..blocks.pipeline import delays
from .input_codes import InputCodeDatapath

__all__ = ["InputDatapath"]


class InputDatapath(InputCodeDatapath):
    """The division is a subtraction of codes, and one table all there is to know."""

    @staticmethod
    def output_cycles(config):
        return 3 + (config.pipeline == "deep")

    def _outputs(self, m, late, result):
        config = self.config
        log = lookup(m, result, config.sum_logs, name="log_word")
        wait = int(config.pipeline == "deep")
        log, late = (delays(m, word, wait, name)[-1]
                     for word, name in ((log, "log"), (late, "late_code")))
        if self.ends_early:
            # What is beyond the codes counts as 0 whenever it came.
            codes, offset = self._clipped_sums(m, late, 1 + wait), delays(m, log, 1, "offset")[-1]
        else:
            codes, offset = self._read_codes(m, 2 + wait), Signal(max(len(late), len(log)) + 1)
            m.d.sync += offset.eq(late + log)
        return self._looked_up(m, codes, offset, config.outputs[0], "output")

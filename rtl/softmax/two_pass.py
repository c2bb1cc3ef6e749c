"""What the methods share that take exponentials relative to a row's final maximum.

Such a unit reads a row twice out of a store: once its maximum is known, for the exponentials and
their sum, and once the sum is known, for the outputs.
"""

import dataclasses

from .config import SoftmaxConfig

__all__ = ["TwoPassConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TwoPassConfig(SoftmaxConfig):
    """Parameters of the methods that read a row twice.

    Rows are read out of either store at one beat per cycle, back to back, so that the throughput is
    one beat per cycle; the latency of a row grows by a cycle with each beat that it has.
    """

    @property
    def passes(self):
        """Stores that hold a row until it is complete, one behind the other."""
        return 2

    @property
    def stages(self):
        """Cycles that the method takes for its terms, its row result and its outputs."""
        raise NotImplementedError

"""Stage that finds the running maximum of a row."""

import dataclasses

from ..blocks.maximum import RunningMax

__all__ = ["MaximumSearch"]


@dataclasses.dataclass(frozen=True)
class MaximumSearch:
    """Running maximum of the live elements of a row: a stage, in ``m.submodules.maximum``.

    Latency :attr:`latency` cycles from the elements of a beat to the candidate for the maximum, and
    one more to the maximum; throughput one beat per cycle.

    Attributes
    ----------
    width : int
        Width of an element, unsigned.
    lanes : int
        Elements per beat.
    radix, relaxed : bool
        As of :class:`~rtl.blocks.maximum.RunningMax`.
    """

    width: int
    lanes: int
    radix: bool = False
    relaxed: bool = False

    @property
    def latency(self):
        """Cycles from the elements of a beat to the candidate."""
        return RunningMax.stages(self.width, self.lanes, radix=self.radix, relaxed=self.relaxed)

    def __call__(self, m, words, live, valid, first):
        """Add the search for ``words`` to ``m`` and return its :class:`RunningMax`.

        ``live`` (one bit a lane) comes with the words; ``valid`` and ``first``, the flags of the
        beat, come :attr:`latency` cycles later.
        """
        m.submodules.maximum = maximum = RunningMax(self.width, self.lanes, radix=self.radix,
                                                    relaxed=self.relaxed)
        m.d.comb += [
            *(word.eq(x) for word, x in zip(maximum.data, words, strict=True)),
            maximum.live.eq(live), maximum.valid.eq(valid), maximum.first.eq(first),
        ]
        return maximum

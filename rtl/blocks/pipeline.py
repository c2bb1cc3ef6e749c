"""Registers that carry a value along with a pipeline."""

from amaranth import Signal

__all__ = ["delays"]


def delays(m, value, cycles, name):
    """``value`` and its copies of 1 to ``cycles`` cycles ago, as a list.

    The registers have a reset, so that synthesis makes flip-flops of them rather than shift
    registers in LUTs: flip-flops are what these pipelines leave over.
    """
    stages = [value]
    for cycle in range(1, cycles + 1):
        stage = Signal.like(value, name=f"{name}_{cycle}")
        m.d.sync += stage.eq(stages[-1])
        stages.append(stage)
    return stages

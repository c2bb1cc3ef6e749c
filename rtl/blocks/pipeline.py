"""Pipeline registers."""

from amaranth import Signal

__all__ = ["delays"]


def delays(m, value, cycles, name):
    """``value`` delayed by 0 to ``cycles`` cycles, as a list of ``cycles + 1`` values.

    The registers are called ``<name>_<cycle>``. Their reset stops SRL inference: LUTs are scarcer
    than flip-flops in these pipelines.
    """
    stages = [value]
    for cycle in range(1, cycles + 1):
        stage = Signal.like(value, name=f"{name}_{cycle}")
        m.d.sync += stage.eq(stages[-1])
        stages.append(stage)
    return stages

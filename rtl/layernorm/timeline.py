"""Values of a pipeline and the cycles in which they are known."""

from amaranth import Const, Signal, Value

__all__ = ["Timeline", "stage_of"]


def stage_of(latencies, stages):
    """Earliest stage of an output, given its latency from each input and the ``stages`` of those.

    ``latencies`` is what the ``latencies(config)`` of a component returns: cycles by port.
    """
    return max(stages[name] + cycles for name, cycles in latencies.items())


class Timeline:
    """Values by name, each known in a stage and handed on to later ones by registers.

    A stage is a number of cycles after the beat that a value is made of. The registers have a
    reset, which keeps synthesis from making shift registers in LUTs of them: LUTs are scarcer than
    flip-flops. Those of a name are shared by all who read it.

    Parameters
    ----------
    m : Module
        Where the registers go.
    prefix : str
        What their names begin with.
    """

    def __init__(self, m, prefix=""):
        self._m = m
        self._prefix = prefix
        self._copies = {}

    def add(self, name, value, stage):
        """Add a value that is known in ``stage``."""
        self._copies[name] = stage, [Value.cast(value)]

    def at(self, name, stage):
        """Value ``name`` in ``stage``, which must not be before the one that it is known in.

        Not to be called within an ``m.If``, which would gate the registers.
        """
        known, copies = self._copies[name]
        if isinstance(copies[0], Const):
            return copies[0]
        if stage < known:
            raise ValueError(f"Value {name!r} must be known in stage {stage}, not in {known}")
        while len(copies) <= stage - known:
            late = Signal.like(copies[-1], name=f"{self._prefix}{name}_{known + len(copies)}",
                               reset_less=False)
            self._m.d.sync += late.eq(copies[-1])
            copies.append(late)
        return copies[stage - known]

    def feed(self, component, stage):
        """Drive the inputs of a component so that its output is that of ``stage``.

        Each takes the value of its name, as late as ``component.latencies(config)`` asks for.
        """
        for name, cycles in component.latencies(component.config).items():
            self._m.d.comb += getattr(component, name).eq(self.at(name, stage - cycles))

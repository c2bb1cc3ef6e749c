"""What the comparisons of all families share: traffic, the rules of streams, and the record."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import numpy as np

from ..bench.compare import Difference, require
from ..bench.timing import longest_pause
from ..runner import TestResult
from .packing import PackedFormat
from .port_memory import PortMemory
from .simulation import PERIOD, CompiledSimulation, Result, pattern_of_waits

__all__ = ["Comparison", "Wrong", "random_pattern", "run_tests"]

# Probabilities that a cycle which could carry a beat does not.
PAUSES = (0.05, 0.3, 0.7)

# Cycles of random traffic before a reset.
DISTURBANCE = 200


def random_pattern(random: np.random.Generator, probability: float) -> np.ndarray:
    """Return a pattern in which a cycle carries nothing with ``probability``."""
    pattern = random.random(PERIOD) >= probability
    pattern[0] = True
    return pattern


class Wrong:
    """Where output beats differ from what is expected.

    Parameters
    ----------
    form : PackedFormat
        Format of the output.
    expected, got : uint32 array (beats, words)
        Beats; their numbers may differ.
    cycles : int64 array
        Cycle of each beat of ``got``.

    Attributes
    ----------
    mismatches : int
        Elements that are wrong: at least 1 if anything is.
    beat : int or None
        First beat that is wrong, of those that both have.
    """

    def __init__(self, form: PackedFormat, expected: np.ndarray, got: np.ndarray,
                 cycles: np.ndarray) -> None:
        self.mismatches, self.beat = 0, None
        count = min(len(expected), len(got))
        missing = abs(len(expected) - len(got))
        wrong = np.flatnonzero((expected[:count] != got[:count]).any(axis=1))
        if len(wrong):
            left, right = form.decode(expected[wrong]), form.decode(got[wrong])
            elements = left["data"] != right["data"]
            self.mismatches = int(np.maximum(elements.sum(axis=1), 1).sum())
            self.beat, self.cycle = int(wrong[0]), int(cycles[wrong[0]])
            self._left, self._right = ({name: values[0] for name, values in side.items()}
                                       for side in (left, right))
        self.mismatches += missing * form.lanes

    def describe(self, first: int) -> str:
        """Say what is wrong with the first wrong beat, whose lane 0 has the element ``first``."""
        left, right = self._left, self._right
        keep = left.get("keep", np.ones(len(left["data"]), bool))
        where = f"in cycle {self.cycle}"
        for name in "last", "keep":
            if name in left and (left[name] != right[name]).any():
                got, want = ("".join(map(str, side[name][::-1].astype(int)))
                             for side in (right, left))
                return f"{name} is {got} instead of {want} {where}"
        lanes = np.flatnonzero(left["data"] != right["data"])
        if not len(lanes):
            return f"bits between the members differ {where}"
        # A lane that is kept says more than one that is not.
        lane = int(next((lane for lane in lanes if keep[lane]), lanes[0]))
        values = f"{right['data'][lane]} instead of {left['data'][lane]} {where}"
        return (f"element {first + lane} is {values}" if keep[lane]
                else f"lane {lane}, which is not kept, is {values}")


class Comparison:
    """A simulation under a test, with the test's random numbers and counts.

    Parameters
    ----------
    simulation : CompiledSimulation
        The design.
    seed : int
        Seed of all that is random, with the name of the test.
    test : str
        Name of the test.
    """

    #: Names of the tests, which are methods.
    TESTS: Sequence[str] = ()

    def __init__(self, simulation: CompiledSimulation, seed: int, test: str) -> None:
        self.simulation = simulation
        self.config = simulation.design.config
        self.random = np.random.default_rng([seed, *test.encode()])
        self.test = test
        self.outputs = self.mismatches = self.moved = self.cycles = 0

    @property
    def patience(self) -> int:
        """Longest that the design may be silent with all inputs offered and its output ready."""
        raise NotImplementedError

    def result(self) -> TestResult:
        """Run the test; a failure is in the result."""
        begin, failure = time.perf_counter(), ""
        try:
            self.start()
            getattr(self, self.test)()
        except Difference as difference:
            failure = str(difference)
        return TestResult(self.test, failure, self.outputs, self.mismatches, self.moved,
                          self.cycles, round(time.perf_counter() - begin, 4))

    def start(self) -> None:
        """Reset the design, behind traffic that fills its registers and memories."""
        self.simulation.restart()
        self.disturb()
        self.simulation.reset(int(self.random.integers(1, 4)))

    def disturb(self, streams: Sequence[str] | None = None) -> None:
        """Send random beats for some cycles; whatever comes of them does not matter."""
        random, ports = self.random, self.simulation.ports
        sent = {}
        for name in self.simulation.inputs if streams is None else streams:
            form = ports[name].form
            members = {part: random.random((DISTURBANCE, field.lanes)) < (
                {"last": 0.2, "keep": 0.98}.get(part, 0.5))
                for part, field in form.fields.items()}
            for part in {"data", "use"} & set(members):
                members[part] = random.integers(0, 1 << form.fields[part].width,
                                                members[part].shape)
            sent[name] = ports[name].encode(**members)
        self.simulation.run(sent, 4 * DISTURBANCE, patience=4 * DISTURBANCE, limit=DISTURBANCE,
                            stalls=random_pattern(random, 0.3))

    def pauses(self) -> float:
        """Draw the probability of a pause."""
        return float(self.random.choice(PAUSES))

    def gaps(self, probability: float) -> dict[str, np.ndarray]:
        """Draw gaps for all streams in."""
        return {name: random_pattern(self.random, probability) for name in self.simulation.inputs}

    def stalls(self, probability: float) -> dict[str, np.ndarray]:
        """Draw stalls of the output, as arguments of an exchange."""
        return {"stalls": random_pattern(self.random, probability)}

    def waits(self) -> dict[str, object]:
        """Draw stalls in which ready comes after valid only, as arguments of an exchange."""
        return {"stalls": pattern_of_waits(self.random, 3), "waits": True}

    def transfer(self, streams: Mapping[str, np.ndarray], count: int, *,
                 gaps: Mapping[str, np.ndarray] | None = None,
                 stalls: np.ndarray | None = None, waits: bool = False,
                 limit: int = 0, memory: PortMemory | None = None) -> Result:
        """Run beats through the design."""
        pause = max(map(longest_pause, (gaps or {}).values()), default=0)
        result = self.simulation.run(
            streams, count, gaps=gaps, stalls=stalls, waits=waits, limit=limit, memory=memory,
            patience=2 * self.patience + pause + longest_pause(stalls))
        self.moved += len(result.moved["o"])
        self.cycles += int(result.moved["o"][-1]) if len(result.moved["o"]) else 0
        return result

    def check_error(self, result: Result, expected: int) -> None:
        """Check the output ``error`` during and behind a run."""
        require(result.error == expected, f"error is {result.error} instead of {expected}")
        require(expected or not result.rise, f"error was up in cycle {result.rise}")


def run_tests(kind: type[Comparison], simulation: CompiledSimulation, job: object,
              tests: Sequence[str] | None) -> list[TestResult]:
    """Return the results of tests of a kind of comparison; of all, if ``tests`` is None."""
    names = kind.TESTS if tests is None else tests
    for name in names:
        if name not in kind.TESTS:
            raise ValueError(f"Test must be one of {', '.join(kind.TESTS)}, not {name!r}")
    return [kind(simulation, job, name).result() for name in names]

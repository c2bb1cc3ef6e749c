"""Source and sink of a stream of beats, for cocotb.

Inputs of the design change on the falling clock edge, and everything is sampled on the rising one.
No simulator can order these two wrongly, whatever it does about writes in the cycle of an edge, so
writes may take the simulators' direct path, which is twice as fast as the bench's own queue
(:mod:`sim.runner` asks for it).

A bench's speed is that of its Python code per clock cycle: beats are strings that the simulator
takes and gives as they are (:mod:`sim.bench.rows`), and comparing them comes after the run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence

import cocotb
import numpy as np
from cocotb.triggers import FallingEdge, RisingEdge

from .rows import BeatFormat

__all__ = ["Port", "Sink", "Source", "Stall", "StreamError", "gaps", "patient", "stalls"]

Stall = Callable[[bool], bool]
"""Policy of a sink: called every cycle with whether valid is up and waits, returns ready."""


class StreamError(AssertionError):
    """A rule of the stream is broken."""


class Port:
    """Signals of one stream of the design.

    Goes below cocotb's ``value`` property, which would cost more than the rest of the bench.
    """

    def __init__(self, dut, form: BeatFormat) -> None:
        self.format = form
        self.get_valid, self.set_valid = _access(dut, form.valid)
        self.get_ready, self.set_ready = _access(dut, form.ready)
        parts = [_access(dut, name) for name, _ in form.signals]
        ends = list(itertools.accumulate(width for _, width in form.signals))
        places = [slice(form.width - end, form.width - end + width)
                  for end, (_, width) in zip(ends, form.signals, strict=True)]
        if len(parts) == 1:
            self.get_payload, self.set_payload = parts[0]
        else:
            getters = [get for get, _ in reversed(parts)]
            setters = [(put, place) for (_, put), place in zip(parts, places, strict=True)]

            def get_payload() -> str:
                return "".join([get() for get in getters])

            def set_payload(beat: str) -> None:
                for put, place in setters:
                    put(beat[place])

            self.get_payload, self.set_payload = get_payload, set_payload
        # A beat that nobody may look at: unknown where the simulator can say so.
        self.idle = ("x" if cocotb.SIM_NAME.startswith("Icarus") else "1") * form.width


def _access(dut, name: str) -> tuple[Callable[[], str], Callable[[str], None]]:
    handle = getattr(dut, name)._handle
    write = handle.set_signal_val_binstr

    def put(value: str) -> None:
        write(0, value)

    return handle.get_signal_val_binstr, put


class Source:
    """Puts beats into a port of the design, from a falling edge on.

    Attributes
    ----------
    accepted : list of int
        For each beat the rising edge, counted from 1, on which it was taken.
    """

    def __init__(self, clock, port: Port) -> None:
        self._rise, self._fall = RisingEdge(clock), FallingEdge(clock)
        self._port = port
        self.accepted: list[int] = []

    async def run(self, beats: Sequence[str], gaps: Iterable[int] | None = None) -> None:
        """Send ``beats``, each after as many cycles without a beat as ``gaps`` says.

        Raises
        ------
        StreamError
            If ready is unknown.
        """
        rise, fall, port, accepted = self._rise, self._fall, self._port, self.accepted
        get_ready, set_payload = port.get_ready, port.set_payload
        cycle = 0
        valid = False
        for beat, gap in zip(beats, itertools.repeat(0) if gaps is None else gaps, strict=False):
            if gap and valid:
                valid = False
                port.set_valid("0")
                set_payload(port.idle)
            for _ in range(gap):
                await rise
                cycle += 1
                if get_ready() not in "01":
                    self._unknown(cycle)
                await fall
            set_payload(beat)
            if not valid:
                valid = True
                port.set_valid("1")
            await rise
            cycle += 1
            while (ready := get_ready()) != "1":
                if ready != "0":
                    self._unknown(cycle)
                await rise
                cycle += 1
            accepted.append(cycle)
            await fall
        port.set_valid("0")
        set_payload(port.idle)

    def _unknown(self, cycle: int) -> None:
        raise StreamError(f"{self._port.format.ready} is {self._port.get_ready()} "
                          f"in cycle {cycle}")


class Sink:
    """Takes beats from a port of the design, from a falling edge on, and watches its rules.

    Attributes
    ----------
    beats : list of str
        What came.
    cycles : list of int
        For each beat the rising edge, counted from 1, on which it was taken.
    """

    def __init__(self, clock, port: Port) -> None:
        self._rise, self._fall = RisingEdge(clock), FallingEdge(clock)
        self._port = port
        self.beats: list[str] = []
        self.cycles: list[int] = []

    async def run(self, count: int, *, patience: int, stall: Stall | None = None) -> None:
        """Take ``count`` beats.

        Parameters
        ----------
        count : int
            Beats to take.
        patience : int
            Cycles without a beat after which to give up.
        stall : callable
            Policy of ready; None holds it up.

        Raises
        ------
        StreamError
            If no beat comes for too long; a beat changes or is withdrawn while it waits; or valid,
            or a digit of a valid beat, is unknown.
        """
        if stall is None:
            await self._take(count, patience)
        else:
            await self._take_stalling(count, patience, stall)
        digits = "".join(self.beats)
        if digits.count("0") + digits.count("1") != len(digits):
            width = self._port.format.width
            bad = next(k for k, beat in enumerate(self.beats) if set(beat) - {"0", "1"})
            raise StreamError(f"Output beat {bad} of {width} bits is {self.beats[bad]} "
                              f"in cycle {self.cycles[bad]}")

    async def _take(self, count: int, patience: int) -> None:
        rise, get_valid, get_payload = self._rise, self._port.get_valid, self._port.get_payload
        add_beat, add_cycle = self.beats.append, self.cycles.append
        self._port.set_ready("1")
        cycle = idle = 0
        while count:
            await rise
            cycle += 1
            if (valid := get_valid()) == "1":
                add_beat(get_payload())
                add_cycle(cycle)
                count -= 1
                idle = 0
            else:
                idle += 1
                if valid != "0" or idle > patience:
                    self._give_up(valid, idle, cycle, count)
        await self._fall

    async def _take_stalling(self, count: int, patience: int, stall: Stall) -> None:
        rise, fall, port = self._rise, self._fall, self._port
        cycle = idle = 0
        held = None
        while count:
            ready = stall(held is not None)
            port.set_ready("1" if ready else "0")
            await rise
            cycle += 1
            if (valid := port.get_valid()) == "1":
                beat = port.get_payload()
                if held is not None and beat != held:
                    raise StreamError(f"Output beat {len(self.beats)} changes while it waits, in "
                                      f"cycle {cycle}: {held} becomes {beat}")
                held = beat
                if ready:
                    self.beats.append(beat)
                    self.cycles.append(cycle)
                    held = None
                    count -= 1
                    idle = 0
            elif held is not None:
                raise StreamError(f"Output beat {len(self.beats)} is withdrawn while it waits, in "
                                  f"cycle {cycle}: {port.format.valid} is {valid}")
            else:
                idle += 1
                if valid != "0" or idle > patience:
                    self._give_up(valid, idle, cycle, count)
            await fall

    async def quiet(self, cycles: int) -> None:
        """Watch that no beat comes for so many cycles, with ready up.

        Raises
        ------
        StreamError
            If one comes.
        """
        self._port.set_ready("1")
        for _ in range(cycles):
            await self._rise
            if (valid := self._port.get_valid()) != "0":
                raise StreamError(f"{self._port.format.valid} is {valid} after the last output "
                                  f"beat, with {self._port.get_payload()}")
        await self._fall

    def _give_up(self, valid: str, idle: int, cycle: int, missing: int) -> None:
        if valid != "0":
            raise StreamError(f"{self._port.format.valid} is {valid} in cycle {cycle}")
        raise StreamError(f"No output beat for {idle} cycles, after {len(self.beats)} beats and "
                          f"with {missing} to come")


# Gaps and stalls

def gaps(random: np.random.Generator, count: int, probability: float) -> list[int]:
    """Return lengths of the gaps before ``count`` beats.

    In every cycle that could carry a beat, none comes with ``probability``.
    """
    return (random.geometric(1.0 - probability, count) - 1).tolist()


def stalls(random: np.random.Generator, probability: float) -> Stall:
    """Return a sink's policy that takes nothing with ``probability`` in every cycle."""
    pattern = itertools.cycle((random.random(65521) >= probability).tolist())
    return lambda waiting: next(pattern)


def patient(random: np.random.Generator, longest: int) -> Stall:
    """Return a sink's policy that lets every beat wait 1 to ``longest`` cycles, ready down.

    A design whose valid waits for ready never gets a beat across.
    """
    delays = itertools.cycle(random.integers(1, longest + 1, 65521).tolist())
    left = next(delays)

    def policy(waiting: bool) -> bool:
        nonlocal left
        if not waiting:
            return False
        left -= 1
        if left:
            return False
        left = next(delays)
        return True

    return policy

"""Transport to a unit in Amaranth's simulator: the same driver, without a board."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from amaranth import ClockDomain, ClockSignal, Module
from amaranth.sim import Simulator

from rtl import UnitConfig, __version__
from rtl.bus import AxiStream, DmaUnit
from rtl.emit.manifest import manifest

from .memory_port import OUTPUTS, SAMPLED, MemoryPort
from .transport import Buffer, MemoryTransport, Transport, TransportError

__all__ = ["Simulation"]

# Cycles after which a register access is lost, and cycles of a poll.
PATIENCE = 100
POLL = 50

# Seconds of a cycle, and what a cycle counts for timeouts: simulation is slow.
PERIOD = 1e-8
COUNTED = 1e-4


class Simulation(Transport, MemoryTransport):
    """A unit with registers and DMA, cycle by cycle, at some thousand cycles a second.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit.
    user : str
        Where TUSER comes from: one of :data:`rtl.bus.dma_unit.USERS`.
    size : int
        Bytes of memory.
    base : int
        Its physical address.
    interrupts : bool
        Whether the interrupt is connected.
    port : dict
        Further arguments of :class:`~boards.driver.memory_port.MemoryPort`.
    """

    def __init__(self, config: UnitConfig, *, user: str = "constant", size: int = 1 << 16,
                 base: int = 0x1F000000, interrupts: bool = True, **port: Any) -> None:
        self.interrupts = interrupts
        self._unit = unit = DmaUnit(config, AxiStream(config.create()), __version__, user=user)
        #: Manifest of the unit, as its emitted folder would have it.
        self.manifest = json.loads(manifest(config, {}, unit))
        data = bytearray(size)
        #: The memory behind the unit.
        self.port = MemoryPort(data, base, **port)
        self._memory = Buffer(base, memoryview(data))
        self.cycles = 0
        m = Module()
        # The unit has a domain "sync" of its own.
        m.domains.clock = ClockDomain(reset_less=True)
        m.submodules.unit = unit
        m.d.comb += unit.aclk.eq(ClockSignal("clock"))
        self._simulator = Simulator(m)
        self._simulator.add_clock(PERIOD, domain="clock")
        self._simulator.add_testbench(self._run, background=True)
        self._inputs = {"aresetn": 0}
        self._seen: dict[str, int] = {}
        self._step(3)
        self._inputs = {"aresetn": 1, "s_axi_bready": 1, "s_axi_rready": 1}
        self._step(3)

    async def _run(self, ctx: Any) -> None:
        unit = self._unit
        sampled = [getattr(unit, f"m_axi_{name}") for name in SAMPLED]
        slave = {name: getattr(unit, f"s_axi_{name}") for name in (
            "awready", "wready", "arready", "bvalid", "bresp", "rvalid", "rresp", "rdata")}
        slave["irq"] = unit.irq
        tick = ctx.tick("clock").sample(*sampled, *slave.values())
        driven = [(name, getattr(unit, f"m_axi_{name}")) for name in OUTPUTS]
        while True:
            # Between two edges, so that the next edge sees what was asked for after this one.
            await ctx.delay(PERIOD / 4)
            for name, value in self._inputs.items():
                ctx.set(getattr(unit, name), value)
            for name, signal in driven:
                ctx.set(signal, self.port.outputs[name])
            _, _, *values = await tick
            self.cycles += 1
            self._seen = dict(zip(slave, values[len(SAMPLED):], strict=True))
            self.port.step(dict(zip(SAMPLED, values, strict=False)).__getitem__)

    def _step(self, cycles: int = 1) -> None:
        end = self.cycles + cycles
        while self.cycles < end:
            self._simulator.advance()

    def _until(self, ended: Callable[[], bool], what: str) -> None:
        for _ in range(PATIENCE):
            self._step()
            if ended():
                return
        raise TransportError(f"Register bus does not answer a {what}")

    def read32(self, offset: int) -> int:
        self._inputs |= {"s_axi_araddr": offset, "s_axi_arvalid": 1}
        self._until(lambda: self._seen["arready"], "read")
        self._inputs["s_axi_arvalid"] = 0
        self._until(lambda: self._seen["rvalid"], "read")
        return self._answered(self._seen["rdata"], self._seen["rresp"], offset)

    def write32(self, offset: int, value: int) -> None:
        self._inputs |= {"s_axi_awaddr": offset, "s_axi_awvalid": 1, "s_axi_wdata": value,
                         "s_axi_wstrb": 15, "s_axi_wvalid": 1}
        # Both channels are idle before a write, and take it in the same cycle.
        self._until(lambda: self._seen["awready"] and self._seen["wready"], "write")
        self._inputs |= {"s_axi_awvalid": 0, "s_axi_wvalid": 0}
        self._until(lambda: self._seen["bvalid"], "write")
        self._answered(0, self._seen["bresp"], offset)

    @staticmethod
    def _answered(value: int, response: int, offset: int) -> int:
        if response:
            raise TransportError(f"Register bus answers an access to 0x{offset:03x} with error "
                                 f"{response}: there is no such register")
        return value

    def wait_interrupt(self, timeout: float) -> bool:
        end = self.cycles + round(timeout / COUNTED)
        while self.cycles < end:
            self._step()
            if self._seen["irq"]:
                return True
        return False

    def now(self) -> float:
        return self.cycles * COUNTED

    def pause(self) -> None:
        self._step(POLL)

    @property
    def memory(self) -> Buffer:
        return self._memory

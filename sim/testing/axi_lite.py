"""A master of AXI4-Lite for Amaranth's simulator, one transaction at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["Master"]

# Cycles after which a transaction is lost.
PATIENCE = 50


@dataclasses.dataclass
class Master:
    """Master of the bus whose signals are the attributes ``<prefix><signal>`` of ``dut``.

    Attributes
    ----------
    ctx : SimulatorContext
        Context of a test bench.
    cycle : callable
        Awaiting its result is a clock cycle.
    dut : Component
        The slave.
    prefix : str
        What the names of the signals begin with.
    """

    ctx: Any
    cycle: Callable[[], Awaitable[None]]
    dut: Any
    prefix: str = "s_axi_"

    def get(self, name: str) -> int:
        """Value of a signal of the bus."""
        return self.ctx.get(getattr(self.dut, self.prefix + name))

    def set(self, **values: int) -> None:
        """Drive signals of the bus."""
        for name, value in values.items():
            self.ctx.set(getattr(self.dut, self.prefix + name), value)

    async def write(self, address: int, data: int, *, strobe: int = 0xF, address_after: int = 0,
                    data_after: int = 0, ready_after: int = 0) -> int:
        """Write a word, and return the response.

        The address, the data and the readiness for the response come after so many cycles.
        """
        self.set(awaddr=address, wdata=data, wstrb=strobe)
        waiting = {"aw": address_after, "w": data_after}
        return (await self._transact(waiting, "b", ready_after))["bresp"]

    async def read(self, address: int, *, address_after: int = 0,
                   ready_after: int = 0) -> tuple[int, int]:
        """Read a word, and return its value and the response."""
        self.set(araddr=address)
        result = await self._transact({"ar": address_after}, "r", ready_after)
        return result["rdata"], result["rresp"]

    async def _transact(self, waiting: dict[str, int], answer: str,
                        ready_after: int) -> dict[str, int]:
        held = None
        for n in range(PATIENCE):
            for channel, after in waiting.items():
                self.set(**{f"{channel}valid": n >= after})
            self.set(**{f"{answer}ready": n >= ready_after})
            taken = [c for c, after in waiting.items() if n >= after and self.get(f"{c}ready")]
            valid = self.get(f"{answer}valid")
            assert not (valid and waiting), "a response before its request"
            result = {name: self.get(name) for name in
                      (["bresp"] if answer == "b" else ["rdata", "rresp"])}
            assert held is None or valid and result == held, "a response that changes"
            held = result if valid else None
            await self.cycle()
            for channel in taken:
                del waiting[channel]
                self.set(**{f"{channel}valid": 0})
            if valid and n >= ready_after:
                self.set(**{f"{answer}ready": 0})
                return result
        raise AssertionError(f"no response on {answer}")

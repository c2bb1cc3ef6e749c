"""Device-tree overlay of a unit: its registers with their interrupt, and memory for its DMA."""

from __future__ import annotations

import dataclasses

from rtl.config import ConfigError

__all__ = ["COMPILE", "Memory", "overlay"]

#: Arguments of dtc before its files. An overlay's node has the interrupt controller and the cells
#: of the tree that it is applied to, which dtc does not see.
COMPILE = ("-@", "-Wno-interrupts_property", "-Wno-avoid_unnecessary_addr_size", "-I", "dts",
           "-O", "dtb")

#: Registers behind the processor's port GP0, and their bytes.
REGISTERS = 0x43C0_0000
SIZE = 0x1000

#: Interrupt IRQF2P[0] in the numbers of the interrupt controller's shared ones; 4: level, high.
INTERRUPT = 29

# Node of the processor's clocks below the bus.
CLOCKS = "slcr@f8000000/clkc@100"

# A block of contiguous memory is aligned so.
ALIGNMENT = 4 << 20


@dataclasses.dataclass(frozen=True)
class Memory:
    """Memory that Linux keeps for the unit.

    Attributes
    ----------
    address, size : int
        Physical address and bytes, multiples of 4 MiB; the processor's memory must reach there.
    """

    address: int = 0x1C00_0000
    size: int = 16 << 20

    def __post_init__(self) -> None:
        for name, value in ("address", self.address), ("size", self.size):
            if value <= 0 or value % ALIGNMENT:
                raise ConfigError(f"Memory {name} must be a multiple of {ALIGNMENT:#x}, "
                                  f"not {value:#x}")
        if self.address + self.size > 1 << 30:
            raise ConfigError(f"Memory must end below 0x40000000, where a Zynq's memory ends, "
                              f"not at {self.address + self.size:#x}")


def overlay(name: str, memory: Memory, bus: str = "/axi") -> str:
    """Source of an overlay for the device tree of a Zynq-7000.

    It needs no labels of the tree that it is applied to: the node of the registers takes the
    interrupt controller of its bus. FCLK0 stays on: without a clock in the logic, an access to the
    registers would stop the processor for ever.

    Parameters
    ----------
    name : str
        Name of the configuration.
    memory : Memory
        Memory for DMA.
    bus : str
        Path of the bus in the tree: ``/axi``, or ``/amba`` before Linux 5.11.
    """
    if not bus.startswith("/") or '"' in bus:
        raise ConfigError(f"Bus must be the path of a node, such as /axi, not {bus!r}")
    return f"""\
/*
 * {name}: registers at GP0 with their interrupt (UIO), memory for DMA (u-dma-buf), FCLK0 on.
 *
 * Memory is set apart when Linux starts: apply this before, with fdtoverlay or in the boot loader.
 * Linux needs the argument uio_pdrv_genirq.of_id=generic-uio, and the module u-dma-buf.
 */
/dts-v1/;
/plugin/;

/ {{
\tfragment@0 {{
\t\ttarget-path = "/";

\t\t__overlay__ {{
\t\t\t#address-cells = <1>;
\t\t\t#size-cells = <1>;

\t\t\treserved-memory {{
\t\t\t\t#address-cells = <1>;
\t\t\t\t#size-cells = <1>;
\t\t\t\tranges;

\t\t\t\tunit_memory: memory@{memory.address:x} {{
\t\t\t\t\tcompatible = "shared-dma-pool";
\t\t\t\t\treg = <{memory.address:#x} {memory.size:#x}>;
\t\t\t\t\treusable;
\t\t\t\t}};
\t\t\t}};

\t\t\tudmabuf {{
\t\t\t\tcompatible = "ikwzm,u-dma-buf";
\t\t\t\tdevice-name = "udmabuf0";
\t\t\t\tsize = <{memory.size:#x}>;
\t\t\t\tmemory-region = <&unit_memory>;
\t\t\t}};
\t\t}};
\t}};

\tfragment@1 {{
\t\ttarget-path = "{bus}";

\t\t__overlay__ {{
\t\t\t#address-cells = <1>;
\t\t\t#size-cells = <1>;

\t\t\tunit@{REGISTERS:x} {{
\t\t\t\tcompatible = "generic-uio";
\t\t\t\treg = <{REGISTERS:#x} {SIZE:#x}>;
\t\t\t\tinterrupts = <0 {INTERRUPT} 4>;
\t\t\t}};
\t\t}};
\t}};

\tfragment@2 {{
\t\ttarget-path = "{bus}/{CLOCKS}";

\t\t__overlay__ {{
\t\t\tfclk-enable = <0x1>;
\t\t}};
\t}};
}};
"""

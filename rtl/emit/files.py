"""Files of an emitted unit."""

from __future__ import annotations

from ..bus import AxiStream
from ..config import UnitConfig
from . import verilog
from .formats import constants, page, systemrdl
from .manifest import manifest
from .packages import fusesoc, vivado

__all__ = ["CONTROLS", "sources", "top", "unit_files"]


#: Kinds of registers that a unit can have.
CONTROLS = ("none", "axi-lite", "axi-dma")

# What the names of their modules, and files, end in.
_SUFFIXES = {"none": "axis", "axi-lite": "axil", "axi-dma": "dma"}


def top(config: UnitConfig, control: str) -> str:
    """Name of the module that is used: the AXI4-Stream shell, or what is around it."""
    return f"{config.name}_{_SUFFIXES[control]}"


def sources(config: UnitConfig, control: str) -> list[str]:
    """Names of the Verilog files, in the order in which tools are to read them."""
    return [f"{config.name}.v", *([] if control == "none" else [f"{top(config, control)}.v"])]


def unit_files(config: UnitConfig, control: str = "none", user: str = "constant") -> dict[str, str]:
    """Texts of a unit's files, by name.

    ``<name>.v``
        The core and its AXI4-Stream shell, ``<name>_axis``.
    ``config.json``
        The configuration, from which ``--config`` builds it again.
    ``manifest.json``
        Ports, formats, timing, and the other files, for tools.
    ``<name>.f``, ``<name>.core``, ``<name>_ip.tcl``
        The Verilog files as a list, as a core of FuseSoC, and as a script that makes an IP of
        Vivado.

    With ``control`` "axi-lite" or "axi-dma" also:

    ``<name>_axil.v`` or ``<name>_dma.v``
        Registers around the shell, or registers and DMA.
    ``<name>.rdl``, ``<name>.h``, ``<name>_registers.py``, ``<name>_registers.md``
        The registers as SystemRDL, as macros in C, as constants in Python, and to read.

    Parameters
    ----------
    config : UnitConfig
        Configuration of the unit.
    control : str
        One of :data:`CONTROLS`.
    user : str
        Where TUSER comes from with DMA: one of :data:`~rtl.bus.dma_unit.USERS`.
    """
    name = config.name
    files = {f"{name}.v": verilog.of_unit(config), "config.json": config.to_json()}
    unit = None
    if control != "none":
        dma = control == "axi-dma"
        unit = verilog.dma_of(config, user) if dma else verilog.control_of(config)
        registers = unit.registers
        text = verilog.of_dma(config, user) if dma else verilog.of_control(config)
        files |= {f"{top(config, control)}.v": text,
                  f"{name}.rdl": systemrdl.systemrdl(registers),
                  f"{name}.h": constants.c_header(config, registers),
                  f"{name}_registers.py": constants.python_module(config, registers),
                  f"{name}_registers.md": page.page(registers)}
    verilogs, module = sources(config, control), top(config, control)
    shell = unit or AxiStream(verilog.BlackBox(config.create(), name))
    files |= {f"{name}.f": "".join(f"{file}\n" for file in verilogs),
              f"{name}.core": fusesoc.core(config, verilogs, module),
              f"{name}_ip.tcl": vivado.packager(config, shell, verilogs, module)}
    files["manifest.json"] = manifest(config, files, unit)
    return files

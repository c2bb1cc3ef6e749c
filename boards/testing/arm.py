"""Inside a simulator: a Cortex-A9 whose loads and stores go to the simulated top."""

from __future__ import annotations

import ctypes
import os
import struct

from cocotb.task import resume
from elftools.elf.elffile import ELFFile
from unicorn import UC_ARCH_ARM, UC_MODE_ARM, UC_PROT_ALL, Uc, UcError
from unicorn.arm_const import (
    UC_ARM_REG_C1_C0_2,
    UC_ARM_REG_FPEXC,
    UC_ARM_REG_LR,
    UC_ARM_REG_SP,
    UC_CPU_ARM_CORTEX_A9,
)

from .zynq import RAM, WINDOW, WINDOW_SIZE, Zynq

__all__ = ["Cortex"]

# Where the program puts what it is told and says (program.c), and where it returns to.
JOB = RAM + 0x30000
STACK = JOB
STOP = RAM + 0x3FFF0
WORDS = 16


class Cortex:
    """A processor: memory that of a :class:`~boards.testing.zynq.Zynq`, registers at its GP0."""

    def __init__(self, zynq: Zynq, path: str | os.PathLike[str]) -> None:
        self.zynq, self.fault = zynq, None
        self.machine = Uc(UC_ARCH_ARM, UC_MODE_ARM)
        self.machine.ctl_set_cpu_model(UC_CPU_ARM_CORTEX_A9)
        # Compilers copy structures through the registers of NEON, which boot loaders enable.
        self.machine.reg_write(UC_ARM_REG_C1_C0_2, 0xF << 20)
        self.machine.reg_write(UC_ARM_REG_FPEXC, 1 << 30)
        # One memory: what the program stores, HP0 reads.
        pointer = ctypes.addressof(ctypes.c_char.from_buffer(zynq.ram))
        self.machine.mem_map_ptr(RAM, len(zynq.ram), UC_PROT_ALL, pointer)
        self.machine.mmio_map(WINDOW, WINDOW_SIZE, self._load, None, self._store, None)
        with open(path, "rb") as file:
            program = ELFFile(file)
            for segment in program.iter_segments("PT_LOAD"):
                place = segment["p_paddr"] - RAM
                zynq.ram[place:place + segment["p_filesz"]] = segment.data()
            self.entry = program["e_entry"]

    def _load(self, machine, offset, size, _):
        (word, response), = resume(self.zynq.read)(WINDOW + offset, size=size.bit_length() - 1)
        return self._answered(word >> 8 * (offset & 3) & (1 << 8 * size) - 1, response)

    def _store(self, machine, offset, size, value, _):
        lane = offset & 3
        self._answered(0, resume(self.zynq.write)(
            WINDOW + offset, [value << 8 * lane & 0xFFFFFFFF], size=size.bit_length() - 1,
            strobes=[(1 << size) - 1 << lane]))

    def _answered(self, word, response):
        """An error response is a data abort: here the end."""
        if response:
            self.fault = response
            self.machine.emu_stop()
        return word

    def run(self, *job: int) -> tuple[int, ...]:
        """Run the program on a job; the words that it has then, from the status on."""
        place = JOB - RAM
        self.zynq.ram[place:place + 4 * WORDS] = struct.pack(f"<{WORDS}I", *job,
                                                             *[0] * (WORDS - len(job)))
        self.machine.reg_write(UC_ARM_REG_SP, STACK)
        self.machine.reg_write(UC_ARM_REG_LR, STOP)
        try:
            self.machine.emu_start(self.entry, STOP)
        except UcError as error:
            raise AssertionError(f"the program ended with: {error}") from None
        assert self.fault is None, f"data abort: response {self.fault}"
        return struct.unpack("<4I", self.zynq.ram[place + 4 * 12:place + 4 * 16])

"""The driver in C: compiled as C89, its constants those of the registers, its calls on memory."""

import re
import subprocess
from pathlib import Path

import pytest

import boards.driver
from rtl.bus import unit_registers
from rtl.emit import files, verilog
from sim.testing.small import small

HEADER = Path(boards.driver.__file__).parent / "transformer_rtl.h"


def test_constants():
    """Those that the header has typed, by the register table."""
    words = dict(re.findall(r"(?m)^#define TRTL_(\w+) (0x[0-9A-F]+|\d+)u$", HEADER.read_text()))
    words = {name: int(value, 0) for name, value in words.items()}
    registers = verilog.dma_of(small("softmax-e2", "plus")).registers
    for name in "ID", "VERSION", "CONFIG_HASH", "CONTROL", "STATUS", "ERRORS", "IRQ_PENDING", \
            "IRQ_ENABLE":
        assert words[name] == registers[name].offset
    base = registers["DMA_O_ADDRESS"].offset
    for name in "BYTES", "ROWS", "STRIDE", "START", "DONE":
        assert words[name] == registers[f"DMA_O_{name}"].offset - base
    assert words["CHANNEL_ERRORS"] == registers["DMA_O_ERRORS"].offset - base
    assert (words["MAGIC"], words["MAP"]) == (unit_registers.MAGIC, unit_registers.MAP_VERSION_DMA)
    masks = {field.name: field.mask for field in registers["DMA_O_ERRORS"].fields}
    assert masks == {name.removesuffix("_MASK"): value for name, value in words.items()
                     if name.endswith("_MASK")}
    for register, field in ("CONTROL", "RESET"), ("CONTROL", "CLEAR_ERRORS"), \
            ("STATUS", "DRAINING"), ("IRQ_PENDING", "ERROR"), ("IRQ_PENDING", "WRITTEN"):
        each, = (each for each in registers[register].fields if each.name == field)
        assert words[f"{register.removesuffix('_PENDING')}_{field}"] == each.mask
    assert (words["MOST_BYTES"], words["MOST_ROWS"]) == (
        (1 << registers["DMA_O_BYTES"].fields[0].width) - 1,
        (1 << registers["DMA_O_ROWS"].fields[0].width) - 1)


# A device in memory: reads and writes go there, nothing moves.
PROGRAM = r"""
#include <stdio.h>
#include <string.h>
#include "transformer_rtl_sets.h"
#include "%(name)s.h"

static uint32_t window[1024];

int main(void)
{
    static const trtl_row_unit unit = TRTL_ROW_UNIT(%(macro)s);
    trtl device;
    int status;
    memset(&device, 0, sizeof device);
    device.polls = 10;
    puts(trtl_message(trtl_open(&device, window, unit.hash)));
    window[0] = TRTL_MAGIC;
    puts(trtl_message(trtl_open(&device, window, unit.hash)));
    window[1] = TRTL_MAP << 24;
    puts(trtl_message(trtl_open(&device, window, unit.hash)));
    window[2] = unit.hash;
    puts(trtl_message(trtl_open(&device, window, unit.hash)));
    puts(trtl_message(trtl_rows_run(&device, &unit, 8, 64, 0, unit.most)));
    puts(trtl_message(trtl_rows_run(&device, &unit, 8, 64, 1, unit.most + 1)));
    puts(trtl_message(trtl_rows_run(&device, &unit, 8, 0xFFFFFFE0u, 5, 8)));
    puts(trtl_message(trtl_rows_run(&device, &unit, 8, 60, 1, unit.most)));
    puts(trtl_message(trtl_rows_run(&device, &unit, 8, 64, 3, 3)));
    for (status = 0; status < 5; status++)
        printf("%%u ", (unsigned)window[unit.output / 4 + status]);
    window[unit.input / 4 + 7] = TRTL_DECERR_MASK;
    puts(trtl_message(trtl_rows_run(&device, &unit, 8, 64, 3, 3)));
    window[unit.input / 4 + 7] = 0;
    window[4] = TRTL_STATUS_DRAINING;
    puts(trtl_message(trtl_reset(&device)));
    puts(trtl_message(99));
    return 0;
}
"""


@pytest.mark.parametrize("standard", ["c89", "c99", "c++"])
def test_compiled(standard, tmp_path):
    config = small("softmax-e2", "plus")
    for name, text in files.unit_files(config, "axi-dma").items():
        if name.endswith(".h"):
            (tmp_path / name).write_text(text)
    source = PROGRAM % {"name": config.name, "macro": config.name.upper()}
    (tmp_path / "program.c").write_text(source)
    compiler = ["g++", "-x", "c++"] if standard == "c++" else ["gcc", f"-std={standard}"]
    subprocess.run([*compiler, "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I",
                    HEADER.parent, "program.c", "-o", "program"], cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "program"], check=True, capture_output=True, text=True)
    size = "rows are too short or too long for the unit or a descriptor, none, or end beyond 4 GiB"
    assert printed.stdout.splitlines() == [
        "no unit of this generator is at this address",
        "registers are arranged for another driver, or the unit has no DMA",
        "the bitstream holds another unit than the header is of", "done", size, size, size,
        "an address is not a multiple of 8", "transfer does not end; the unit was reset",
        "64 3 3 8 1 memory answered a burst with DECERR",
        "memory does not answer what the unit asked for", "unknown status"]

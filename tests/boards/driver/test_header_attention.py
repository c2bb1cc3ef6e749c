"""The headers of attention: calls that must not reach the unit, and commands as it reads them."""

import subprocess
from pathlib import Path

import boards.driver
from rtl.attention.resident.layouts import COMMAND, Operation
from rtl.emit import files, verilog
from sim.testing.small import small

# Every call ends with its status and how many descriptors were started.
PROGRAM = r"""
#include <stdio.h>
#include "transformer_rtl_attention.h"
#include "transformer_rtl_sets.h"
#include "%(attention)s.h"
#include "%(sets)s.h"

static uint32_t window[1024], words[2 * 300];

static void tell(int status)
{
    uint32_t n, started = 0;
    for (n = 0; n < 1024; n++)
        started += window[n] != 0;
    printf("%%d %%u\n", status, (unsigned)started);
}

int main(void)
{
    static const trtl_attention_unit attention = TRTL_ATTENTION_UNIT(%(ATTENTION)s);
    static const trtl_sets_unit unit = TRTL_SETS_UNIT(%(SETS)s);
    trtl device = {0};
    trtl_sets sets = {0};
    int operation;
    device.registers = window;
    device.polls = 10;
    sets.device = &device;
    sets.unit = &unit;
    sets.words = words;
    /* 2^32 + 4 bytes of keys, and of queries. */
    tell(trtl_attention_run(&device, &attention, 8, 8, 8, 8, 1, 1, 0x40000001u, 4));
    tell(trtl_attention_run(&device, &attention, 8, 8, 8, 8, 1, 0x40000001u, 1, 4));
    tell(trtl_append(&sets, 0x10001u, 8, 8, 1));
    tell(trtl_query(&sets, 0x10000u, 0, 8, 8, 1, 0));
    tell(trtl_query(&sets, 0, 256, 8, 8, 1, 0));
    tell(trtl_truncate(&sets, 0x10000u, 0));
    tell(trtl_decode(&sets, 0x10000u, 8, 8, 8, 8, 1, 1, 0));
    tell(trtl_decode(&sets, 0, 8, 8, 8, 8, 1, 257, 0));
    for (operation = TRTL_QUERY; operation <= TRTL_HEAD; operation++) {
        trtl_command(&sets, 299, operation, 0xFFFE, 0xFD, 0xFFFC, 0x1FFFBu);
        printf("%%u %%u\n", (unsigned)words[598], (unsigned)words[599]);
    }
    return 0;
}
"""


def test_calls_that_are_refused(tmp_path):
    """A product or a field that would overflow names another size, set or head."""
    units = {"attention": small("attention", "dense"),
             "sets": small("attention", "dense", store="resident", max_keys=8)}
    names = {name: config.name for name, config in units.items()}
    for config in units.values():
        (tmp_path / f"{config.name}.h").write_text(
            files.constants.c_header(config, verilog.dma_of(config).registers))
    (tmp_path / "program.c").write_text(
        PROGRAM % {**names, **{name.upper(): value.upper() for name, value in names.items()}})
    subprocess.run(["gcc", "-std=c89", "-Wall", "-Wextra", "-Werror", "-pedantic",
                    "-Wno-missing-field-initializers", "-I", Path(boards.driver.__file__).parent,
                    "program.c", "-o", "program"], cwd=tmp_path, check=True)
    printed = subprocess.run([tmp_path / "program"], check=True, capture_output=True, text=True)
    size, number = 4, 18
    lines = [[int(word) for word in line.split()] for line in printed.stdout.splitlines()]
    assert lines[:8] == [[size, 0]] * 2 + [[number, 0]] * 6
    fields = {"set": 0xFFFE, "head": 0xFD, "count": 0xFFFC, "offset": 0xFFFB}
    commands = [COMMAND.const({"operation": each, **fields}).as_value().value
                for each in Operation]
    assert lines[8:] == [[bits & 0xFFFFFFFF, bits >> 32] for bits in commands]

"""The driver in C that waits for interrupts: on a socket and shared memory in place of Linux' UIO.

The device is a process of its own that does what a unit with DMA would: it counts, and sends an
interrupt each time that one was enabled.
"""

import functools
import subprocess
import sys
from pathlib import Path

import pytest

import boards.driver
from rtl.emit import files
from sim.testing.small import small

FOLDER = Path(boards.driver.__file__).parent

PROGRAM = r"""
#define _DEFAULT_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "transformer_rtl_sets.h"
#include "transformer_rtl_uio.h"
#include "%(name)s.h"

static const trtl_row_unit unit = TRTL_ROW_UNIT(%(macro)s);
static volatile uint32_t *window;

/* Answers each enable, by a letter: an interrupt, when the channels are done (d) or not (i); none,
 * though they are done (s), with an error (e), or as nothing happens (n). */
static void device_process(int file, const char *faults)
{
    uint32_t word, number = 0;
    for (; *faults && read(file, &word, 4) == 4; faults++) {
        number++;
        if (*faults == 'd' || *faults == 's')
            window[unit.input / 4 + 6]++, window[unit.output / 4 + 6]++;
        if (*faults == 'e')
            window[unit.output / 4 + 7] = TRTL_SLVERR_MASK;
        if (*faults != 's' && *faults != 'n' && *faults != 'e' && write(file, &number, 4) != 4)
            _exit(1);
        while (!faults[1] && read(file, &word, 4) > 0)
            ;
    }
    _exit(0);
}

static void call(const char *faults)
{
    int ends[2], status;
    trtl device;
    trtl_uio uio;
    pid_t child;
    memset((void *)window, 0, TRTL_UIO_WINDOW);
    window[0] = TRTL_MAGIC, window[1] = TRTL_MAP << 24, window[2] = unit.hash;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        abort();
    child = fork();
    if (!child) {
        close(ends[0]);
        device_process(ends[1], faults);
    }
    close(ends[1]);
    uio.file = ends[0];
    uio.registers = 0;
    memset(&device, 0, sizeof device);
    device.wait = trtl_uio_wait;
    device.wait_context = &uio;
    device.milliseconds = 200;
    status = trtl_open(&device, window, unit.hash);
    if (status == TRTL_OK)
        status = trtl_rows_run(&device, &unit, 8, 64, 3, 3);
    printf("%%s, enabled %%u\n", trtl_message(status), (unsigned)window[TRTL_IRQ_ENABLE / 4]);
    trtl_uio_close(&uio);
    waitpid(child, 0, 0);
}

int main(int argc, char **argv)
{
    trtl_uio uio, other;
    (void)argc;
    if (trtl_uio_open(&uio, "/nowhere/uio0") == 0 || errno != ENOENT || uio.file != -1)
        return 1;
    if (trtl_uio_open(&uio, argv[1]))
        return 2;
    window = (volatile uint32_t *)uio.registers;
    if (trtl_uio_open(&other, argv[1]) == 0 || errno != EWOULDBLOCK)
        return 3;
    signal(SIGPIPE, SIG_IGN);
    call("d");       /* done, with an interrupt */
    call("iid");
    call("s");
    call("n");
    call("e");
    call("");        /* the device is gone */
    trtl_uio_close(&uio);
    return uio.file != -1 || trtl_uio_open(&uio, argv[1]);
}
"""


@functools.cache
def header(config):
    return files.unit_files(config, "axi-dma")[f"{config.name}.h"]


def compiled(folder, *command):
    config = small("softmax-e2", "plus")
    (folder / f"{config.name}.h").write_text(header(config))
    (folder / "program.c").write_text(
        PROGRAM % {"name": config.name, "macro": config.name.upper()})
    subprocess.run([*command, "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I", FOLDER,
                    "program.c", "-o", "program"], cwd=folder, check=True, timeout=120)


def test_interrupts(tmp_path):
    """They come, come too often, are missing, tell of errors; and the device may be gone."""
    compiled(tmp_path, "gcc", "-std=c99")
    (tmp_path / "uio0").write_bytes(bytes(4096))
    printed = subprocess.run([tmp_path / "program", "uio0"], cwd=tmp_path, check=True,
                             capture_output=True, text=True, timeout=20)
    assert printed.stdout.splitlines() == [f"{what}, enabled 6" for what in (
        "done", "done", "transfer is done, but its interrupt never came",
        "transfer does not end; the unit was reset", "memory answered a burst with SLVERR",
        "the interrupt can not be waited for")]


def test_compiled_for_the_processor(tmp_path):
    """For Linux on a Cortex-A9; not linked, which would build a C library first."""
    pytest.importorskip("ziglang", reason="ziglang is not installed: pip install -e '.[test]'")
    compiled(tmp_path, sys.executable, "-m", "ziglang", "cc", "-target", "arm-linux-musleabihf",
             "-mcpu=cortex_a9", "-std=c99", "-c")
    head = (tmp_path / "program").read_bytes()[:20]
    # 32 bits, little endian, ARM.
    assert head[:6] == b"\x7fELF\x01\x01" and head[18:20] == b"\x28\x00"

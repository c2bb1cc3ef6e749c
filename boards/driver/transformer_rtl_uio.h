/* SPDX-License-Identifier: MIT
 *
 * Registers and interrupt of a unit on Linux, by UIO. Needs POSIX: mmap, poll, flock.
 *
 *     trtl_uio uio;
 *     trtl device = {0};
 *     if (trtl_uio_open(&uio, "/dev/uio0"))
 *         perror("/dev/uio0");
 *     device.wait = trtl_uio_wait;
 *     device.wait_context = &uio;
 *     device.milliseconds = 1000;
 *     status = trtl_open(&device, uio.registers, unit.hash);
 */
#ifndef TRANSFORMER_RTL_UIO_H
#define TRANSFORMER_RTL_UIO_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "transformer_rtl.h"

/* Bytes of the register window. */
#define TRTL_UIO_WINDOW 4096u

typedef struct {
    int file;
    volatile void *registers;
} trtl_uio;

TRTL_API void trtl_uio_close(trtl_uio *uio)
{
    if (uio->registers)
        munmap((void *)uio->registers, TRTL_UIO_WINDOW);
    if (uio->file >= 0)
        close(uio->file);
    uio->registers = 0;
    uio->file = -1;
}

/* Open, lock and map a UIO device. -1 with errno if that fails: EWOULDBLOCK where another process
 * has it. */
TRTL_API int trtl_uio_open(trtl_uio *uio, const char *path)
{
    void *window = MAP_FAILED;
    int error;
    uio->registers = 0;
    uio->file = open(path, O_RDWR);
    if (uio->file >= 0 && flock(uio->file, LOCK_EX | LOCK_NB) == 0)
        window = mmap(0, TRTL_UIO_WINDOW, PROT_READ | PROT_WRITE, MAP_SHARED, uio->file, 0);
    if (window == MAP_FAILED) {
        error = errno;
        trtl_uio_close(uio);
        errno = error;
        return -1;
    }
    uio->registers = window;
    return 0;
}

/* Wait for an interrupt: 1 it came, 0 it did not in so many milliseconds, -1 an error. */
TRTL_API int trtl_uio_wait(void *context, uint32_t milliseconds)
{
    const trtl_uio *uio = (const trtl_uio *)context;
    struct pollfd device;
    uint32_t word = 1;
    int came;
    /* UIO masks the interrupt when it comes; a write enables it again. */
    if (write(uio->file, &word, sizeof word) != (ssize_t)sizeof word)
        return -1;
    device.fd = uio->file;
    device.events = POLLIN;
    do
        came = poll(&device, 1, (int)milliseconds);
    while (came < 0 && errno == EINTR);
    if (came <= 0)
        return came;
    return read(uio->file, &word, sizeof word) == (ssize_t)sizeof word ? 1 : -1;
}

#endif

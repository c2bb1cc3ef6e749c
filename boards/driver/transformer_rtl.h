/* SPDX-License-Identifier: MIT
 *
 * Driver of a unit with registers and DMA (python -m rtl.generate UNIT --control axi-dma), in a
 * header. C89 but for <stdint.h>, no library, no division: it runs on bare metal and on Linux.
 *
 *     #include "transformer_rtl.h"
 *     #include "<name>.h"
 *
 *     static const trtl_row_unit unit = TRTL_ROW_UNIT(<NAME>);
 *     trtl device = {0};
 *     int status = trtl_open(&device, (volatile void *)0x43C00000, unit.hash);
 *     if (status == TRTL_OK)
 *         status = trtl_rows_run(&device, &unit, x, y, rows, length);
 *     puts(trtl_message(status));
 *
 * x and y are physical addresses, multiples of 8. Row r of x starts at x + r * trtl_stride(bytes of
 * a row), that of y at y + r * trtl_stride(bytes of a row of results); elements are little endian,
 * 1, 2 or 4 bytes each. The HP ports of a Zynq-7000 are not coherent with the caches: set flush and
 * invalidate where data is cached, and let y share no cache line with anything else.
 *
 * Transfers are polled for, or waited for: set wait where something waits for the interrupt, such as
 * trtl_uio_wait of transformer_rtl_uio.h on Linux. Of other units: transformer_rtl_attention.h, for sets that
 * stay transformer_rtl_sets.h, transformer_rtl_svd.h.
 */
#ifndef TRANSFORMER_RTL_H
#define TRANSFORMER_RTL_H

#include <stdint.h>

#if defined(__GNUC__)
#define TRTL_API static __attribute__((unused))
#define TRTL_BARRIER() __sync_synchronize()
#else
#define TRTL_API static
#define TRTL_BARRIER() ((void)0)
#endif

/* Registers that every unit has, and values in them. Offsets are in bytes. */
#define TRTL_ID 0x00u
#define TRTL_VERSION 0x04u
#define TRTL_CONFIG_HASH 0x08u
#define TRTL_CONTROL 0x0Cu
#define TRTL_STATUS 0x10u
#define TRTL_ERRORS 0x14u
#define TRTL_IRQ_ENABLE 0x18u
#define TRTL_IRQ_PENDING 0x1Cu
#define TRTL_MAGIC 0x5452544Cu
#define TRTL_MAP 2u
#define TRTL_CONTROL_RESET 1u
#define TRTL_CONTROL_CLEAR_ERRORS 2u
#define TRTL_STATUS_DRAINING 8u
#define TRTL_IRQ_ERROR 2u
#define TRTL_IRQ_WRITTEN 4u

/* Registers of a DMA channel, from the offset of its ADDRESS on. */
#define TRTL_BYTES 0x04u
#define TRTL_ROWS 0x08u
#define TRTL_STRIDE 0x0Cu
#define TRTL_START 0x10u
#define TRTL_DONE 0x18u
#define TRTL_CHANNEL_ERRORS 0x1Cu
#define TRTL_SLVERR_MASK 1u
#define TRTL_DECERR_MASK 2u
#define TRTL_REFUSED_MASK 4u
#define TRTL_OVERRUN_MASK 8u
#define TRTL_SHORT_MASK 16u
#define TRTL_LONG_MASK 32u

#define TRTL_MOST_BYTES 0xFFFFFFu
#define TRTL_MOST_ROWS 0xFFFFu
#define TRTL_MOST_AREAS 8u

/* Polls of a transfer, if the device does not say. */
#define TRTL_POLLS 100000000u

enum trtl_status {
    TRTL_OK, TRTL_NO_UNIT, TRTL_OTHER_MAP, TRTL_OTHER_UNIT, TRTL_BAD_SIZE, TRTL_UNALIGNED,
    TRTL_TIMEOUT, TRTL_STUCK, TRTL_BAD_SLVERR, TRTL_BAD_DECERR, TRTL_REFUSED, TRTL_OVERRUN,
    TRTL_SHORT, TRTL_LONG, TRTL_UNIT_ERROR, TRTL_MARKED, TRTL_SILENT, TRTL_NO_WAIT,
    TRTL_BAD_NUMBER
};

typedef struct {
    volatile uint32_t *registers;
    uint32_t polls;        /* of a transfer at most; 0: TRTL_POLLS */
    uint32_t errors;       /* ERRORS of the last call that failed */
    uint32_t channel;      /* channel of the last call that failed, or 0 */
    uint32_t fetch;        /* channel by which the unit reads memory itself, or 0 */
    /* Caches; 0 where memory is not cached. Both get physical addresses. */
    void (*flush)(void *context, uint32_t address, uint32_t bytes);
    void (*invalidate)(void *context, uint32_t address, uint32_t bytes);
    void *context;
    /* Waits for an interrupt for so many milliseconds: 1 it came, 0 it did not, -1 an error. 0 where
     * transfers are polled for. Only those that write to memory have an interrupt. */
    int (*wait)(void *context, uint32_t milliseconds);
    void *wait_context;
    uint32_t milliseconds;
    uint32_t marks;        /* bits of ERRORS that say that an answer has a mark: TRTL_MARKED */
} trtl;

/* Rows in memory: channel is the offset of its ADDRESS, <NAME>_DMA_..._ADDRESS; packets that of
 * <NAME>_..._PACKETS, if the unit has to have taken all rows when the call ends, or 0. */
typedef struct {
    uint32_t channel, address, bytes, rows, stride, packets;
    int writes;
} trtl_area;

/* A unit from rows to rows: softmax, LayerNorm. */
typedef struct {
    uint32_t hash, input, output, input_bytes, output_bytes, least, most;
} trtl_row_unit;

#define TRTL_ROW_UNIT(NAME) { \
    NAME##_CONFIG_HASH_RESET, NAME##_DMA_I_ADDRESS, NAME##_DMA_O_ADDRESS, \
    NAME##_STREAM_I_BYTES, NAME##_STREAM_O_BYTES, NAME##_STREAM_I_LEAST, NAME##_STREAM_I_MOST }

/* What a status is, in words. */
TRTL_API const char *trtl_message(int status)
{
    static const char *const messages[] = {
        "done",
        "no unit of this generator is at this address",
        "registers are arranged for another driver, or the unit has no DMA",
        "the bitstream holds another unit than the header is of",
        "rows are too short or too long for the unit or a descriptor, none, or end beyond 4 GiB",
        "an address is not a multiple of 8",
        "transfer does not end; the unit was reset",
        "memory does not answer what the unit asked for",
        "memory answered a burst with SLVERR",
        "memory answered a burst with DECERR",
        "a descriptor was refused by the unit",
        "a descriptor was lost: the queue was full",
        "a packet was shorter than its row",
        "a packet was longer than its row",
        "the unit found an error in its input: see errors",
        "a query could not be answered: its answer is 0, the sets are as they were",
        "transfer is done, but its interrupt never came",
        "the interrupt can not be waited for",
        "a set or a head has a number that no command can hold"
    };
    return status >= 0 && status <= TRTL_BAD_NUMBER ? messages[status] : "unknown status";
}

TRTL_API uint32_t trtl_read(const trtl *device, uint32_t offset)
{
    return device->registers[offset / 4];
}

TRTL_API void trtl_write(const trtl *device, uint32_t offset, uint32_t value)
{
    device->registers[offset / 4] = value;
}

/* Bytes from a row to the next: each starts at a multiple of 8. */
TRTL_API uint32_t trtl_stride(uint32_t bytes)
{
    return (bytes + 7u) & ~7u;
}

/* Empty the unit, and clear errors and interrupts. */
TRTL_API int trtl_reset(trtl *device)
{
    uint32_t polls = device->polls ? device->polls : TRTL_POLLS;
    trtl_write(device, TRTL_CONTROL, TRTL_CONTROL_RESET);
    while (trtl_read(device, TRTL_STATUS) & TRTL_STATUS_DRAINING)
        if (polls-- == 0)
            return TRTL_STUCK;
    trtl_write(device, TRTL_CONTROL, TRTL_CONTROL_CLEAR_ERRORS);
    trtl_write(device, TRTL_IRQ_PENDING, 0xFFFFFFFFu);
    return TRTL_OK;
}

/* Check that the unit is the one of the header, and empty it. Other members are the caller's. */
TRTL_API int trtl_open(trtl *device, volatile void *registers, uint32_t hash)
{
    device->registers = (volatile uint32_t *)registers;
    device->errors = device->channel = device->fetch = 0;
    if (trtl_read(device, TRTL_ID) != TRTL_MAGIC)
        return TRTL_NO_UNIT;
    if (trtl_read(device, TRTL_VERSION) >> 24 != TRTL_MAP)
        return TRTL_OTHER_MAP;
    if (trtl_read(device, TRTL_CONFIG_HASH) != hash)
        return TRTL_OTHER_UNIT;
    return trtl_reset(device);
}

/* First error of a channel. */
TRTL_API int trtl_channel_error(trtl *device, uint32_t channel)
{
    uint32_t word = trtl_read(device, channel + TRTL_CHANNEL_ERRORS);
    int k;
    for (k = 0; k < 6; k++)
        if (word >> k & 1u) {
            device->channel = channel;
            device->errors = word;
            return TRTL_BAD_SLVERR + k;
        }
    return TRTL_OK;
}

/* First error of the channels, or of the unit; marks are none. */
TRTL_API int trtl_error(trtl *device, const trtl_area *areas, unsigned count)
{
    int status = device->fetch ? trtl_channel_error(device, device->fetch) : TRTL_OK;
    unsigned n;
    for (n = 0; n < count && status == TRTL_OK; n++)
        status = trtl_channel_error(device, areas[n].channel);
    if (status != TRTL_OK)
        return status;
    device->errors = trtl_read(device, TRTL_ERRORS);
    return device->errors & ~device->marks ? TRTL_UNIT_ERROR : TRTL_OK;
}

/* Areas that are not done, of which count descriptors and packets were counted before. */
TRTL_API unsigned trtl_missing(const trtl *device, const trtl_area *areas, unsigned count,
                               const uint32_t *done, const uint32_t *taken)
{
    unsigned n, missing = 0;
    for (n = 0; n < count; n++) {
        missing += trtl_read(device, areas[n].channel + TRTL_DONE) == done[n];
        if (areas[n].packets)
            missing += trtl_read(device, areas[n].packets) - taken[n] < areas[n].rows;
    }
    return missing;
}

/* Wait until all areas are done, or an error is found. */
TRTL_API int trtl_finish(trtl *device, const trtl_area *areas, unsigned count,
                         const uint32_t *done, const uint32_t *taken)
{
    uint32_t polls = device->polls ? device->polls : TRTL_POLLS;
    int waits = device->wait && areas[count - 1].writes;
    for (;;) {
        int came = 1, status;
        unsigned missing;
        if (waits) {
            came = device->wait(device->wait_context, device->milliseconds);
            /* Before the counters, so that no event is lost. */
            trtl_write(device, TRTL_IRQ_PENDING, TRTL_IRQ_WRITTEN);
        }
        missing = trtl_missing(device, areas, count, done, taken);
        status = TRTL_OK;
        if (trtl_read(device, TRTL_IRQ_PENDING) & TRTL_IRQ_ERROR) {
            trtl_write(device, TRTL_IRQ_PENDING, TRTL_IRQ_ERROR);
            status = trtl_error(device, areas, count);
        }
        if (status != TRTL_OK)
            return status;
        if (came < 0)
            return TRTL_NO_WAIT;
        if (!missing)
            return came ? TRTL_OK : TRTL_SILENT;
        if (!came || (!waits && polls-- == 0)) {
            status = trtl_error(device, areas, count);
            return status == TRTL_OK ? TRTL_TIMEOUT : status;
        }
        /* What is written is there: the rest is polled for. */
        if (waits && trtl_read(device, areas[count - 1].channel + TRTL_DONE) != done[count - 1])
            waits = 0;
    }
}

/* Bytes from the start of an area to its end: 0, if a descriptor can not hold it, there is nothing
 * in it, or it ends beyond 4 GiB. */
TRTL_API uint32_t trtl_area_bytes(const trtl_area *area)
{
    uint64_t whole = (uint64_t)(area->rows - 1) * area->stride + area->bytes;
    if (area->bytes == 0 || area->bytes > TRTL_MOST_BYTES || area->rows == 0 ||
        area->rows > TRTL_MOST_ROWS || (area->address + whole) >> 32)
        return 0;
    return (uint32_t)whole;
}

/* Rows of all areas through the unit; what is written comes last. The unit is ready for the next
 * call whatever comes back: it was reset, but for TRTL_MARKED and what is wrong with an area. */
TRTL_API int trtl_run(trtl *device, const trtl_area *areas, unsigned count)
{
    uint32_t done[TRTL_MOST_AREAS], taken[TRTL_MOST_AREAS];
    unsigned n;
    int status;
    device->errors = device->channel = 0;
    if (count == 0 || count > TRTL_MOST_AREAS)
        return TRTL_BAD_SIZE;
    for (n = 0; n < count; n++) {
        if ((areas[n].address | areas[n].stride) & 7u)
            return TRTL_UNALIGNED;
        if (trtl_area_bytes(&areas[n]) == 0)
            return TRTL_BAD_SIZE;
    }
    for (n = 0; n < count; n++) {
        if (device->flush)
            device->flush(device->context, areas[n].address, trtl_area_bytes(&areas[n]));
        done[n] = trtl_read(device, areas[n].channel + TRTL_DONE);
        taken[n] = areas[n].packets ? trtl_read(device, areas[n].packets) : 0;
    }
    /* Errors that were found since the last call stay. */
    trtl_write(device, TRTL_IRQ_PENDING, TRTL_IRQ_WRITTEN);
    trtl_write(device, TRTL_IRQ_ENABLE, device->wait ? TRTL_IRQ_ERROR | TRTL_IRQ_WRITTEN : 0);
    TRTL_BARRIER();
    /* The output first, so that no row waits for its place. */
    for (n = count; n-- > 0;) {
        trtl_write(device, areas[n].channel, areas[n].address);
        trtl_write(device, areas[n].channel + TRTL_BYTES, areas[n].bytes);
        trtl_write(device, areas[n].channel + TRTL_ROWS, areas[n].rows);
        trtl_write(device, areas[n].channel + TRTL_STRIDE, areas[n].stride);
        trtl_write(device, areas[n].channel + TRTL_START, 1u);
    }
    status = trtl_finish(device, areas, count, done, taken);
    TRTL_BARRIER();
    if (status != TRTL_OK)
        return trtl_reset(device) == TRTL_OK ? status : TRTL_STUCK;
    for (n = 0; n < count; n++)
        if (areas[n].writes && device->invalidate)
            device->invalidate(device->context, areas[n].address, trtl_area_bytes(&areas[n]));
    if (!(device->errors & device->marks))
        return TRTL_OK;
    trtl_write(device, TRTL_ERRORS, device->marks);
    return TRTL_MARKED;
}

TRTL_API void trtl_area_set(trtl_area *area, uint32_t channel, uint32_t address, uint32_t bytes,
                            uint32_t rows, int writes)
{
    area->channel = channel;
    area->address = address;
    area->bytes = bytes;
    area->rows = rows;
    area->stride = trtl_stride(bytes);
    area->packets = 0;
    area->writes = writes;
}

/* Rows of length elements from x to y: softmax, LayerNorm. */
TRTL_API int trtl_rows_run(trtl *device, const trtl_row_unit *unit, uint32_t x, uint32_t y,
                           uint32_t rows, uint32_t length)
{
    trtl_area areas[2];
    if (length < unit->least || length > unit->most)
        return TRTL_BAD_SIZE;
    trtl_area_set(&areas[0], unit->input, x, length * unit->input_bytes, rows, 0);
    trtl_area_set(&areas[1], unit->output, y, length * unit->output_bytes, rows, 1);
    return trtl_run(device, areas, 2);
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * Driver of a unit with registers and DMA (python -m rtl.generate UNIT --control axi-dma), in a
 * header. C89 but for <stdint.h>, no library: it runs on bare metal and on Linux.
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
 * invalidate where data is cached.
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
#define TRTL_IRQ_PENDING 0x1Cu
#define TRTL_MAGIC 0x5452544Cu
#define TRTL_MAP 2u
#define TRTL_CONTROL_RESET 1u
#define TRTL_CONTROL_CLEAR_ERRORS 2u
#define TRTL_STATUS_DRAINING 8u

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
    TRTL_SHORT, TRTL_LONG, TRTL_UNIT_ERROR
};

typedef struct {
    volatile uint32_t *registers;
    uint32_t polls;        /* of a transfer at most; 0: TRTL_POLLS */
    uint32_t errors;       /* ERRORS of the last call that failed */
    uint32_t channel;      /* channel of the last call that failed, or 0 */
    /* Caches; 0 where memory is not cached. Both get physical addresses. */
    void (*flush)(void *context, uint32_t address, uint32_t bytes);
    void (*invalidate)(void *context, uint32_t address, uint32_t bytes);
    void *context;
} trtl;

/* Rows in memory: channel is the offset of its ADDRESS, <NAME>_DMA_..._ADDRESS. */
typedef struct {
    uint32_t channel, address, bytes, rows, stride;
    int writes;
} trtl_area;

/* A unit from rows to rows: softmax, LayerNorm. */
typedef struct {
    uint32_t hash, input, output, input_bytes, output_bytes, least, most;
} trtl_row_unit;

#define TRTL_ROW_UNIT(NAME) { \
    NAME##_CONFIG_HASH_RESET, NAME##_DMA_I_ADDRESS, NAME##_DMA_O_ADDRESS, \
    NAME##_STREAM_I_BYTES, NAME##_STREAM_O_BYTES, NAME##_STREAM_I_LEAST, NAME##_STREAM_I_MOST }

/* A unit of attention. */
typedef struct {
    uint32_t hash, q, k, v, o, input_bytes, output_bytes, value_dim;
} trtl_attention_unit;

#define TRTL_ATTENTION_UNIT(NAME) { \
    NAME##_CONFIG_HASH_RESET, NAME##_DMA_Q_ADDRESS, NAME##_DMA_K_ADDRESS, NAME##_DMA_V_ADDRESS, \
    NAME##_DMA_O_ADDRESS, NAME##_STREAM_Q_BYTES, NAME##_STREAM_O_BYTES, \
    NAME##_STREAM_V_LEAST }

/* What a status is, in words. */
TRTL_API const char *trtl_message(int status)
{
    static const char *const messages[] = {
        "done",
        "no unit of this generator is at this address",
        "registers are arranged for another driver, or the unit has no DMA",
        "the bitstream holds another unit than the header is of",
        "a row is too short or too long for the unit or a descriptor, or there are none",
        "an address is not a multiple of 8",
        "transfer does not end; the unit was reset",
        "memory does not answer what the unit asked for",
        "memory answered a burst with SLVERR",
        "memory answered a burst with DECERR",
        "a descriptor was refused by the unit",
        "a descriptor was lost: the queue was full",
        "a packet was shorter than its row",
        "a packet was longer than its row",
        "the unit found an error in its input: see errors"
    };
    return status >= 0 && status <= TRTL_UNIT_ERROR ? messages[status] : "unknown status";
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
    device->errors = device->channel = 0;
    if (trtl_read(device, TRTL_ID) != TRTL_MAGIC)
        return TRTL_NO_UNIT;
    if (trtl_read(device, TRTL_VERSION) >> 24 != TRTL_MAP)
        return TRTL_OTHER_MAP;
    if (trtl_read(device, TRTL_CONFIG_HASH) != hash)
        return TRTL_OTHER_UNIT;
    return trtl_reset(device);
}

/* First error of the channels, or of the unit. */
TRTL_API int trtl_error(trtl *device, const trtl_area *areas, unsigned count)
{
    unsigned n;
    for (n = 0; n < count; n++) {
        uint32_t word = trtl_read(device, areas[n].channel + TRTL_CHANNEL_ERRORS);
        int k;
        for (k = 0; k < 6; k++)
            if (word >> k & 1u) {
                device->channel = areas[n].channel;
                device->errors = word;
                return TRTL_BAD_SLVERR + k;
            }
    }
    device->errors = trtl_read(device, TRTL_ERRORS);
    return device->errors ? TRTL_UNIT_ERROR : TRTL_OK;
}

/* Rows of all areas through the unit; the unit is ready for the next call whatever comes back. */
TRTL_API int trtl_run(trtl *device, const trtl_area *areas, unsigned count)
{
    uint32_t before[TRTL_MOST_AREAS], polls = device->polls ? device->polls : TRTL_POLLS;
    unsigned n, missing;
    int status = TRTL_OK;
    device->errors = device->channel = 0;
    if (count == 0 || count > TRTL_MOST_AREAS)
        return TRTL_BAD_SIZE;
    for (n = 0; n < count; n++) {
        if ((areas[n].address | areas[n].stride) & 7u)
            return TRTL_UNALIGNED;
        if (areas[n].bytes == 0 || areas[n].bytes > TRTL_MOST_BYTES || areas[n].rows == 0 ||
            areas[n].rows > TRTL_MOST_ROWS)
            return TRTL_BAD_SIZE;
    }
    for (n = 0; n < count; n++) {
        uint32_t whole = (areas[n].rows - 1) * areas[n].stride + areas[n].bytes;
        if (device->flush)
            device->flush(device->context, areas[n].address, whole);
        before[n] = trtl_read(device, areas[n].channel + TRTL_DONE);
    }
    TRTL_BARRIER();
    /* Outputs come last in the list, and start first. */
    for (n = count; n-- > 0;) {
        trtl_write(device, areas[n].channel, areas[n].address);
        trtl_write(device, areas[n].channel + TRTL_BYTES, areas[n].bytes);
        trtl_write(device, areas[n].channel + TRTL_ROWS, areas[n].rows);
        trtl_write(device, areas[n].channel + TRTL_STRIDE, areas[n].stride);
        trtl_write(device, areas[n].channel + TRTL_START, 1u);
    }
    do {
        missing = 0;
        for (n = 0; n < count; n++)
            missing += trtl_read(device, areas[n].channel + TRTL_DONE) == before[n];
        status = trtl_error(device, areas, count);
        if (status == TRTL_OK && missing && polls-- == 0)
            status = TRTL_TIMEOUT;
    } while (missing && status == TRTL_OK);
    TRTL_BARRIER();
    if (status != TRTL_OK)
        return trtl_reset(device) == TRTL_OK ? status : TRTL_STUCK;
    for (n = 0; n < count; n++)
        if (areas[n].writes && device->invalidate)
            device->invalidate(device->context, areas[n].address,
                               (areas[n].rows - 1) * areas[n].stride + areas[n].bytes);
    return TRTL_OK;
}

TRTL_API void trtl_area_set(trtl_area *area, uint32_t channel, uint32_t address, uint32_t bytes,
                            uint32_t rows, int writes)
{
    area->channel = channel;
    area->address = address;
    area->bytes = bytes;
    area->rows = rows;
    area->stride = trtl_stride(bytes);
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

/* Sets of queries q, keys k and values v to sets of outputs o: sets of queries and of keys vectors
 * of dim elements each, one behind the other. */
TRTL_API int trtl_attention_run(trtl *device, const trtl_attention_unit *unit, uint32_t q,
                                uint32_t k, uint32_t v, uint32_t o, uint32_t sets,
                                uint32_t queries, uint32_t keys, uint32_t dim)
{
    trtl_area areas[4];
    uint32_t size = unit->input_bytes;
    trtl_area_set(&areas[0], unit->k, k, keys * dim * size, sets, 0);
    trtl_area_set(&areas[1], unit->v, v, keys * unit->value_dim * size, sets, 0);
    trtl_area_set(&areas[2], unit->q, q, queries * dim * size, sets, 0);
    trtl_area_set(&areas[3], unit->o, o, queries * unit->value_dim * unit->output_bytes, sets, 1);
    return trtl_run(device, areas, 4);
}

#endif

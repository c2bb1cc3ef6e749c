/* Runs one call of the driver: what to do and how it ended are in words of memory. */

#ifdef SVD_UNIT
#include "transformer_rtl_svd.h"
#else
#include "transformer_rtl.h"
#endif
#include UNIT_HEADER

#define ROW(NAME) TRTL_ROW_UNIT(NAME)
#define ATTENTION(NAME) TRTL_ATTENTION_UNIT(NAME)
#define SVD(NAME) TRTL_SVD_UNIT(NAME)

/* At 0x00130000, as boards/testing/arm.py has it. */
struct job {
    uint32_t hash_change, polls, arguments[10];
    uint32_t status, errors, channel, flushed;
};

#define JOB ((volatile struct job *)0x00130000u)

static void flush(void *context, uint32_t address, uint32_t bytes)
{
    (void)address;
    *(uint32_t *)context += bytes;
}

void _start(void)
{
    uint32_t flushed = 0, a[10];
    trtl device;
    int status, n;
    device.polls = JOB->polls;
    device.flush = flush;
    device.invalidate = 0;
    device.context = &flushed;
    for (n = 0; n < 10; n++)
        a[n] = JOB->arguments[n];
    {
#ifdef ATTENTION_UNIT
        static const trtl_attention_unit unit = ATTENTION(UNIT);
        status = trtl_open(&device, (volatile void *)0x43C00000u, unit.hash ^ JOB->hash_change);
        if (status == TRTL_OK)
            status = trtl_attention_run(&device, &unit, a[0], a[1], a[2], a[3], a[4], a[5], a[6],
                                        a[7]);
#elif defined(SVD_UNIT)
        static const trtl_svd_unit unit = SVD(UNIT);
        trtl_svd_image image = {0, 0, 0, 0};
        status = trtl_open(&device, (volatile void *)0x43C00000u, unit.hash ^ JOB->hash_change);
        /* Processor and unit see memory at the same addresses. */
        if (status == TRTL_OK && a[0] != 0)
            status = trtl_svd_open(&device, &unit, &image, (volatile void *)a[0], a[0]);
        if (a[5] != 0)
            image.count = a[5];
        if (status == TRTL_OK)
            status = trtl_svd_run(&device, &unit, &image, (volatile void *)a[1], a[1], a[2], a[3],
                                  a[4]);
#else
        static const trtl_row_unit unit = ROW(UNIT);
        status = trtl_open(&device, (volatile void *)0x43C00000u, unit.hash ^ JOB->hash_change);
        if (status == TRTL_OK)
            status = trtl_rows_run(&device, &unit, a[0], a[1], a[2], a[3]);
#endif
    }
    JOB->status = (uint32_t)status;
    JOB->errors = device.errors;
    JOB->channel = device.channel;
    JOB->flushed = flushed;
}

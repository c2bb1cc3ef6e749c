/* Runs one call of the driver: what to do and how it ended are in words of memory. */

#include "transformer_rtl_attention.h"
#include "transformer_rtl_sets.h"
#include "transformer_rtl_svd.h"
#include UNIT_HEADER

#define ROW(NAME) TRTL_ROW_UNIT(NAME)
#define ATTENTION(NAME) TRTL_SCALED_ATTENTION_UNIT(NAME)
#define SETS(NAME) TRTL_SCALED_SETS_UNIT(NAME)
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

#ifdef SETS_UNIT
/* Vectors of 8 bytes. A prompt, then token after token, two heads each; then a query to a set that
 * is empty, which fails, and one after a truncation. Arguments: keys, values, queries, outputs,
 * scales of the heads, memory for commands, tokens, those of the prompt. */
static int decode(trtl *device, const trtl_sets_unit *unit, const uint32_t *a)
{
    trtl_sets sets;
    uint32_t n, heads = 2;
    int status = TRTL_OK;
    sets.device = device;
    sets.unit = unit;
    sets.words = (volatile uint32_t *)a[5];
    sets.address = a[5];
    for (n = 0; n < heads && status == TRTL_OK; n++)
        status = trtl_head(&sets, n, a[4] + 8 * n);
    if (status == TRTL_OK)
        status = trtl_append(&sets, 0, a[0], a[1], a[7]);
    for (n = a[7]; n < a[6] && status == TRTL_OK; n++)
        status = trtl_decode(&sets, 0, a[0] + 8 * n, a[1] + 8 * n, a[2] + 16 * n, a[3] + 16 * n, 1,
                             heads, n);
    if (status == TRTL_OK)
        status = trtl_query(&sets, 1, 0, a[2], a[3], 1, 0);
    if (status != TRTL_MARKED)
        return status;
    status = trtl_truncate(&sets, 0, a[6] - 1);
    if (status == TRTL_OK)
        status = trtl_query(&sets, 0, 1, a[2], a[3], 1, a[6] - 2);
    return status;
}
#endif

void _start(void)
{
    uint32_t flushed = 0, a[10];
    trtl device;
    int status, n;
    device.polls = JOB->polls;
    device.flush = flush;
    device.invalidate = 0;
    device.context = &flushed;
    device.wait = 0;
    device.marks = 0;
    for (n = 0; n < 10; n++)
        a[n] = JOB->arguments[n];
    {
#ifdef SETS_UNIT
        static const trtl_sets_unit unit = SETS(UNIT);
        status = trtl_open(&device, (volatile void *)0x43C00000u, unit.hash ^ JOB->hash_change);
        if (status == TRTL_OK)
            status = decode(&device, &unit, a);
#elif defined(ATTENTION_UNIT)
        static const trtl_attention_unit unit = ATTENTION(UNIT);
        status = trtl_open(&device, (volatile void *)0x43C00000u, unit.hash ^ JOB->hash_change);
        if (status == TRTL_OK)
            status = trtl_attention_scaled(&device, &unit, a[0], a[1], a[2], a[3], a[4], a[5],
                                           a[6], a[7], a[8]);
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

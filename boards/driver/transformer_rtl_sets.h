/* SPDX-License-Identifier: MIT
 *
 * Sets of keys and values that stay in a unit of attention with store = "resident", and grow. As
 * transformer_rtl.h: a header, no library, physical addresses that are multiples of 8.
 *
 *     static const trtl_sets_unit unit = TRTL_SETS_UNIT(<NAME>);
 *     trtl_sets sets = {0};
 *     sets.device = &device;                after trtl_open, which empties all sets
 *     sets.unit = &unit;
 *     sets.words = pointer to memory for commands, 8 bytes each: 1 + heads of them for trtl_decode
 *     sets.address = its physical address
 *     status = trtl_append(&sets, 0, k, v, keys);
 *     status = trtl_query(&sets, 0, head, q, o, queries, offset);
 *
 * Vectors are one behind the other. The unit is without --user memory: no key is masked.
 * TRTL_MARKED says that a query was not answered; the sets are as they were. After any other error
 * that the device has found they are empty: trtl_reset was called. Scales of heads stay.
 */
#ifndef TRANSFORMER_RTL_SETS_H
#define TRANSFORMER_RTL_SETS_H

#include "transformer_rtl.h"

/* A unit of attention with sets that stay: channels, counters of packets, bytes of a vector. */
typedef struct {
    uint32_t hash, c, k, v, q, o, p, c_packets, k_packets, v_packets, p_packets;
    uint32_t key_bytes, value_bytes, output_bytes, parameter_bytes, marks;
} trtl_sets_unit;

#define TRTL_SETS_UNIT(NAME) TRTL_SETS_UNIT_WITH(NAME, 0, 0, 0)

/* The same with scales at run time. */
#define TRTL_SCALED_SETS_UNIT(NAME) TRTL_SETS_UNIT_WITH(NAME, \
    NAME##_DMA_P_ADDRESS, NAME##_P_PACKETS, NAME##_STREAM_P_LEAST * NAME##_STREAM_P_BYTES)

#define TRTL_SETS_UNIT_WITH(NAME, P, P_PACKETS, P_BYTES) { \
    NAME##_CONFIG_HASH_RESET, NAME##_DMA_C_ADDRESS, NAME##_DMA_K_ADDRESS, NAME##_DMA_V_ADDRESS, \
    NAME##_DMA_Q_ADDRESS, NAME##_DMA_O_ADDRESS, P, NAME##_C_PACKETS, NAME##_K_PACKETS, \
    NAME##_V_PACKETS, P_PACKETS, NAME##_STREAM_K_LEAST * NAME##_STREAM_K_BYTES, \
    NAME##_STREAM_V_LEAST * NAME##_STREAM_V_BYTES, NAME##_STREAM_O_LEAST * NAME##_STREAM_O_BYTES, \
    P_BYTES, NAME##_ERRORS_O_MARKED_MASK }

typedef struct {
    trtl *device;
    const trtl_sets_unit *unit;
    volatile uint32_t *words;  /* memory for commands */
    uint32_t address;          /* its physical address */
} trtl_sets;

enum trtl_operation { TRTL_QUERY, TRTL_APPEND, TRTL_TRUNCATE, TRTL_FREE, TRTL_HEAD };

/* What the fields of a command hold. */
#define TRTL_MOST_COUNT 0xFFFFu
#define TRTL_MOST_SET 0xFFFFu
#define TRTL_MOST_HEAD 0xFFu

/* Write command n; count and offset are taken modulo 2^16, as the unit counts positions. */
TRTL_API int trtl_command(const trtl_sets *sets, unsigned n, int operation, uint32_t set,
                          uint32_t head, uint32_t count, uint32_t offset)
{
    if (set > TRTL_MOST_SET || head > TRTL_MOST_HEAD)
        return TRTL_BAD_NUMBER;
    sets->words[2 * n] = (uint32_t)operation | head << 8 | set << 16;
    sets->words[2 * n + 1] = (count & TRTL_MOST_COUNT) | offset << 16;
    return TRTL_OK;
}

/* Areas of the commands and of what belongs to them, through the unit. */
TRTL_API int trtl_sets_run(const trtl_sets *sets, trtl_area *areas, unsigned count,
                           uint32_t commands)
{
    trtl_area_set(&areas[0], sets->unit->c, sets->address, 8, commands, 0);
    areas[0].packets = sets->unit->c_packets;
    sets->device->marks = sets->unit->marks;
    return trtl_run(sets->device, areas, count);
}

/* An area whose rows the unit has to have taken. */
TRTL_API void trtl_area_taken(trtl_area *area, uint32_t channel, uint32_t packets,
                              uint32_t address, uint32_t bytes)
{
    trtl_area_set(area, channel, address, bytes, 1, 0);
    area->packets = packets;
}

/* Scales of a head, for queries that follow: the words of the stream p. */
TRTL_API int trtl_head(const trtl_sets *sets, uint32_t head, uint32_t p)
{
    trtl_area areas[2];
    int status;
    if (!sets->unit->p)
        return TRTL_BAD_SIZE;
    status = trtl_command(sets, 0, TRTL_HEAD, 0, head, 0, 0);
    if (status != TRTL_OK)
        return status;
    trtl_area_taken(&areas[1], sets->unit->p, sets->unit->p_packets, p,
                    sets->unit->parameter_bytes);
    return trtl_sets_run(sets, areas, 2, 1);
}

/* Command and areas 1 and 2 of an append. */
TRTL_API int trtl_append_areas(const trtl_sets *sets, trtl_area *areas, uint32_t set, uint32_t k,
                               uint32_t v, uint32_t keys)
{
    const trtl_sets_unit *unit = sets->unit;
    if (keys == 0 || keys > TRTL_MOST_COUNT)
        return TRTL_BAD_SIZE;
    trtl_area_taken(&areas[1], unit->k, unit->k_packets, k, keys * unit->key_bytes);
    trtl_area_taken(&areas[2], unit->v, unit->v_packets, v, keys * unit->value_bytes);
    return trtl_command(sets, 0, TRTL_APPEND, set, 0, keys, 0);
}

/* Append keys k and values v to a set. */
TRTL_API int trtl_append(const trtl_sets *sets, uint32_t set, uint32_t k, uint32_t v,
                         uint32_t keys)
{
    trtl_area areas[3];
    int status = trtl_append_areas(sets, areas, set, k, v, keys);
    return status == TRTL_OK ? trtl_sets_run(sets, areas, 3, 1) : status;
}

/* Keep the first keys of a set; 0 empties it. */
TRTL_API int trtl_truncate(const trtl_sets *sets, uint32_t set, uint32_t keys)
{
    trtl_area areas[1];
    int status = trtl_command(sets, 0, keys ? TRTL_TRUNCATE : TRTL_FREE, set, 0, keys, 0);
    return status == TRTL_OK ? trtl_sets_run(sets, areas, 1, 1) : status;
}

/* Attention of queries q, the first one at position offset, to a set: outputs to o. */
TRTL_API int trtl_query(const trtl_sets *sets, uint32_t set, uint32_t head, uint32_t q, uint32_t o,
                        uint32_t queries, uint32_t offset)
{
    trtl_area areas[3];
    int status;
    if (queries == 0 || queries > TRTL_MOST_COUNT)
        return TRTL_BAD_SIZE;
    status = trtl_command(sets, 0, TRTL_QUERY, set, head, queries, offset);
    if (status != TRTL_OK)
        return status;
    trtl_area_set(&areas[1], sets->unit->q, q, queries * sets->unit->key_bytes, 1, 0);
    trtl_area_set(&areas[2], sets->unit->o, o, queries * sets->unit->output_bytes, 1, 1);
    return trtl_sets_run(sets, areas, 3, 1);
}

/* Append the keys and values of tokens, the first one at position offset, and answer their queries
 * of heads 0 to heads - 1, all in one transfer. The queries of a head are a row of q, its outputs
 * one of o, each trtl_stride(bytes) from the next. */
TRTL_API int trtl_decode(const trtl_sets *sets, uint32_t set, uint32_t k, uint32_t v, uint32_t q,
                         uint32_t o, uint32_t tokens, uint32_t heads, uint32_t offset)
{
    trtl_area areas[5];
    uint32_t head;
    int status = trtl_append_areas(sets, areas, set, k, v, tokens);
    if (status == TRTL_OK && heads > TRTL_MOST_HEAD + 1u)
        status = TRTL_BAD_NUMBER;
    if (status != TRTL_OK)
        return status;
    for (head = 0; head < heads; head++)
        trtl_command(sets, head + 1, TRTL_QUERY, set, head, tokens, offset);
    trtl_area_set(&areas[3], sets->unit->q, q, tokens * sets->unit->key_bytes, heads, 0);
    trtl_area_set(&areas[4], sets->unit->o, o, tokens * sets->unit->output_bytes, heads, 1);
    return trtl_sets_run(sets, areas, 5, heads + 1);
}

#endif

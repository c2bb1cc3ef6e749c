/* SPDX-License-Identifier: MIT
 *
 * Attention with registers and DMA, in a header beside transformer_rtl.h; the unit keeps no sets.
 *
 *     #include "transformer_rtl_attention.h"
 *     #include "<name>.h"
 *
 *     static const trtl_attention_unit unit = TRTL_ATTENTION_UNIT(<NAME>);
 *     trtl device = {0};
 *     int status = trtl_open(&device, registers, unit.hash);
 *     if (status == TRTL_OK)
 *         status = trtl_attention_run(&device, &unit, q, k, v, o, sets, queries, keys, dim);
 *
 * q, k, v and o are physical addresses, multiples of 8.
 */
#ifndef TRANSFORMER_RTL_ATTENTION_H
#define TRANSFORMER_RTL_ATTENTION_H

#include "transformer_rtl.h"

/* A unit of attention. */
typedef struct {
    uint32_t hash, q, k, v, o, p, input_bytes, output_bytes, parameter_bytes, value;
} trtl_attention_unit;

#define TRTL_ATTENTION_UNIT(NAME) { \
    NAME##_CONFIG_HASH_RESET, NAME##_DMA_Q_ADDRESS, NAME##_DMA_K_ADDRESS, NAME##_DMA_V_ADDRESS, \
    NAME##_DMA_O_ADDRESS, 0, NAME##_STREAM_Q_BYTES, NAME##_STREAM_O_BYTES, 0, \
    NAME##_STREAM_V_LEAST }

/* The same with scales at run time. */
#define TRTL_SCALED_ATTENTION_UNIT(NAME) { \
    NAME##_CONFIG_HASH_RESET, NAME##_DMA_Q_ADDRESS, NAME##_DMA_K_ADDRESS, NAME##_DMA_V_ADDRESS, \
    NAME##_DMA_O_ADDRESS, NAME##_DMA_P_ADDRESS, NAME##_STREAM_Q_BYTES, NAME##_STREAM_O_BYTES, \
    NAME##_STREAM_P_LEAST * NAME##_STREAM_P_BYTES, NAME##_STREAM_V_LEAST }

/* Bytes of vectors of dim elements; more than a descriptor holds, if it would overflow. */
TRTL_API uint32_t trtl_vectors(uint32_t count, uint32_t dim, uint32_t size)
{
    uint64_t elements = (uint64_t)count * dim;
    return elements > TRTL_MOST_BYTES ? TRTL_MOST_BYTES + 1u : (uint32_t)elements * size;
}

/* Sets of queries q, keys k and values v to sets of outputs o: sets of queries and of keys vectors
 * of dim elements each, values and outputs of as many as the unit's, one behind the other. With
 * scales at run time p has the words of each set, trtl_stride(parameter_bytes) apart. */
TRTL_API int trtl_attention_scaled(trtl *device, const trtl_attention_unit *unit, uint32_t q,
                                   uint32_t k, uint32_t v, uint32_t p, uint32_t o, uint32_t sets,
                                   uint32_t queries, uint32_t keys, uint32_t dim)
{
    trtl_area areas[5];
    uint32_t size = unit->input_bytes, value = unit->value;
    uint32_t outputs = trtl_vectors(queries, value, unit->output_bytes);
    unsigned n = 0;
    if (unit->p)
        trtl_area_set(&areas[n++], unit->p, p, unit->parameter_bytes, sets, 0);
    trtl_area_set(&areas[n++], unit->k, k, trtl_vectors(keys, dim, size), sets, 0);
    trtl_area_set(&areas[n++], unit->v, v, trtl_vectors(keys, value, size), sets, 0);
    trtl_area_set(&areas[n++], unit->q, q, trtl_vectors(queries, dim, size), sets, 0);
    trtl_area_set(&areas[n++], unit->o, o, outputs, sets, 1);
    return trtl_run(device, areas, n);
}

/* The same with fixed scales. */
TRTL_API int trtl_attention_run(trtl *device, const trtl_attention_unit *unit, uint32_t q,
                                uint32_t k, uint32_t v, uint32_t o, uint32_t sets,
                                uint32_t queries, uint32_t keys, uint32_t dim)
{
    if (unit->p)
        return TRTL_BAD_SIZE;
    return trtl_attention_scaled(device, unit, q, k, v, 0, o, sets, queries, keys, dim);
}

#endif

/* SPDX-License-Identifier: MIT
 *
 * SVD-softmax with registers and DMA, in a header beside transformer_rtl.h.
 *
 *     #include "transformer_rtl_svd.h"
 *     #include "<name>.h"
 *
 *     static const trtl_svd_unit unit = TRTL_SVD_UNIT(<NAME>);
 *     trtl device = {0};
 *     trtl_svd_image image = {0};
 *     int status = trtl_open(&device, registers, unit.hash);
 *     if (status == TRTL_OK)
 *         status = trtl_svd_open(&device, &unit, &image, header, address);
 *     if (status == TRTL_OK)
 *         status = trtl_svd_run(&device, &unit, &image, words, setup, h, o, vectors);
 *     puts(trtl_svd_message(status));
 *
 * The image (image.bin of python -m sim.svd) is at the physical address, a multiple of 4096, and
 * where the processor sees its first 64 bytes at header. setup, h and o are physical addresses,
 * multiples of 8: 16 bytes that the processor sees at words; the vectors, one behind the other,
 * elements little endian of unit.h_bytes bytes; and the outputs, trtl_svd_outputs(&unit, &image) of
 * them a vector, four words each: index (bit 31: word of the full view), probability, logit,
 * log-partition.
 */
#ifndef TRANSFORMER_RTL_SVD_H
#define TRANSFORMER_RTL_SVD_H

#include "transformer_rtl.h"

/* Fields of an image's header, in words. */
#define TRTL_SVD_MAGIC 0x53445653u
#define TRTL_SVD_HASH 1
#define TRTL_SVD_VOCABULARY 2
#define TRTL_SVD_COLUMNS 3
#define TRTL_SVD_COUNT 4
#define TRTL_SVD_SIZE 9

#define TRTL_SVD_SETUP_BYTES 16u
#define TRTL_SVD_OUTPUT_BYTES 16u
#define TRTL_SVD_SELECTED 0x80000000u

/* What may come back beside the states of trtl_status. */
enum trtl_svd_status {
    TRTL_SVD_NO_IMAGE = 64, TRTL_SVD_OTHER_IMAGE, TRTL_SVD_UNALIGNED, TRTL_SVD_BAD_NUMBER
};

typedef struct {
    uint32_t hash, image_hash, setup, h, response, o, h_bytes, dim, vocabulary, columns, count, whole;
} trtl_svd_unit;

#define TRTL_SVD_UNIT(NAME) { \
    NAME##_CONFIG_HASH_RESET, NAME##_UNIT_IMAGE_HASH, NAME##_DMA_SETUP_ADDRESS, \
    NAME##_DMA_H_ADDRESS, NAME##_DMA_RESPONSE_ERRORS - TRTL_CHANNEL_ERRORS, \
    NAME##_DMA_O_ADDRESS, \
    NAME##_STREAM_H_BYTES, NAME##_UNIT_DIM, \
    NAME##_UNIT_MAX_VOCAB, NAME##_UNIT_MAX_PREVIEW, NAME##_UNIT_MAX_COUNT, NAME##_UNIT_WHOLE }

/* An image in memory. vocabulary (V) and count (N) may be lowered between calls; N up to V. */
typedef struct {
    uint32_t address, vocabulary, columns, count;
} trtl_svd_image;

/* What a status is, in words. */
TRTL_API const char *trtl_svd_message(int status)
{
    static const char *const messages[] = {
        "no image is loaded: there is none at this address, or trtl_svd_open was not called",
        "the image was made for another configuration, or is too large for the unit",
        "the address of the image is not a multiple of 4096",
        "the words, or those of the full view, are 0 or too many, or there are no vectors"
    };
    if (status >= TRTL_SVD_NO_IMAGE && status <= TRTL_SVD_BAD_NUMBER)
        return messages[status - TRTL_SVD_NO_IMAGE];
    return trtl_message(status);
}

/* Check the header of an image, and hand the image over to the unit. */
TRTL_API int trtl_svd_open(trtl *device, const trtl_svd_unit *unit, trtl_svd_image *image,
                           const volatile void *header, uint32_t address)
{
    const volatile uint32_t *fields = (const volatile uint32_t *)header;
    image->address = image->vocabulary = image->columns = image->count = 0;
    if (address & 4095u)
        return TRTL_SVD_UNALIGNED;
    if (fields[0] != TRTL_SVD_MAGIC)
        return TRTL_SVD_NO_IMAGE;
    if (fields[TRTL_SVD_HASH] != unit->image_hash ||
        fields[TRTL_SVD_VOCABULARY] - 1u >= unit->vocabulary ||
        fields[TRTL_SVD_COLUMNS] - 1u >= unit->columns)
        return TRTL_SVD_OTHER_IMAGE;
    device->fetch = unit->response;
    image->address = address;
    image->vocabulary = fields[TRTL_SVD_VOCABULARY];
    image->columns = fields[TRTL_SVD_COLUMNS];
    image->count = fields[TRTL_SVD_COUNT];
    if (image->count > unit->count)
        image->count = unit->count;
    if (device->flush)
        device->flush(device->context, address, fields[TRTL_SVD_SIZE]);
    return TRTL_OK;
}

/* Outputs of a vector. */
TRTL_API uint32_t trtl_svd_outputs(const trtl_svd_unit *unit, const trtl_svd_image *image)
{
    return unit->whole ? image->vocabulary : image->count;
}

/* A batch of vectors from h to their outputs at o, over the words of an image. */
TRTL_API int trtl_svd_run(trtl *device, const trtl_svd_unit *unit, const trtl_svd_image *image,
                          volatile void *words, uint32_t setup, uint32_t h, uint32_t o,
                          uint32_t vectors)
{
    volatile uint32_t *fields = (volatile uint32_t *)words;
    uint32_t vector = unit->dim * unit->h_bytes;
    trtl_area areas[3];
    if (image->columns == 0)
        return TRTL_SVD_NO_IMAGE;
    if (image->vocabulary - 1u >= unit->vocabulary || image->count - 1u >= unit->count ||
        image->count > image->vocabulary || vectors == 0)
        return TRTL_SVD_BAD_NUMBER;
    if ((uint64_t)vectors * vector > TRTL_MOST_BYTES)
        return TRTL_BAD_SIZE;
    fields[0] = image->address;
    fields[1] = image->vocabulary;
    fields[2] = image->columns;
    fields[3] = image->count;
    trtl_area_set(&areas[0], unit->setup, setup, TRTL_SVD_SETUP_BYTES, 1, 0);
    trtl_area_set(&areas[1], unit->h, h, vectors * vector, 1, 0);
    trtl_area_set(&areas[2], unit->o, o,
                  trtl_svd_outputs(unit, image) * TRTL_SVD_OUTPUT_BYTES, vectors, 1);
    return trtl_run(device, areas, 3);
}

#endif

/* What is known of a dataset once it stands: its statistics and its fingerprint. */
#include "host/base/file.h"
#include "host/data/data_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So many bytes can be squared and summed in 32 bits: 65025 x 65536 < 2^32. */
enum { SUM_STRETCH = 1 << 16 };

static void add_plane(const uint8_t *pixels, size_t count, uint64_t *sum, uint64_t *squares)
{
    while (count > 0) {
        size_t stretch = count < SUM_STRETCH ? count : SUM_STRETCH;
        uint32_t s = 0, q = 0;
        for (size_t i = 0; i < stretch; i++) {
            uint32_t v = pixels[i];
            s += v;
            q += v * v;
        }
        *sum += s;
        *squares += q;
        pixels += stretch;
        count -= stretch;
    }
}

void data_measure(struct dataset *set, int32_t threads)
{
    size_t plane = (size_t)set->height * (size_t)set->width, image = plane * (size_t)set->channels;
    int32_t count = set->sample_count[SPLIT_TRAIN];
    const int32_t *samples = set->samples[SPLIT_TRAIN];
    uint64_t sum[4] = {0}, squares[4] = {0};

#pragma omp parallel for num_threads(data_threads(threads)) schedule(static) reduction(+ : sum[:4], squares[:4])
    for (int32_t i = 0; i < count; i++)
        for (int32_t c = 0; c < set->channels; c++)
            add_plane(set->pixels + (size_t)samples[i] * image + (size_t)c * plane, plane, &sum[c],
                      &squares[c]);

    double values = (double)count * (double)plane;
    for (int32_t c = 0; c < set->channels; c++) {
        double mean = (double)sum[c] / values;
        double variance = (double)squares[c] / values - mean * mean;
        set->mean[c] = (float)(mean / 255);
        set->deviation[c] = (float)(sqrt(variance > 0 ? variance : 0) / 255);
        if (set->deviation[c] == 0.0f)
            set->deviation[c] = DATA_CONSTANT; /* so that it is 0 everywhere once it is normalised */
    }
}

enum status data_hash_images(struct dataset *set, int32_t threads, struct error *err)
{
    const size_t bytes = data_image_bytes(set);
    set->hashes = malloc(((size_t)set->count + 1) * sizeof(*set->hashes));
    if (set->hashes == NULL)
        return error_memory(err, "hashes", (unsigned long long)set->count * sizeof(*set->hashes));
#pragma omp parallel for num_threads(data_threads(threads)) schedule(static)
    for (int32_t i = 0; i < set->count; i++)
        set->hashes[i] = file_hash(0, set->pixels + (size_t)i * bytes, bytes);
    return ST_OK;
}

/* ---- the hash of older journals ---- */

/* Stays by hand: no library has it, and run folders that are to be gone on with hold its values. Four lanes over
 * 8-byte words, after xxHash64 (Y. Collet). */
static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static uint64_t word_at(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

static uint64_t mix(uint64_t lane, uint64_t word)
{
    return rotate(lane + word * 0xC2B2AE3D27D4EB4Full, 31) * 0x9E3779B185EBCA87ull;
}

static uint64_t old_hash(uint64_t start, const void *data, size_t length)
{
    const uint8_t *bytes = data;
    uint64_t lanes[4] = {start + 1, start + 2, start + 3, start + 4};
    uint8_t rest[32] = {0};
    size_t whole = length / 32 * 32;
    for (size_t i = 0; i < whole; i += 32)
        for (size_t k = 0; k < 4; k++)
            lanes[k] = mix(lanes[k], word_at(bytes + i + 8 * k));
    if (length > whole)
        memcpy(rest, bytes + whole, length - whole);
    uint64_t hash = mix(start, length);
    for (size_t k = 0; k < 4; k++)
        hash = mix(hash ^ mix(lanes[k], word_at(rest + 8 * k)), k);
    /* Each bit of the result depends on each bit of the hash. */
    hash = (hash ^ hash >> 33) * 0xC2B2AE3D27D4EB4Full;
    hash = (hash ^ hash >> 29) * 0x165667B19E3779F9ull;
    return hash ^ hash >> 32;
}

/* ---- fingerprints ---- */

static uint64_t fingerprint_by(uint64_t (*hash)(uint64_t start, const void *data, size_t length),
                               const struct dataset *set)
{
    int32_t shape[5] = {set->count, set->channels, set->height, set->width, set->classes};
    size_t image = data_image_bytes(set);
    uint64_t sum = hash(0, shape, sizeof(shape));
    sum = hash(sum, set->pixels, (size_t)set->count * image);
    sum = hash(sum, set->labels, (size_t)set->count * sizeof(*set->labels));
    if (set->label_sets != NULL)
        sum = hash(sum, set->label_sets, (size_t)set->label_set_count * (size_t)set->classes);
    for (int split = 0; split < SPLIT_COUNT; split++)
        sum = hash(sum, set->samples[split], (size_t)set->sample_count[split] * sizeof(int32_t));
    return sum;
}

void data_fingerprint(struct dataset *set)
{
    set->fingerprint = fingerprint_by(file_hash, set);
    set->old_fingerprint = fingerprint_by(old_hash, set);
}

void data_fingerprint_text(const struct dataset *dataset, const char *like,
                           char text[DATA_FINGERPRINT_LENGTH])
{
    if (like != NULL && strncmp(like, FILE_HASH_MARK, strlen(FILE_HASH_MARK)) != 0)
        snprintf(text, DATA_FINGERPRINT_LENGTH, "%016" PRIx64, dataset->old_fingerprint);
    else
        file_hash_text(dataset->fingerprint, text);
}

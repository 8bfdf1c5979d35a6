/* Second moments of small patches of the training images, for whitening. */
#include "host/data/data_internal.h"

#include <math.h>

/* Moments are about the measured mean, whatever is subtracted. */
void data_normalise_by(struct dataset *set, const float *mean, const float *deviation)
{
    const int32_t area = DATA_PATCH_SIDE * DATA_PATCH_SIDE, values = set->channels * area;
    double times[4];
    for (int32_t c = 0; c < set->channels; c++) {
        times[c] = (double)set->deviation[c] / (double)deviation[c];
        set->mean[c] = mean[c];
        set->deviation[c] = deviation[c];
    }
    for (int32_t i = 0; i < values; i++)
        for (int32_t j = 0; j < values; j++)
            set->patches[i * values + j] *= times[i / area] * times[j / area];
}

/* Sums of products are whole numbers: at most 5000 images of 2^20 patches of 255^2. */
void data_measure_patches(struct dataset *set)
{
    const int32_t side = DATA_PATCH_SIDE, h = set->height, w = set->width;
    const int32_t values = set->channels * side * side;
    const int32_t images = set->sample_count[SPLIT_TRAIN] < DATA_PATCH_IMAGES ? set->sample_count[SPLIT_TRAIN]
                                                                              : DATA_PATCH_IMAGES;
    const size_t plane = (size_t)h * (size_t)w, image = plane * (size_t)set->channels;
    uint64_t sums[DATA_PATCH_VALUES] = {0}, products[DATA_PATCH_VALUES][DATA_PATCH_VALUES] = {{0}};

    for (int32_t n = 0; n < images; n++) {
        const uint8_t *pixels = set->pixels + (size_t)set->samples[SPLIT_TRAIN][n] * image;
        for (int32_t y = 0; y + side <= h; y++)
            for (int32_t x = 0; x + side <= w; x++) {
                uint32_t patch[DATA_PATCH_VALUES];
                for (int32_t i = 0; i < values; i++)
                    patch[i] = pixels[(size_t)(i / (side * side)) * plane +
                                      (size_t)(y + i / side % side) * (size_t)w + (size_t)(x + i % side)];
                for (int32_t i = 0; i < values; i++) {
                    sums[i] += patch[i];
                    for (int32_t j = 0; j <= i; j++)
                        products[i][j] += patch[i] * patch[j];
                }
            }
    }
    const double patches = (double)images * fmax((double)(h - side + 1) * (w - side + 1), 0.0);
    for (int32_t i = 0; i < values; i++)
        for (int32_t j = 0; j <= i; j++) {
            const int32_t a = i / (side * side), b = j / (side * side);
            const double mean_a = 255.0 * (double)set->mean[a], mean_b = 255.0 * (double)set->mean[b];
            const double deviations = 255.0 * 255.0 * (double)set->deviation[a] * (double)set->deviation[b];
            const double moment =
                ((double)products[i][j] - mean_a * (double)sums[j] - mean_b * (double)sums[i]) / patches +
                mean_a * mean_b;
            const double scaled = patches > 0.0 && deviations > 0.0 ? moment / deviations : 0.0;
            set->patches[i * values + j] = set->patches[j * values + i] = scaled;
        }
}

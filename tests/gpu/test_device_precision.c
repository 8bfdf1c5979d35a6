/* train.precision on the emulated GPU: what a device takes and what it calls itself; half precision with its scaled
 * loss. */
#include "cuda/device/cuda_internal.h"
#include "tests/gpu/emu/emu_test.h"
#include "tests/support/crowd.h"
#include "tests/support/device_session.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { IMAGES = 16, OLD_MAJOR = 7 };

static enum status open_half(const struct device_options *options, struct device **device, struct error *err)
{
    struct device_options half = *options;
    half.precision = PRECISION_FP16;
    return cuda_device_ops.open(&half, device, err);
}

static struct device_ops half_ops(void)
{
    struct device_ops ops = cuda_device_ops;
    ops.open = open_half;
    return ops;
}

/* ---- which there are ---- */

static void precisions_and_devices(void **state)
{
    static const struct {
        int major;
        enum device_precision precision;
        const char *found; /* the name's end, or the message */
        double rounding;
    } cases[] = {
        {9, PRECISION_AUTO, "capability 9.0, bf16", 0x1p-8},
        {9, PRECISION_BF16, "capability 9.0, bf16", 0x1p-8},
        {9, PRECISION_FP16, "capability 9.0, fp16", 0x1p-11},
        {9, PRECISION_TF32, "capability 9.0, tf32", 0x1p-10},
        {9, PRECISION_FP32, "capability 9.0, float32", 0x1p-24},
        {OLD_MAJOR, PRECISION_AUTO, "capability 7.0, float32", 0x1p-24},
        {OLD_MAJOR, PRECISION_FP16, "capability 7.0, fp16", 0x1p-11},
        {OLD_MAJOR, PRECISION_BF16,
         "cuda:0: train.precision: found bf16, expected fp16 or fp32 for compute capability 7.x", 0},
        {OLD_MAJOR, PRECISION_TF32,
         "cuda:0: train.precision: found tf32, expected fp16 or fp32 for compute capability 7.x", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct device *device = NULL;
        struct device_info info;
        struct error err;
        const char *found = info.name;
        emu.major = cases[i].major;
        if (cuda_device_ops.open(&(struct device_options){.precision = cases[i].precision}, &device, &err) ==
            ST_OK) {
            const int multiprocessors = emu.multiprocessors++;
            cuda_device_ops.info(device, &info);
            assert_int_equal(info.threads, multiprocessors); /* as it was opened: it is not asked again */
            assert_true(info.rounding == cases[i].rounding);
            cuda_device_ops.close(device);
        } else {
            assert_int_equal(err.status, ST_UNSUPPORTED);
            found = err.message;
        }
        if (strstr(found, cases[i].found) == NULL)
            fail_msg("case %zu: found \"%s\", expected \"%s\"", i, found, cases[i].found);
    }
}

/* ---- half precision ---- */

/* Beside the reference: half rounds to 2^-11, and 13 steps of a small network keep within a hundredth. */
static void half_trains(void **state)
{
    (void)state;
    const struct device_ops ops = half_ops();
    struct trainer_result expected, found;
    struct crowd ref, half;
    size_t total;
    crowd_open(&ref, &ref_device_ops, 1, true);
    crowd_open(&half, &ops, 1, true);
    free(crowd_weights_after(&ref, &expected, &total));
    free(crowd_weights_after(&half, &found, &total));
    if (!(fabs(found.loss - expected.loss) <= 0.01 * expected.loss))
        fail_msg("the loss is %g, expected %g", found.loss, expected.loss);
    crowd_close(&half);
    crowd_close(&ref);
}

static void scale_of(struct device_session *session, double metrics[METRIC_COUNT])
{
    assert_int_equal(
        session->ops->program_metrics(session->device, session->prepared, metrics, &session->err), ST_OK);
}

/* Far too large a scale: steps change nothing and halve it, until gradients are finite; then weights move. */
static void overflow_is_survived(void **state)
{
    (void)state;
    const struct device_ops ops = half_ops();
    const struct lower_options options = {
        .purpose = PROG_TRAIN, .batch = IMAGES, .label_smoothing = 0.1f, .batch_norm_momentum = 0.1f};
    const double start[METRIC_COUNT] = {[METRIC_SCALE] = CUDA_SCALE_MOST};
    double metrics[METRIC_COUNT], before = CUDA_SCALE_MOST;
    struct device_session session;
    struct crowd crowd;
    int32_t skipped = 0, moved = 0;
    crowd_open(&crowd, &ref_device_ops, 1, true); /* for its graph */
    session_open(&session, &ops, &crowd.tasks[0].graph, &options, IMAGES, 3);
    session.binding.optimizer = (struct optimizer){OPTIMIZER_SGD, 0.9f, 0.999f, 0.0f, 1.0f, 0.0f, 0.0f};
    session_bind(&session);
    const struct weight_tensor *kernel = &session.program.weights.tensors[0];
    float *now = malloc(session.program.weights.total * sizeof(*now)),
          *last = malloc(session.program.weights.total * sizeof(*last));
    assert_true(now != NULL && last != NULL);
    memcpy(last, session.values, session.program.weights.total * sizeof(*last));
    assert_int_equal(ops.program_set_metrics(session.device, session.prepared, start, &session.err), ST_OK);
    for (uint32_t i = 0; i < 24; i++) {
        const struct step step = {.seed = 1, .number = i, .valid = IMAGES, .learning_rate = 0.01f};
        session_run(&session, &step);
        scale_of(&session, metrics);
        assert_int_equal(ops.weights_download(session.device, session.weights, SLOT_VALUE, now, &session.err),
                         ST_OK);
        const bool same =
            memcmp(now + kernel->offset, last + kernel->offset, kernel->count * sizeof(*now)) == 0;
        assert_true(isfinite(metrics[METRIC_LOSS]));
        if (metrics[METRIC_SCALE] < before) {
            assert_true(metrics[METRIC_SCALE] == before / 2 && metrics[METRIC_GOOD] == 0.0);
            assert_true(same && moved == 0);
            skipped++;
        } else {
            assert_true(!same && metrics[METRIC_GOOD] == ++moved);
        }
        before = metrics[METRIC_SCALE];
        memcpy(last, now, session.program.weights.total * sizeof(*last));
    }
    assert_in_range(skipped, 2, 16);
    assert_int_equal(skipped + moved, 24);
    free(now);
    free(last);
    session_close(&session);
    crowd_close(&crowd);
}

/* The scale is part of a checkpoint, and in a group all members skip alike. */
static void half_resumes_in_a_group(void **state)
{
    (void)state;
    const struct device_ops ops = half_ops();
    struct trainer_result expected, found;
    struct error err;
    struct crowd crowd;
    char path[64];
    uint64_t note;
    size_t total;
    emu.devices = 2;
    snprintf(path, sizeof(path), "/tmp/nasrun-precision-%d.bin", (int)getpid());
    crowd_open(&crowd, &ops, 2, true);
    float *undisturbed = crowd_weights_after(&crowd, &expected, &total);
    struct trainer *trainer = crowd_trainer(&crowd, &err);
    assert_int_equal(crowd_train(trainer, 5, path, &found, &err), ST_INTERRUPTED);
    trainer_close(trainer);
    trainer = crowd_trainer(&crowd, &err);
    assert_int_equal(trainer_restore(trainer, path, &note, &err), ST_OK);
    assert_int_equal(crowd_train(trainer, 0, NULL, &found, &err), ST_OK);
    float *values = malloc(total * sizeof(*values));
    assert_non_null(values);
    assert_int_equal(trainer_values(trainer, values, &err), ST_OK);
    assert_memory_equal(values, undisturbed, total * sizeof(*values));
    assert_true(found.loss == expected.loss && isfinite(found.loss));
    unlink(path);
    free(values);
    free(undisturbed);
    trainer_close(trainer);
    crowd_close(&crowd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(precisions_and_devices, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(half_trains, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(overflow_is_survived, emu_test_begin, emu_test_end),
        cmocka_unit_test_setup_teardown(half_resumes_in_a_group, emu_test_begin, emu_test_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

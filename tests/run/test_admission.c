/* Admission: what fits keeps its batch, what does not is halved until it does or the least is reached; what was
 * prepared ahead is taken where it is what is wanted. The device says that it has as much memory as the test likes. */
#include "host/run/admission.h"

#include "host/net/start.h"
#include "host/run/engine.h"
#include "host/run/testing.h"
#include "tests/support/tiny_job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 32, AMPLE = 1 << 30 };
static const struct team ONE = {0, 1};

static size_t memory_free, memory_total; /* of the device */
static size_t answers;                   /* of a test; 0: it is none */

static void limited_info(struct device *device, struct device_info *info)
{
    cpu_device_ops.info(device, info);
    info->memory_free = memory_free;
    info->memory_total = memory_total;
}

struct fixture {
    struct tiny_job tiny;
    struct run run;
    struct device_ops ops;
    struct candidate *candidate;
};

/* With a budget in seconds, or in models. */
static void open_all(struct fixture *f, bool clocked)
{
    const char *const overrides[] = {"train.batch=32", clocked ? "budget.models=[]" : NULL,
                                     "budget.seconds=60", NULL};
    struct error err;
    *f = (struct fixture){.ops = cpu_device_ops};
    f->ops.info = limited_info;
    memory_free = memory_total = AMPLE;
    tiny_job_open(&f->tiny, overrides);
    if (run_open(&f->run, &f->tiny.job, f->tiny.run, -1, NULL, &err) != ST_OK)
        fail_msg("%s", err.message);
    f->run.ops = f->run.devices.ops = &f->ops;
    const struct shape image = run_image(&f->run);
    f->candidate = candidate_new();
    assert_non_null(f->candidate);
    f->candidate->id = 0;
    f->candidate->batch = BATCH;
    f->candidate->limit.steps = 3;
    assert_int_equal(start_make(&f->candidate->graph, "lean", 8, image, f->run.data.classes, &err), ST_OK);
}

static void close_all(struct fixture *f)
{
    candidate_free(f->candidate);
    run_close(&f->run);
    tiny_job_close(&f->tiny);
}

/* Opens and closes a trainer; the bytes of its training, 0 with *st when there is none. */
static size_t bytes_of(struct fixture *f, int32_t batch, int32_t least, enum status *st)
{
    struct memory_need need = {.answers = answers};
    struct trainer *trainer;
    struct error err;
    f->candidate->batch = batch;
    *st = admission_open(&f->run, f->candidate, ONE, least, &need, &trainer, &err);
    if (*st != ST_OK) {
        assert_null(trainer);
        return 0;
    }
    assert_int_equal(trainer_batch(trainer), f->candidate->batch);
    assert_int_equal(need.devices, 1);
    assert_int_equal(need.values, trainer_weights(trainer)->total * sizeof(float));
    trainer_close(trainer);
    return need.training;
}

/* What is left of it when the reserve is taken from all of it. */
static size_t with_reserve(size_t bytes)
{
    return bytes + AMPLE / ADMISSION_RESERVE;
}

static void test_batch_that_fits(void **state)
{
    static struct fixture f;
    enum status st;
    (void)state;
    open_all(&f, true);
    const size_t whole = bytes_of(&f, BATCH, ADMISSION_LEAST_BATCH, &st);
    assert_int_equal(st, ST_OK);
    assert_int_equal(f.candidate->batch, BATCH);
    const size_t half = bytes_of(&f, BATCH / 2, ADMISSION_LEAST_BATCH, &st);
    assert_true(half > 0 && half < whole);

    memory_free = with_reserve(half + (whole - half) / 2);
    assert_int_equal(bytes_of(&f, BATCH, ADMISSION_LEAST_BATCH, &st), half);
    assert_int_equal(f.candidate->batch, BATCH / 2);
    assert_int_equal(bytes_of(&f, BATCH, BATCH, &st), 0); /* less than that batch is not wanted */
    assert_int_equal(st, ST_MEMORY);

    memory_free = with_reserve(1000);
    assert_int_equal(bytes_of(&f, BATCH, ADMISSION_LEAST_BATCH, &st), 0);
    assert_int_equal(st, ST_MEMORY);
    close_all(&f);
}

/* With a budget in models the batch is halved when the device's whole memory is too small, not when it is full now. */
static void test_batch_of_a_job_that_repeats(void **state)
{
    static struct fixture f;
    enum status st;
    (void)state;
    open_all(&f, false);
    const size_t whole = bytes_of(&f, BATCH, ADMISSION_LEAST_BATCH, &st);
    const size_t half = bytes_of(&f, BATCH / 2, ADMISSION_LEAST_BATCH, &st);
    assert_true(half > 0 && half < whole);

    memory_free = with_reserve(half + (whole - half) / 2);
    assert_int_equal(bytes_of(&f, BATCH, ADMISSION_LEAST_BATCH, &st), 0);
    assert_int_equal(st, ST_MEMORY);
    assert_int_equal(f.candidate->batch, BATCH);

    memory_free = AMPLE;
    memory_total = (half + (whole - half) / 2) * ADMISSION_RESERVE / (ADMISSION_RESERVE - 1);
    assert_int_equal(bytes_of(&f, BATCH, ADMISSION_LEAST_BATCH, &st), half);
    assert_int_equal(f.candidate->batch, BATCH / 2);
    assert_int_equal(bytes_of(&f, BATCH, BATCH, &st), 0);
    assert_int_equal(st, ST_UNSUPPORTED); /* nor will it ever fit */
    close_all(&f);
}

/* A test's answers take their part of the host's memory, but none of another device's. */
static void test_room_beside_answers(void **state)
{
    static struct fixture f;
    enum status st;
    (void)state;
    open_all(&f, true);
    const size_t whole = bytes_of(&f, BATCH, ADMISSION_LEAST_BATCH, &st);
    const size_t half = bytes_of(&f, BATCH / 2, ADMISSION_LEAST_BATCH, &st);
    answers = AMPLE / 4;
    memory_free = with_reserve(whole);
    assert_int_equal(bytes_of(&f, BATCH, ADMISSION_LEAST_BATCH, &st), 0);
    assert_int_equal(st, ST_MEMORY);
    memory_free = with_reserve(half + (whole - half) / 2) + answers;
    assert_int_equal(bytes_of(&f, BATCH, ADMISSION_LEAST_BATCH, &st), half);
    memory_free = with_reserve(whole);
    f.run.memory.device_is_host = false;
    assert_int_equal(bytes_of(&f, BATCH, ADMISSION_LEAST_BATCH, &st), whole);
    answers = 0;
    close_all(&f);
}

/* By numbers alone: 1,000 classes, 50,000 test images, 25,000 of validation, of which 1,000 are kept out. */
static void test_answers_are_reserved(void **state)
{
    static struct fixture f;
    struct memory memory = {.device_is_host = true};
    struct memory_need test = {.training = 1000000}, stage = {.training = 1000000};
    enum { CONFUSION = 8 * 1000 * 1000, ROW = 4 * 1000, TESTED = 50000, VALIDATION = 25000, UNSEEN = 1000 };
    (void)state;
    open_all(&f, false);
    const struct dataset data = f.run.data;
    f.run.data.classes = 1000;
    f.run.data.sample_count[SPLIT_TEST] = TESTED;
    f.run.data.sample_count[SPLIT_VALIDATION] = VALIDATION;
    testing_need(&f.run, false, &test);
    assert_int_equal(test.answers, CONFUSION + TESTED);
    assert_int_equal(test.predictions, 0);
    testing_need(&f.run, true, &stage);
    assert_int_equal(stage.answers,
                     CONFUSION + TESTED + (TESTED + VALIDATION + UNSEEN) * ROW + 4 * VALIDATION);
    assert_true(stage.predictions > (size_t)(TESTED + VALIDATION) * ROW);
    memory_reserve(&memory, &test, 0);
    assert_int_equal(memory.in_training, test.answers + test.training);
    memory_release(&memory, &test);
    memory_reserve(&memory, &stage, 0); /* the file's rows come when the training is over, and are more */
    assert_int_equal(memory.in_training, stage.answers + stage.predictions);
    f.run.data = data;
    close_all(&f);
}

static void test_prepared_ahead(void **state)
{
    static struct fixture f;
    struct memory_need need = {0};
    struct trainer *trainer;
    struct error err;
    (void)state;
    open_all(&f, false);
    admission_prepare_ahead(&f.run, f.candidate, 0);
    struct trainer *ahead = f.candidate->ahead;
    assert_non_null(ahead);
    assert_int_equal(f.candidate->ahead_on, 0);
    assert_int_equal(admission_open(&f.run, f.candidate, ONE, ADMISSION_LEAST_BATCH, &need, &trainer, &err),
                     ST_OK);
    assert_ptr_equal(trainer, ahead);
    assert_null(f.candidate->ahead);
    trainer_close(trainer);

    /* Of another batch it is none. */
    admission_prepare_ahead(&f.run, f.candidate, 0);
    f.candidate->batch = BATCH / 2;
    assert_int_equal(admission_open(&f.run, f.candidate, ONE, ADMISSION_LEAST_BATCH, &need, &trainer, &err),
                     ST_OK);
    assert_int_equal(trainer_batch(trainer), BATCH / 2);
    assert_null(f.candidate->ahead);
    trainer_close(trainer);
    close_all(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_that_fits),     cmocka_unit_test(test_batch_of_a_job_that_repeats),
        cmocka_unit_test(test_room_beside_answers), cmocka_unit_test(test_answers_are_reserved),
        cmocka_unit_test(test_prepared_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

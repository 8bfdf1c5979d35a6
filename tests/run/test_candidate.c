/* One candidate's way: trained, saved and journalled; a child from its parent's weights; one that fails by its own
 * fault, and one that ends the run. */
#include "host/run/candidate.h"

#include "host/net/start.h"
#include "host/run/engine.h"
#include "host/run/record.h"
#include "tests/support/tiny_job.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { STEPS = 9 };
static const struct team ONE = {0, 1};

struct fixture {
    struct tiny_job tiny;
    struct run run;
};

static void open_all(struct fixture *f)
{
    /* Signals, clock and stop are looked at so often. */
    static const char *const overrides[] = {"output.checkpoint_seconds=0.01", NULL};
    tiny_job_open(&f->tiny, overrides);
    tiny_job_open_run(&f->tiny, &f->run);
}

static void close_all(struct fixture *f)
{
    run_close(&f->run);
    tiny_job_close(&f->tiny);
}

/* A starting network of STEPS steps, begun in the journal. */
static struct candidate *begin(struct fixture *f, int32_t id)
{
    const struct shape image = run_image(&f->run);
    struct candidate *candidate = candidate_new();
    struct error err;
    assert_non_null(candidate);
    candidate->id = id;
    candidate->batch = f->run.batches.candidate;
    candidate->limit.steps = STEPS;
    candidate_say(candidate, "start lean");
    assert_int_equal(start_make(&candidate->graph, "lean", 8, image, f->run.data.classes, &err), ST_OK);
    assert_int_equal(record_candidate(&f->run, candidate, &err), ST_OK);
    return candidate;
}

/* The journal's last line, to be deleted. */
static cJSON *last_line(const struct fixture *f)
{
    struct journal_lines lines;
    tiny_job_journal(&f->tiny, &lines);
    cJSON *last = cJSON_Duplicate(lines.lines[lines.count - 1].json, true);
    journal_lines_free(&lines);
    return last;
}

static double number(const cJSON *json, const char *name)
{
    return cJSON_GetNumberValue(cJSON_GetObjectItem(json, name));
}

static const char *text(const cJSON *json, const char *name)
{
    return cJSON_GetStringValue(cJSON_GetObjectItem(json, name));
}

static void test_new(void **state)
{
    struct candidate *candidate = candidate_new();
    (void)state;
    assert_non_null(candidate);
    assert_int_equal(candidate->parent, -1);
    assert_int_equal(candidate->start, -1);
    assert_true(isnan(candidate->prediction.mean));
    assert_true(candidate->recipe.budget == 1.0);
    assert_false(candidate->ended || candidate->final || candidate->restored);
    candidate_say(candidate, "start cnn");
    assert_int_equal(candidate->operation_count, 1);
    assert_string_equal(candidate->operations[0], "start cnn");
    candidate_free(candidate);
    candidate_free(NULL);
}

static void test_trained(void **state)
{
    static struct fixture f;
    struct error err;
    (void)state;
    open_all(&f);
    struct candidate *candidate = begin(&f, 0);
    if (candidate_train(&f.run, candidate, ONE, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_false(candidate->failed);
    assert_int_equal(candidate->steps, STEPS);
    assert_true(candidate->beside > 0.0); /* it was prepared and saved, too */
    assert_true(tiny_job_has(&f.tiny, "models/0.safetensors"));
    assert_false(tiny_job_has(&f.tiny, "checkpoint-0.bin"));
    cJSON *line = last_line(&f);
    assert_string_equal(text(line, "event"), "model");
    assert_true(number(line, "id") < 0.5 && number(line, "steps") > STEPS - 0.5 &&
                number(line, "steps") < STEPS + 0.5);
    assert_true(fabs(number(line, "validation_accuracy") - candidate->validation.accuracy) < 1e-9);
    assert_true(fabs(number(line, "validation_loss") - candidate->validation.loss) < 1e-9);
    cJSON_Delete(line);
    assert_int_equal(f.run.memory.in_training, 0); /* it is in nobody's plan any more */
    candidate_free(candidate);
    close_all(&f);
}

/* A child begins with its parent's weights, and the check of its morph is journalled. */
static void test_child(void **state)
{
    static struct fixture f;
    struct error err;
    struct proposal proposal;
    const struct search_request request = {.id = 1, .limits = {.max_seconds_per_image = INFINITY}};
    (void)state;
    open_all(&f);
    struct candidate *parent = begin(&f, 0);
    assert_int_equal(candidate_train(&f.run, parent, ONE, &err), ST_OK);
    const struct search_trial trial = {
        .id = 0, .parent = -1, .start = -1, .graph = &parent->graph, .recipe = recipe_usual()};
    assert_int_equal(
        search_observe(f.run.search, &trial, parent->validation.accuracy, parent->validation.loss, &err),
        ST_OK);
    search_leave_out(f.run.search, 0);
    assert_int_equal(search_propose(f.run.search, &request, &proposal, &err), ST_OK);
    struct candidate *child = candidate_new();
    assert_non_null(child);
    child->id = 1;
    child->parent = child->source = 0;
    child->batch = f.run.batches.candidate;
    child->limit.steps = STEPS;
    child->morph_count = proposal.morph_count;
    memcpy(child->morphs, proposal.morphs, sizeof(child->morphs));
    child->operation_count = proposal.morph_count;
    memcpy(child->operations, proposal.operations, sizeof(child->operations));
    assert_int_equal(graph_copy(&child->graph, &proposal.graph, &err), ST_OK);
    assert_int_equal(record_candidate(&f.run, child, &err), ST_OK);
    if (candidate_train(&f.run, child, ONE, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_false(child->failed);
    assert_int_equal(tiny_job_events(&f.tiny, "morph"), proposal.morph_count);
    assert_int_equal(tiny_job_events(&f.tiny, "model"), 2);
    proposal_free(&proposal);
    candidate_free(child);
    candidate_free(parent);
    close_all(&f);
}

static enum status refusal; /* what the device says of each program */

static enum status refuse_to_prepare(struct device *device, const struct program *program,
                                     struct device_program **prepared, struct error *err)
{
    (void)device;
    (void)program;
    *prepared = NULL;
    return error_set(err, refusal, "not on this device");
}

/* What is the candidate's fault is journalled; anything else is the run's end, and no line. The job counts models, so
 * that a lack of memory is nobody's fault. */
static void test_failed(void **state)
{
    static struct fixture f;
    static const enum status refusals[] = {ST_UNSUPPORTED, ST_MEMORY, ST_DEVICE};
    struct error err;
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct device_ops ops = cpu_device_ops;
        const bool own = refusals[i] == ST_UNSUPPORTED;
        ops.program_prepare = refuse_to_prepare;
        refusal = refusals[i];
        open_all(&f);
        struct candidate *candidate = begin(&f, 0);
        f.run.ops = f.run.devices.ops = &ops;
        assert_int_equal(candidate_train(&f.run, candidate, ONE, &err), own ? ST_OK : refusals[i]);
        assert_int_equal(candidate->failed, own);
        assert_int_equal(tiny_job_events(&f.tiny, "failed"), own);
        assert_int_equal(tiny_job_events(&f.tiny, "model"), 0);
        assert_false(tiny_job_has(&f.tiny, "models/0.safetensors"));
        if (own) {
            cJSON *line = last_line(&f);
            assert_string_equal(text(line, "reason"), status_name(refusals[i]));
            assert_non_null(strstr(text(line, "message"), "not on this device"));
            assert_true(isnan(candidate->validation.accuracy));
            cJSON_Delete(line);
        }
        candidate_free(candidate);
        close_all(&f);
    }
}

/* Lasts longer than the time between two looks. */
static enum status run_slowly(struct device *device, struct device_program *prepared, const struct step *step,
                              struct error *err)
{
    const struct timespec pause = {.tv_nsec = 20000000};
    nanosleep(&pause, NULL);
    return cpu_device_ops.program_run(device, prepared, step, err);
}

/* A stop saves a checkpoint, from which the training goes on to the same end. */
static void test_stopped(void **state)
{
    static struct fixture f;
    struct device_ops slow = cpu_device_ops;
    struct trainer_result whole;
    struct error err;
    (void)state;
    slow.program_run = run_slowly;
    open_all(&f);
    struct candidate *candidate = begin(&f, 0);
    assert_int_equal(candidate_train(&f.run, candidate, ONE, &err), ST_OK);
    whole = candidate->validation;
    candidate_free(candidate);
    candidate = begin(&f, 1);
    candidate->id = 0; /* its random numbers are those of the first */
    f.run.stop = true;
    f.run.ops = f.run.devices.ops = &slow;
    assert_int_equal(candidate_train(&f.run, candidate, ONE, &err), ST_INTERRUPTED);
    assert_true(tiny_job_has(&f.tiny, "checkpoint-0.bin"));
    f.run.stop = false;
    f.run.ops = f.run.devices.ops = &cpu_device_ops;
    candidate->restored = true;
    if (candidate_train(&f.run, candidate, ONE, &err) != ST_OK)
        fail_msg("%s", err.message);
    assert_int_equal(candidate->steps, STEPS);
    assert_memory_equal(&candidate->validation.accuracy, &whole.accuracy, sizeof(whole.accuracy));
    assert_memory_equal(&candidate->validation.loss, &whole.loss, sizeof(whole.loss));
    assert_false(tiny_job_has(&f.tiny, "checkpoint-0.bin"));
    candidate_free(candidate);
    close_all(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new),    cmocka_unit_test(test_trained), cmocka_unit_test(test_child),
        cmocka_unit_test(test_failed), cmocka_unit_test(test_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

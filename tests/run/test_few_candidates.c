/* Searches of a few candidates each, on two CPU devices: a trunk with and without branches, weights that are not the
 * seed's, and that no device waits for a long training on the other. */
#include "host/model/model_file.h"
#include "host/net/serialise.h"
#include "host/run/coordinator.h"
#include "host/run/stage.h"
#include "tests/support/strategy_run.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a trunk with and without branches ---- */

enum { ROOT_STEPS = 37, BRANCH_STEPS = 24, END_STEPS = 70 };

/* Of the trunk and what is tried on it; the control goes on at the peak for 3/4 of its training. */
static int32_t siblings;

static enum status propose_on_trunk(const struct search *search, void *state,
                                    const struct search_request *request, struct random_sequence *random,
                                    struct proposal *proposal, struct error *err)
{
    const int32_t id = request->id;
    const bool waits = id > 0 && search_at(search, id > 1 ? 1 : 0)->is_pending;
    const double whole =
        strategy_job.budget.steps.items[0] * request->means.candidate; /* of a fresh training */
    enum status st;
    (void)state;
    if (waits || id > 1 + siblings)
        return error_set(err, ST_NONE, "nothing more, or not yet");
    if (id == 0)
        st = propose_start_of_width(search, 0, 8, proposal, err);
    else if (id == 2)
        st = propose_changed(search, search_at(search, 0), 1, &request->limits, random, proposal, err);
    else
        st = propose_further(search_at(search, 0), proposal, err);
    struct recipe *recipe = &proposal->recipe;
    recipe->budget = (id == 0 ? ROOT_STEPS - 0.5 : 2.0 * (BRANCH_STEPS - 0.5)) / whole;
    recipe->hyperparameters.warmup = id == 0 ? 0.25 : 0.0;
    recipe->hyperparameters.hold = 0.75;
    recipe->goes_on = id > 0;
    recipe->batches_of = id > 0 ? 0 : -1;
    recipe->compared_with = id > 1 ? 1 : -1;
    if (id == 3)
        recipe->hyperparameters.learning_rate = 0.3;
    return st;
}

static enum status end_trunk(const struct search *search, void *state, const struct search_request *request,
                             struct proposal *proposal, struct error *err)
{
    (void)state, (void)request;
    enum status st = propose_further(search_at(search, 1), proposal, err);
    proposal->recipe.goes_on = true;
    proposal->recipe.batches_of = 0;
    proposal->recipe.hyperparameters.warmup = proposal->recipe.hyperparameters.hold = 0.0;
    return st;
}

/* With so many siblings, and the same steps for the trunk. */
static void train_trunk(int32_t count, const char *name, struct model *final)
{
    static const struct search_strategy strategy = {.propose = propose_on_trunk, .propose_final = end_trunk};
    char *path = strategy_run_path_of(name), file[300];
    struct journal_lines lines;
    struct error err;
    siblings = count;
    strategy_job.budget.steps.items[0] = ROOT_STEPS + (1 + count) * BRANCH_STEPS + END_STEPS;
    strategy_job.search.final_share = 0.3; /* room for all of them */
    if (strategy_run_with(&strategy, NULL, path, stage_run, &err) != ST_OK)
        fail_msg("%s", err.message);
    strategy_run_load(path, &lines);
    strategy_run_check(strategy_run_line_of(&lines, "model", 0), "steps", ROOT_STEPS);
    for (int32_t id = 1; id <= 1 + count; id++)
        strategy_run_check(strategy_run_line_of(&lines, "model", id), "steps", BRANCH_STEPS);
    strategy_run_check(strategy_run_line_of(&lines, "model", 2 + count), "steps", END_STEPS);
    snprintf(file, sizeof(file), "%s/models/%d.safetensors", path, (int)(2 + count));
    if (model_load(file, final, &err) != ST_OK)
        fail_msg("%s", err.message);
    journal_lines_free(&lines);
    free(path);
}

/* Where nothing was accepted the trunk's training is what it would have been without branches, bit by bit, to the end
 * on two devices. */
static void test_branches_leave_no_trace(void **state)
{
    struct model with, without;
    struct weight_table table;
    struct error err;
    (void)state;
    train_trunk(0, "trunk", &without);
    train_trunk(2, "branches", &with);
    assert_int_equal(weight_table_new(&table, &with.graph, &err), ST_OK);
    assert_true(graph_fingerprint(&with.graph) == graph_fingerprint(&without.graph));
    assert_memory_equal(with.values, without.values, table.total * sizeof(float));
    weight_table_free(&table);
    model_free(&with);
    model_free(&without);
}

/* ---- weights that are not the seed's ---- */

enum { SEEDS, OTHERS, AS_IT_IS, SHRUNK, KINDS }; /* the candidates, by id */

static enum status propose_weights(const struct search *search, void *state,
                                   const struct search_request *request, struct random_sequence *random,
                                   struct proposal *proposal, struct error *err)
{
    const int32_t id = request->id;
    (void)state, (void)random;
    if (id >= KINDS || (id > SEEDS && search_at(search, SEEDS)->is_pending))
        return error_set(err, ST_NONE, "nothing more, or not yet");
    enum status st = id < AS_IT_IS ? propose_start_of_width(search, 0, 8, proposal, err)
                                   : propose_further(search_at(search, SEEDS), proposal, err);
    proposal->recipe.budget = 0.25;
    proposal->recipe.batches_of = id == OTHERS ? SEEDS : id == SHRUNK ? AS_IT_IS : -1;
    proposal->recipe.fresh = id == OTHERS ? 0 : id == SHRUNK ? 3 : -1;
    if (id == SHRUNK)
        proposal->recipe.shrink = RECIPE_SHRINK;
    return st;
}

static void run_weights(const char *name, struct journal_lines *lines)
{
    static const struct search_strategy strategy = {.propose = propose_weights};
    char *path = strategy_run_path_of(name);
    struct error err;
    strategy_job.budget.steps.items[0] = STRATEGY_RUN_BUDGET / 4;
    strategy_job.search.final_share = 0.6;
    if (strategy_run_with(&strategy, NULL, path, stage_run, &err) != ST_OK)
        fail_msg("%s", err.message);
    strategy_run_load(path, lines);
    free(path);
}

/* Other fresh weights, and shrunk ones, make another training of the same network on the same batches; always the
 * same. */
static void test_other_weights(void **state)
{
    struct journal_lines once, again;
    double loss[KINDS];
    (void)state;
    run_weights("weights", &once);
    run_weights("weights-again", &again);
    for (int32_t id = 0; id < KINDS; id++) {
        loss[id] = strategy_run_number(strategy_run_line_of(&once, "model", id), "validation_loss");
        strategy_run_check(strategy_run_line_of(&again, "model", id), "validation_loss", loss[id]);
    }
    assert_true(loss[OTHERS] != loss[SEEDS]);
    assert_true(loss[SHRUNK] != loss[AS_IT_IS]);
    strategy_run_check(strategy_run_line_of(&once, "candidate", SHRUNK), "shrink", RECIPE_SHRINK);
    strategy_run_check(strategy_run_line_of(&once, "candidate", SHRUNK), "fresh", 3);
    strategy_run_check(strategy_run_line_of(&once, "candidate", AS_IT_IS), "shrink", NAN);
    strategy_run_check(strategy_run_line_of(&once, "candidate", SEEDS), "fresh", NAN);
    journal_lines_free(&once);
    journal_lines_free(&again);
}

/* ---- no device waits ---- */

enum { SHORT_ONES = 3 };
static _Atomic int32_t proposed; /* the last id */

static enum status propose_starts(const struct search *search, void *state,
                                  const struct search_request *request, struct random_sequence *random,
                                  struct proposal *proposal, struct error *err)
{
    (void)state, (void)random;
    if (request->id > SHORT_ONES)
        return error_set(err, ST_NONE, "nothing more");
    proposed = request->id;
    enum status st = propose_start_of_width(search, 0, 8, proposal, err);
    proposal->recipe.budget = 0.25;
    return st;
}

/* The first one's training stands still until all others were proposed; but not for ever. */
static enum status wait_in_first(struct device *device, struct device_program *prepared,
                                 const struct step *step, struct error *err)
{
    static int patience = 20000; /* milliseconds; of the first one's thread */
    for (int32_t k = 0; k < strategy_run.devices.workers; k++)
        while (strategy_run.devices.items[k].device == device && strategy_run.history->training[k] == 0 &&
               proposed < SHORT_ONES && patience-- > 0)
            usleep(1000);
    return cpu_device_ops.program_run(device, prepared, step, err);
}

/* With a budget in seconds the one device goes on with what comes next while the other has a long training; results
 * are learnt in the order of the ids all the same. */
static void test_no_device_waits(void **state)
{
    static const struct search_strategy strategy = {.propose = propose_starts};
    const struct job before = strategy_job;
    struct device_ops ops = cpu_device_ops;
    struct journal_lines lines;
    struct error err;
    char *path = strategy_run_path_of("waits");
    (void)state;
    strategy_job.budget.steps.count = 0;
    strategy_job.budget.seconds = (struct job_numbers){.count = 1, .items = {100000}};
    strategy_job.search.epochs = 1.0;
    ops.program_run = wait_in_first;
    if (strategy_run_with(&strategy, &ops, path, coordinator_search, &err) != ST_OK)
        fail_msg("%s", err.message);
    strategy_job = before;
    strategy_run_load(path, &lines);
    bool first_has_ended = false;
    for (size_t i = 0; i < lines.count; i++) {
        const double id = strategy_run_number(lines.lines[i].json, "id");
        first_has_ended = first_has_ended || (strcmp(lines.lines[i].event, "model") == 0 && id == 0.0);
        assert_false(first_has_ended && strcmp(lines.lines[i].event, "candidate") == 0 && id < SHORT_ONES);
    }
    assert_true(first_has_ended);
    strategy_run_check(strategy_run_line_of(&lines, "candidate", 1), "observed", 0);
    strategy_run_check(strategy_run_line_of(&lines, "candidate", SHORT_ONES), "observed", 0);
    journal_lines_free(&lines);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_branches_leave_no_trace),
        cmocka_unit_test(test_other_weights),
        cmocka_unit_test(test_no_device_waits),
    };
    return cmocka_run_group_tests(tests, strategy_run_setup, strategy_run_teardown);
}

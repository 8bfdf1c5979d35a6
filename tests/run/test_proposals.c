/* All kinds of proposals, carried out: networks from scratch, children, models trained further, with budgets,
 * hyperparameters and batches of their own, on two CPU devices, by a strategy that nasrun does not have; and again
 * after the engine was lost in the middle of it. */
#include "host/run/stage.h"
#include "tests/support/ladder.h"
#include "tests/support/strategy_run.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { LOST = 9 };

/* The search gets 40 % of the budget, and a candidate a tenth of that; from fresh weights twice as much. */
enum { SLOT = 40, BRANCH = 2 * SLOT / 5 };

static void run_in(const char *path)
{
    struct error err;
    if (strategy_run_with(&ladder_strategy, NULL, path, stage_run, &err) != ST_OK)
        fail_msg("%s", err.message);
}

/* The learning rate at the peak of the schedule is the highest that any epoch's line can have. */
static double highest_rate(const struct journal_lines *lines, int32_t id)
{
    double highest = 0.0;
    for (size_t i = 0; i < lines->count; i++) {
        const cJSON *json = lines->lines[i].json;
        if (strcmp(lines->lines[i].event, "epoch") == 0 && strategy_run_number(json, "id") == id)
            highest = fmax(highest, strategy_run_number(json, "learning_rate"));
    }
    return highest;
}

/* ---- the tests ---- */

static struct journal_lines whole; /* of a run that nothing happened to */

static void test_carried_out(void **state)
{
    static const struct {
        int32_t steps;
        double budget, batches_of, learning_rate, momentum, weight_decay, label_smoothing, warmup, hold;
        double state_of, compared_with;
    } expected[LADDER_COUNT] = {
        [0] = {SLOT / 2, 0.25, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN},
        [1] = {SLOT / 2, 0.25, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN},
        [LADDER_TRUNK] = {SLOT / 2, 0.5, NAN, 0.05, NAN, NAN, NAN, NAN, NAN, NAN, NAN},
        [LADDER_CONTROL] = {SLOT, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN},
        [LADDER_TWIN] = {SLOT, NAN, LADDER_CONTROL, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN},
        [LADDER_OTHER] = {SLOT, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN},
        [LADDER_FROZEN] = {SLOT, NAN, LADDER_CONTROL, 1e-6, NAN, NAN, NAN, NAN, NAN, NAN, NAN},
        [LADDER_CHILD] = {SLOT, NAN, LADDER_CONTROL, 0.03, 0.8, 0.001, 0.05, NAN, NAN, NAN, NAN},
        [LADDER_FRESH] = {SLOT, 0.5, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN},
        [LADDER_HELD] = {SLOT / 2, 0.5, NAN, NAN, NAN, NAN, NAN, 0.25, 0.75, NAN, NAN},
        [LADDER_BRANCH] = {BRANCH, 0.4, LADDER_HELD, NAN, NAN, NAN, NAN, 0, 0.75, LADDER_HELD, NAN},
        [LADDER_SAME] = {BRANCH, 0.4, LADDER_HELD, NAN, NAN, NAN, NAN, 0, 0.75, LADDER_HELD, LADDER_BRANCH},
        [LADDER_SLOWER] = {BRANCH, 0.4, LADDER_HELD, 0.01, NAN, NAN, NAN, 0, 0.75, LADDER_HELD,
                           LADDER_BRANCH},
        [LADDER_GROWN] = {BRANCH, 0.4, LADDER_HELD, NAN, NAN, NAN, NAN, 0, 0.75, LADDER_HELD, LADDER_BRANCH},
    };
    char *path = strategy_run_path_of("whole");
    (void)state;
    run_in(path);
    strategy_run_load(path, &whole);
    for (int32_t id = 0; id < LADDER_COUNT; id++) {
        const cJSON *line = strategy_run_line_of(&whole, "candidate", id);
        strategy_run_check(line, "budget", expected[id].budget);
        strategy_run_check(line, "batches_of", expected[id].batches_of);
        strategy_run_check(line, "learning_rate", expected[id].learning_rate);
        strategy_run_check(line, "momentum", expected[id].momentum);
        strategy_run_check(line, "weight_decay", expected[id].weight_decay);
        strategy_run_check(line, "label_smoothing", expected[id].label_smoothing);
        strategy_run_check(line, "warmup", expected[id].warmup);
        strategy_run_check(line, "hold", expected[id].hold);
        strategy_run_check(line, "state_of", expected[id].state_of);
        strategy_run_check(line, "compared_with", expected[id].compared_with);
        strategy_run_check(strategy_run_line_of(&whole, "model", id), "steps", expected[id].steps);
        const double peak =
            isnan(expected[id].learning_rate) ? strategy_job.train.learning_rate : expected[id].learning_rate;
        const double rate = highest_rate(&whole, id) * 128 / STRATEGY_RUN_BATCH;
        assert_true(rate > 0.1 * peak && rate <= peak);
    }
    int left_out = 0;
    for (size_t i = 0; i < whole.count; i++)
        left_out += strcmp(whole.lines[i].event, "left_out") == 0;
    assert_int_equal(left_out, 1); /* resnet */
    const cJSON *final = strategy_run_line_of(&whole, "candidate", LADDER_COUNT);
    strategy_run_check(final, "parent", LADDER_BRANCH);
    strategy_run_check(final, "state_of", LADDER_BRANCH);
    strategy_run_check(strategy_run_line_of(&whole, "model", LADDER_COUNT), "steps",
                       STRATEGY_RUN_BUDGET - (15 * SLOT / 2 + SLOT / 2 + 4 * BRANCH));
    free(path);
}

/* Who begins with whose weights. */
static void test_weights(void **state)
{
    const double untrained = log(4);
    const int32_t trunk_of =
        (int32_t)strategy_run_number(strategy_run_line_of(&whole, "candidate", LADDER_TRUNK), "parent");
    const double better =
        fmax(strategy_run_number(strategy_run_line_of(&whole, "model", 0), "validation_accuracy"),
             strategy_run_number(strategy_run_line_of(&whole, "model", 1), "validation_accuracy"));
    const double trunk =
        strategy_run_number(strategy_run_line_of(&whole, "model", LADDER_TRUNK), "validation_loss");
    const double frozen =
        strategy_run_number(strategy_run_line_of(&whole, "model", LADDER_FROZEN), "validation_loss");
    (void)state;
    strategy_run_check(strategy_run_line_of(&whole, "model", trunk_of), "validation_accuracy", better);
    assert_true(trunk < 0.8 * untrained);
    /* It has the trunk's weights; the running statistics of its batch norms catch up with them. */
    assert_true(frozen < trunk + 0.25 * (untrained - trunk));
    for (int32_t id = LADDER_CONTROL; id <= LADDER_CHILD; id++)
        strategy_run_check(strategy_run_line_of(&whole, "candidate", id), "parent", LADDER_TRUNK);
    strategy_run_check(strategy_run_line_of(&whole, "candidate", LADDER_FRESH), "parent", -1);
    int morphs = 0;
    for (size_t i = 0; i < whole.count; i++) {
        if (strcmp(whole.lines[i].event, "morph") != 0)
            continue;
        const double id = strategy_run_number(whole.lines[i].json, "id");
        assert_true(id == LADDER_CHILD || id == LADDER_GROWN);
        morphs++;
    }
    assert_true(morphs > 0);
}

/* The same batches make the same training, others another one. */
static void test_batches(void **state)
{
    const double control =
        strategy_run_number(strategy_run_line_of(&whole, "model", LADDER_CONTROL), "validation_loss");
    (void)state;
    strategy_run_check(strategy_run_line_of(&whole, "model", LADDER_TWIN), "validation_loss", control);
    assert_true(strategy_run_number(strategy_run_line_of(&whole, "model", LADDER_OTHER), "validation_loss") !=
                control);
}

/* The rate of a candidate's epochs, less than the peak. */
static bool falls(const struct journal_lines *lines, int32_t id)
{
    bool found = false;
    for (size_t i = 0; i < lines->count; i++) {
        const cJSON *json = lines->lines[i].json;
        if (strcmp(lines->lines[i].event, "epoch") == 0 && strategy_run_number(json, "id") == id)
            found = found || strategy_run_number(json, "learning_rate") < 0.9 * highest_rate(lines, id);
    }
    return found;
}

static double last_step(const struct journal_lines *lines, int32_t id)
{
    double last = 0.0;
    for (size_t i = 0; i < lines->count; i++) {
        const cJSON *json = lines->lines[i].json;
        if (strcmp(lines->lines[i].event, "epoch") == 0 && strategy_run_number(json, "id") == id)
            last = fmax(last, strategy_run_number(json, "step"));
    }
    return last;
}

/* Branches go on from where their parent held: steps are counted on from there, also in a final fit on two devices. The
 * same branch gains nothing, exactly; others do or lose, and their gain is the difference of the mean losses. */
static void test_branches(void **state)
{
    const double held = SLOT / 2,
                 branch = strategy_run_number(strategy_run_line_of(&whole, "model", LADDER_BRANCH),
                                              "validation_loss");
    const cJSON *same = strategy_run_line_of(&whole, "model", LADDER_SAME),
                *final = strategy_run_line_of(&whole, "model", LADDER_COUNT);
    (void)state;
    assert_true(last_step(&whole, LADDER_HELD) == held);
    for (int32_t id = LADDER_BRANCH; id <= LADDER_GROWN; id++)
        assert_true(last_step(&whole, id) == held + BRANCH);
    assert_true(last_step(&whole, LADDER_COUNT) ==
                held + 3 * BRANCH / 4 + strategy_run_number(final, "steps"));
    assert_true(falls(&whole, LADDER_COUNT));
    strategy_run_check(strategy_run_line_of(&whole, "model", LADDER_BRANCH), "gain", NAN);
    strategy_run_check(final, "gain", NAN);
    strategy_run_check(same, "validation_loss", branch);
    strategy_run_check(same, "gain", 0.0);
    strategy_run_check(same, "gain_deviation", 0.0);
    for (int32_t id = LADDER_SLOWER; id <= LADDER_GROWN; id++) {
        const cJSON *line = strategy_run_line_of(&whole, "model", id);
        const double gain = branch - strategy_run_number(line, "validation_loss");
        assert_true(fabs(strategy_run_number(line, "gain") - gain) < 1e-5);
        assert_true(fabs(gain) > 1e-6 && strategy_run_number(line, "gain_deviation") > 1e-6);
        assert_true(strategy_run_number(line, "gain_deviation") < 1.0);
    }
}

/* ---- a lost engine ---- */

/* The process ends when this candidate is proposed, while the one before is in training and has left a checkpoint. */
static int32_t lost_at;
static char checkpoint[300];

static bool is_before(const struct device *device)
{
    for (int32_t k = 0; k < strategy_run.devices.workers; k++)
        if (strategy_run.devices.items[k].device == device &&
            strategy_run.history->training[k] == lost_at - 1)
            return true;
    return false;
}

/* A step, slow enough for checkpoints between steps. Behind its first one the candidate before stands still. */
static enum status slow_run(struct device *device, struct device_program *prepared, const struct step *step,
                            struct error *err)
{
    usleep(1000);
    while (is_before(device) && access(checkpoint, R_OK) == 0)
        usleep(1000);
    return cpu_device_ops.program_run(device, prepared, step, err);
}

static enum status propose_and_get_lost(const struct search *search, void *state,
                                        const struct search_request *request, struct random_sequence *random,
                                        struct proposal *proposal, struct error *err)
{
    enum status st = ladder_strategy.propose(search, state, request, random, proposal, err);
    if (st != ST_OK || request->id != lost_at)
        return st;
    while (access(checkpoint, R_OK) != 0)
        usleep(1000);
    _exit(LOST);
}

/* A line without what the clock decides. */
static char *timeless(const struct journal_line *line)
{
    static const char *const names[] = {"seq", "time", "seconds", "images_per_second", "elapsed_seconds",
                                        "crc", "date"};
    cJSON *json = cJSON_Duplicate(line->json, true);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        cJSON_DeleteItemFromObject(json, names[i]);
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    return text;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All lines, sorted: in which order those of candidates come that train side by side is the clock's affair. */
static char **sorted(const struct journal_lines *lines)
{
    char **texts = calloc(lines->count, sizeof(*texts));
    for (size_t i = 0; i < lines->count; i++)
        texts[i] = timeless(&lines->lines[i]);
    qsort(texts, lines->count, sizeof(*texts), by_text);
    return texts;
}

static void assert_same_run(const struct journal_lines *a, const struct journal_lines *b)
{
    char **first = sorted(a), **second = sorted(b);
    for (size_t i = 0; i < a->count && i < b->count; i++)
        assert_string_equal(first[i], second[i]);
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        free(first[i]);
        free(second[i]);
    }
    free(first);
    free(second);
}

/* Whoever comes back finds state, recipes and weights as they were: of a starting network with a quarter of the
 * usual budget, of the trunk trained further with and without batches of its own, of a child with hyperparameters. */
static void test_lost_engine(void **state)
{
    static const int32_t losses[] = {
        1, LADDER_TWIN, LADDER_OTHER, LADDER_FROZEN, LADDER_CHILD, LADDER_FRESH, LADDER_SLOWER, LADDER_GROWN};
    struct search_strategy strategy = ladder_strategy;
    struct device_ops ops = cpu_device_ops;
    (void)state;
    strategy.propose = propose_and_get_lost;
    ops.program_run = slow_run;
    for (size_t k = 0; k < sizeof(losses) / sizeof(losses[0]); k++) {
        lost_at = losses[k];
        char name[32];
        snprintf(name, sizeof(name), "lost-%d", (int)lost_at);
        char *path = strategy_run_path_of(name);
        snprintf(checkpoint, sizeof(checkpoint), "%s/checkpoint-%d.bin", path, (int)lost_at - 1);
        struct journal_lines resumed;
        struct error err;
        int ended;
        const pid_t process = fork();
        assert_true(process >= 0);
        if (process == 0)
            _exit(strategy_run_with(&strategy, &ops, path, stage_run, &err) == ST_OK ? 0 : 2);
        assert_int_equal(waitpid(process, &ended, 0), process);
        assert_true(WIFEXITED(ended));
        assert_int_equal(WEXITSTATUS(ended), LOST);
        run_in(path);
        strategy_run_load(path, &resumed);
        assert_same_run(&whole, &resumed);
        journal_lines_free(&resumed);
        free(path);
    }
    journal_lines_free(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_carried_out), cmocka_unit_test(test_weights),
        cmocka_unit_test(test_batches),     cmocka_unit_test(test_branches),
        cmocka_unit_test(test_lost_engine),
    };
    return cmocka_run_group_tests(tests, strategy_run_setup, strategy_run_teardown);
}

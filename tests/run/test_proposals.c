/* All kinds of proposals, carried out: networks from scratch, children, models trained further, with budgets,
 * hyperparameters and batches of their own, on two CPU devices, by a strategy that nasrun does not have; and again
 * after the engine was lost in the middle of it. */
#include "host/base/clock.h"
#include "host/base/file.h"
#include "host/model/model_file.h"
#include "host/net/serialise.h"
#include "host/run/coordinator.h"
#include "host/run/engine.h"
#include "host/run/resume.h"
#include "host/run/sharing.h"
#include "host/run/stage.h"
#include "spec/spec.h"
#include "tests/support/data_files.h"
#include "tests/support/ladder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { TRAIN = 400, TEST = 100, SIDE = 12, BATCH = 20, LOST = 9 };

/* With a fifth of the images kept for validation an epoch has 16 steps. The search gets 40 % of the budget, and a
 * candidate a tenth of that; from fresh weights twice as much. */
enum { BUDGET = 1000, SLOT = 40, BRANCH = 2 * SLOT / 5 };

static char *folder; /* of data, job file and runs */
static struct job job;
static struct run run;

/* The images' brightness tells their class. */
static void write_labels(const char *name, int32_t count)
{
    uint8_t labels[TRAIN];
    for (int32_t i = 0; i < count; i++)
        labels[i] = (uint8_t)(i * 7 % 251 / 63);
    data_files_idx_labels(folder, name, labels, count, false);
}

static int open_folder(void **state)
{
    char text[1024], path[256];
    struct error err;
    (void)state;
    folder = data_files_folder();
    data_files_idx_images(folder, "train-images-idx3-ubyte", TRAIN, SIDE, SIDE, false);
    data_files_idx_images(folder, "t10k-images-idx3-ubyte", TEST, SIDE, SIDE, false);
    write_labels("train-labels-idx1-ubyte", TRAIN);
    write_labels("t10k-labels-idx1-ubyte", TEST);
    snprintf(text, sizeof(text),
             "dataset = { format = \"idx\"; path = \"%s\"; validation = 0.2; };\n"
             "search = { starts = [\"lean\", \"resnet\", \"cnn\"]; morphs = [\"deepen\", \"add_skip\"]; "
             "width = 8;\n"
             "  max_parameters = 40000; };\n"
             "train = { batch = %d; flip = false; translate = 0; averaging = \"ema\"; average = 0.9; };\n"
             "budget = { steps = %d; };\n"
             "output = { plots = false; checkpoint_seconds = 0.01; };\n"
             "devices = [\"cpu:0\", \"cpu:1\"]; threads = 1;\n",
             folder, BATCH, BUDGET);
    data_files_write_text(folder, "job.cfg", text);
    snprintf(path, sizeof(path), "%s/job.cfg", folder);
    if (spec_read(path, NULL, 0, &job, &err) != ST_OK)
        fail_msg("%s", err.message);
    return 0;
}

static int close_folder(void **state)
{
    (void)state;
    spec_free(&job);
    data_files_remove(folder);
    return 0;
}

/* Whether the search is all that is done. */
static bool search_only;

/* What engine_run does, with another strategy, and with other operations of the devices unless NULL. */
static enum status run_with(const struct search_strategy *strategy, const struct device_ops *ops,
                            const char *path, struct error *err)
{
    struct engine_history history = {.started = clock_seconds()};
    assert_int_equal(file_make_folder(path, err), ST_OK);
    enum status st = run_open(&run, &job, path, -1, &history, err);
    const struct search_setup setup = {
        .job = &job.search, .seed = job.seed, .image = run_image(&run), .classes = run.data.classes};
    run.ops = ops != NULL ? ops : run.ops;
    search_free(run.search);
    run.search = NULL;
    if (st == ST_OK)
        st = search_new_with(strategy, &setup, &run.search, err);
    if (st == ST_OK)
        st = resume_run(&run, err);
    if (st == ST_OK)
        st = sharing_open(&run, err);
    run.window = coordinator_window(&run);
    if (st == ST_OK)
        st = search_only ? coordinator_search(&run, err) : stage_run(&run, err);
    run_close(&run);
    return st;
}

static void run_in(const char *path)
{
    struct error err;
    if (run_with(&ladder_strategy, NULL, path, &err) != ST_OK)
        fail_msg("%s", err.message);
}

static char *path_of(const char *name)
{
    char *path = malloc(256);
    snprintf(path, 256, "%s/%s", folder, name);
    return path;
}

static void load(const char *path, struct journal_lines *lines)
{
    char name[300];
    struct error err;
    snprintf(name, sizeof(name), "%s/" JOURNAL_NAME, path);
    if (journal_load(name, lines, &err) != ST_OK)
        fail_msg("%s", err.message);
}

/* The candidate's only line of that event. */
static const cJSON *line_of(const struct journal_lines *lines, const char *event, int32_t id)
{
    const cJSON *found = NULL;
    for (size_t i = 0; i < lines->count; i++) {
        const cJSON *json = lines->lines[i].json;
        if (strcmp(lines->lines[i].event, event) != 0 || cJSON_GetObjectItem(json, "id")->valueint != id)
            continue;
        assert_null(found);
        found = json;
    }
    if (found == NULL)
        fail_msg("candidate %d has no %s", (int)id, event);
    return found;
}

/* NAN: there is none. */
static double number(const cJSON *json, const char *name)
{
    const cJSON *item = cJSON_GetObjectItem(json, name);
    return item != NULL ? item->valuedouble : NAN;
}

static void assert_number(const cJSON *json, const char *name, double expected)
{
    const double found = number(json, name);
    if (isnan(expected) ? !isnan(found) : !(found == expected))
        fail_msg("candidate %g: found %s %g, expected %g", number(json, "id"), name, found, expected);
}

/* The learning rate at the peak of the schedule is the highest that any epoch's line can have. */
static double highest_rate(const struct journal_lines *lines, int32_t id)
{
    double highest = 0.0;
    for (size_t i = 0; i < lines->count; i++) {
        const cJSON *json = lines->lines[i].json;
        if (strcmp(lines->lines[i].event, "epoch") == 0 && number(json, "id") == id)
            highest = fmax(highest, number(json, "learning_rate"));
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
    char *path = path_of("whole");
    (void)state;
    run_in(path);
    load(path, &whole);
    for (int32_t id = 0; id < LADDER_COUNT; id++) {
        const cJSON *line = line_of(&whole, "candidate", id);
        assert_number(line, "budget", expected[id].budget);
        assert_number(line, "batches_of", expected[id].batches_of);
        assert_number(line, "learning_rate", expected[id].learning_rate);
        assert_number(line, "momentum", expected[id].momentum);
        assert_number(line, "weight_decay", expected[id].weight_decay);
        assert_number(line, "label_smoothing", expected[id].label_smoothing);
        assert_number(line, "warmup", expected[id].warmup);
        assert_number(line, "hold", expected[id].hold);
        assert_number(line, "state_of", expected[id].state_of);
        assert_number(line, "compared_with", expected[id].compared_with);
        assert_number(line_of(&whole, "model", id), "steps", expected[id].steps);
        const double peak =
            isnan(expected[id].learning_rate) ? job.train.learning_rate : expected[id].learning_rate;
        const double rate = highest_rate(&whole, id) * 128 / BATCH;
        assert_true(rate > 0.1 * peak && rate <= peak);
    }
    int left_out = 0;
    for (size_t i = 0; i < whole.count; i++)
        left_out += strcmp(whole.lines[i].event, "left_out") == 0;
    assert_int_equal(left_out, 1); /* resnet */
    const cJSON *final = line_of(&whole, "candidate", LADDER_COUNT);
    assert_number(final, "parent", LADDER_BRANCH);
    assert_number(final, "state_of", LADDER_BRANCH);
    assert_number(line_of(&whole, "model", LADDER_COUNT), "steps",
                  BUDGET - (15 * SLOT / 2 + SLOT / 2 + 4 * BRANCH));
    free(path);
}

/* Who begins with whose weights. */
static void test_weights(void **state)
{
    const double untrained = log(4);
    const int32_t trunk_of = (int32_t)number(line_of(&whole, "candidate", LADDER_TRUNK), "parent");
    const double better = fmax(number(line_of(&whole, "model", 0), "validation_accuracy"),
                               number(line_of(&whole, "model", 1), "validation_accuracy"));
    const double trunk = number(line_of(&whole, "model", LADDER_TRUNK), "validation_loss");
    const double frozen = number(line_of(&whole, "model", LADDER_FROZEN), "validation_loss");
    (void)state;
    assert_number(line_of(&whole, "model", trunk_of), "validation_accuracy", better);
    assert_true(trunk < 0.8 * untrained);
    /* It has the trunk's weights; the running statistics of its batch norms catch up with them. */
    assert_true(frozen < trunk + 0.25 * (untrained - trunk));
    for (int32_t id = LADDER_CONTROL; id <= LADDER_CHILD; id++)
        assert_number(line_of(&whole, "candidate", id), "parent", LADDER_TRUNK);
    assert_number(line_of(&whole, "candidate", LADDER_FRESH), "parent", -1);
    int morphs = 0;
    for (size_t i = 0; i < whole.count; i++) {
        if (strcmp(whole.lines[i].event, "morph") != 0)
            continue;
        const double id = number(whole.lines[i].json, "id");
        assert_true(id == LADDER_CHILD || id == LADDER_GROWN);
        morphs++;
    }
    assert_true(morphs > 0);
}

/* The same batches make the same training, others another one. */
static void test_batches(void **state)
{
    const double control = number(line_of(&whole, "model", LADDER_CONTROL), "validation_loss");
    (void)state;
    assert_number(line_of(&whole, "model", LADDER_TWIN), "validation_loss", control);
    assert_true(number(line_of(&whole, "model", LADDER_OTHER), "validation_loss") != control);
}

/* The rate of a candidate's epochs, less than the peak. */
static bool falls(const struct journal_lines *lines, int32_t id)
{
    bool found = false;
    for (size_t i = 0; i < lines->count; i++) {
        const cJSON *json = lines->lines[i].json;
        if (strcmp(lines->lines[i].event, "epoch") == 0 && number(json, "id") == id)
            found = found || number(json, "learning_rate") < 0.9 * highest_rate(lines, id);
    }
    return found;
}

static double last_step(const struct journal_lines *lines, int32_t id)
{
    double last = 0.0;
    for (size_t i = 0; i < lines->count; i++) {
        const cJSON *json = lines->lines[i].json;
        if (strcmp(lines->lines[i].event, "epoch") == 0 && number(json, "id") == id)
            last = fmax(last, number(json, "step"));
    }
    return last;
}

/* Branches go on from where their parent held: steps are counted on from there, also in a final fit on two devices. The
 * same branch gains nothing, exactly; others do or lose, and their gain is the difference of the mean losses. */
static void test_branches(void **state)
{
    const double held = SLOT / 2, branch = number(line_of(&whole, "model", LADDER_BRANCH), "validation_loss");
    const cJSON *same = line_of(&whole, "model", LADDER_SAME),
                *final = line_of(&whole, "model", LADDER_COUNT);
    (void)state;
    assert_true(last_step(&whole, LADDER_HELD) == held);
    for (int32_t id = LADDER_BRANCH; id <= LADDER_GROWN; id++)
        assert_true(last_step(&whole, id) == held + BRANCH);
    assert_true(last_step(&whole, LADDER_COUNT) == held + 3 * BRANCH / 4 + number(final, "steps"));
    assert_true(falls(&whole, LADDER_COUNT));
    assert_number(line_of(&whole, "model", LADDER_BRANCH), "gain", NAN);
    assert_number(final, "gain", NAN);
    assert_number(same, "validation_loss", branch);
    assert_number(same, "gain", 0.0);
    assert_number(same, "gain_deviation", 0.0);
    for (int32_t id = LADDER_SLOWER; id <= LADDER_GROWN; id++) {
        const cJSON *line = line_of(&whole, "model", id);
        const double gain = branch - number(line, "validation_loss");
        assert_true(fabs(number(line, "gain") - gain) < 1e-5);
        assert_true(fabs(gain) > 1e-6 && number(line, "gain_deviation") > 1e-6);
        assert_true(number(line, "gain_deviation") < 1.0);
    }
}

/* ---- a lost engine ---- */

/* The process ends when this candidate is proposed, while the one before is in training and has left a checkpoint. */
static int32_t lost_at;
static char checkpoint[300];

static bool is_before(const struct device *device)
{
    for (int32_t k = 0; k < run.devices.workers; k++)
        if (run.devices.items[k].device == device && run.history->training[k] == lost_at - 1)
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
                                        "crc"};
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
        char *path = path_of(name);
        snprintf(checkpoint, sizeof(checkpoint), "%s/checkpoint-%d.bin", path, (int)lost_at - 1);
        struct journal_lines resumed;
        struct error err;
        int ended;
        const pid_t process = fork();
        assert_true(process >= 0);
        if (process == 0)
            _exit(run_with(&strategy, &ops, path, &err) == ST_OK ? 0 : 2);
        assert_int_equal(waitpid(process, &ended, 0), process);
        assert_true(WIFEXITED(ended));
        assert_int_equal(WEXITSTATUS(ended), LOST);
        run_in(path);
        load(path, &resumed);
        assert_same_run(&whole, &resumed);
        journal_lines_free(&resumed);
        free(path);
    }
    journal_lines_free(&whole);
}

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
    const double whole = job.budget.steps.items[0] * request->means.candidate; /* of a fresh training */
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
    char *path = path_of(name), file[300];
    struct journal_lines lines;
    struct error err;
    siblings = count;
    job.budget.steps.items[0] = ROOT_STEPS + (1 + count) * BRANCH_STEPS + END_STEPS;
    job.search.final_share = 0.3; /* room for all of them */
    if (run_with(&strategy, NULL, path, &err) != ST_OK)
        fail_msg("%s", err.message);
    load(path, &lines);
    assert_number(line_of(&lines, "model", 0), "steps", ROOT_STEPS);
    for (int32_t id = 1; id <= 1 + count; id++)
        assert_number(line_of(&lines, "model", id), "steps", BRANCH_STEPS);
    assert_number(line_of(&lines, "model", 2 + count), "steps", END_STEPS);
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
    char *path = path_of(name);
    struct error err;
    job.budget.steps.items[0] = BUDGET / 4;
    job.search.final_share = 0.6;
    if (run_with(&strategy, NULL, path, &err) != ST_OK)
        fail_msg("%s", err.message);
    load(path, lines);
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
        loss[id] = number(line_of(&once, "model", id), "validation_loss");
        assert_number(line_of(&again, "model", id), "validation_loss", loss[id]);
    }
    assert_true(loss[OTHERS] != loss[SEEDS]);
    assert_true(loss[SHRUNK] != loss[AS_IT_IS]);
    assert_number(line_of(&once, "candidate", SHRUNK), "shrink", RECIPE_SHRINK);
    assert_number(line_of(&once, "candidate", SHRUNK), "fresh", 3);
    assert_number(line_of(&once, "candidate", AS_IT_IS), "shrink", NAN);
    assert_number(line_of(&once, "candidate", SEEDS), "fresh", NAN);
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
    for (int32_t k = 0; k < run.devices.workers; k++)
        while (run.devices.items[k].device == device && run.history->training[k] == 0 &&
               proposed < SHORT_ONES && patience-- > 0)
            usleep(1000);
    return cpu_device_ops.program_run(device, prepared, step, err);
}

/* With a budget in seconds the one device goes on with what comes next while the other has a long training; results
 * are learnt in the order of the ids all the same. */
static void test_no_device_waits(void **state)
{
    static const struct search_strategy strategy = {.propose = propose_starts};
    const struct job before = job;
    struct device_ops ops = cpu_device_ops;
    struct journal_lines lines;
    struct error err;
    char *path = path_of("waits");
    (void)state;
    job.budget.steps.count = 0;
    job.budget.seconds = (struct job_numbers){.count = 1, .items = {100000}};
    job.search.epochs = 1.0;
    ops.program_run = wait_in_first;
    search_only = true;
    if (run_with(&strategy, &ops, path, &err) != ST_OK)
        fail_msg("%s", err.message);
    search_only = false;
    job = before;
    load(path, &lines);
    bool first_has_ended = false;
    for (size_t i = 0; i < lines.count; i++) {
        const double id = number(lines.lines[i].json, "id");
        first_has_ended = first_has_ended || (strcmp(lines.lines[i].event, "model") == 0 && id == 0.0);
        assert_false(first_has_ended && strcmp(lines.lines[i].event, "candidate") == 0 && id < SHORT_ONES);
    }
    assert_true(first_has_ended);
    assert_number(line_of(&lines, "candidate", 1), "observed", 0);
    assert_number(line_of(&lines, "candidate", SHORT_ONES), "observed", 0);
    journal_lines_free(&lines);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_carried_out),   cmocka_unit_test(test_weights),
        cmocka_unit_test(test_batches),       cmocka_unit_test(test_branches),
        cmocka_unit_test(test_lost_engine),   cmocka_unit_test(test_branches_leave_no_trace),
        cmocka_unit_test(test_other_weights), cmocka_unit_test(test_no_device_waits),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}

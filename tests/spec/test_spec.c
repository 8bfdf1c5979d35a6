/* Job files that are right: defaults, every key, overrides, round trips, resuming, the samples, the
 * reference. Runs in the top folder, where samples/ and spec/REFERENCE.md are.
 *
 *     test_spec --write-reference     writes spec/REFERENCE.md anew */
#include "host/base/file.h"
#include "spec/schema.h"
#include "tests/support/spec_scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
/* after what it needs */
#include <cmocka.h>

enum { TEXT_MAX = 4096 };

static const char reference_file[] = "spec/REFERENCE.md";
static const char *const samples[] = {
    "samples/fashion-mnist.cfg", "samples/cifar10.cfg",        "samples/folder.cfg",  "samples/csv.cfg",
    "samples/steps.cfg",         "samples/several-labels.cfg", "samples/tutorial.cfg"};
enum { SAMPLE_COUNT = sizeof(samples) / sizeof(samples[0]) };

/* ---- values ---- */

static const char least_text[] = "dataset = { path = \".\"; };";

/* The defaults that users and other rooms rely on, written here a second time on purpose. */
static void test_defaults(void **state)
{
    static const char *const defaults[SPEC_KEY_COUNT][2] = {
        {"dataset.format", "\"auto\""},
        {"dataset.path", "\".\""},
        {"dataset.labels", "\"one\""},
        {"dataset.images", "\"\""},
        {"dataset.validation", "0.1"},
        {"dataset.test", "0.15"},
        {"dataset.resize", "[]"},
        {"dataset.max_side", "128"},
        {"dataset.max_pixels", "178956970"},
        {"dataset.fit", "\"stretch\""},
        {"dataset.channels", "\"auto\""},
        {"dataset.on_error", "\"stop\""},
        {"dataset.audit", "\"warn\""},
        {"dataset.cache", "\"\""},
        {"search.strategy", "\"phases\""},
        {"search.space", "\"networks\""},
        {"search.repeats", "1"},
        {"search.starts", "[\"air\", \"air_deep\", \"res9\"]"},
        {"search.width", "0"},
        {"search.morphs", "[\"deepen\", \"widen\", \"add_skip\", \"concat_skip\", \"kernel\", \"residual\", "
                          "\"repeat\", \"squeeze\", "
                          "\"widen_stage\", \"widen_net\"]"},
        {"search.max_morphs", "2"},
        {"search.noise", "0.00025"},
        {"search.beta", "2.5"},
        {"search.skip_weight", "1.0"},
        {"search.random_share", "0.2"},
        {"search.neighbours", "8"},
        {"search.population", "16"},
        {"search.tournament", "4"},
        {"search.widths", "[16, 32, 64]"},
        {"search.depths", "[0, 1, 2]"},
        {"search.rungs", "3"},
        {"search.eta", "3"},
        {"search.policy_rate", "0.01"},
        {"search.policy_batch", "4"},
        {"search.policy_entropy", "0.005"},
        {"search.ahead", "-1"},
        {"search.workers_per_device", "\"auto\""},
        {"search.epochs", "0.0"},
        {"search.data", "1.0"},
        {"search.final_share", "0.6"},
        {"search.branches", "0"},
        {"search.race", "false"},
        {"search.prior", "\"\""},
        {"search.max_parameters", "0"},
        {"search.max_flops", "0.0"},
        {"search.max_latency_ms", "0.0"},
        {"search.latency_device", "\"cpu\""},
        {"baseline.start", "[\"none\"]"},
        {"baseline.width", "0"},
        {"train.batch", "\"auto\""},
        {"train.precision", "\"auto\""},
        {"train.optimizer", "\"muon\""},
        {"train.learning_rate", "\"auto\""},
        {"train.depth_rate", "0.1"},
        {"train.momentum", "\"auto\""},
        {"train.beta2", "0.999"},
        {"train.weight_decay", "\"auto\""},
        {"train.bias_rate", "8.0"},
        {"train.bias_decay", "0.009"},
        {"train.muon_rate", "0.5"},
        {"train.schedule", "\"triangle\""},
        {"train.warmup", "0.2"},
        {"train.hold", "0.0"},
        {"train.label_smoothing", "\"auto\""},
        {"train.class_weights", "[\"none\"]"},
        {"train.focal", "0.0"},
        {"train.drop_path", "0.0"},
        {"train.translate", "\"auto\""},
        {"train.cutout", "\"auto\""},
        {"train.flip", "true"},
        {"train.averaging", "\"look_ahead\""},
        {"train.average", "\"auto\""},
        {"train.patience", "0"},
        {"train.progressive", "\"auto\""},
        {"train.final_epochs", "20.0"},
        {"train.use_validation", "true"},
        {"final.repeats", "0"},
        {"final.width", "0"},
        {"evaluate.views", "\"auto\""},
        {"budget.seconds", "[3600.0]"},
        {"budget.steps", "[]"},
        {"budget.models", "[]"},
        {"budget.clock", "\"wall\""},
        {"output.dir", "\"runs/job\""},
        {"output.plots", "true"},
        {"output.checkpoint_seconds", "30.0"},
        {"report.cost_per_hour", "0.0"},
        {"report.currency", "\"USD\""},
        {"devices", "[\"auto\"]"},
        {"threads", "0"},
        {"seed", "1"},
    };
    struct job job;
    spec_scratch_read_good(*state, least_text, NULL, &job);
    for (int i = 0; i < SPEC_KEY_COUNT; i++) {
        assert_string_equal(spec_keys[i].name, defaults[i][0]);
        spec_scratch_check(&job, defaults[i][0], defaults[i][1]);
    }
    assert_string_equal(job.file, ((struct spec_scratch *)*state)->file);
    spec_free(&job);
}

/* search.baseline, which older versions wrote into jobs. */
static void test_older_baseline(void **state)
{
    static const char *const texts[][2] = {{"false", "[\"none\"]"}, {"true", "[\"first\"]"}};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        char text[256];
        struct job job;
        snprintf(text, sizeof(text), "%s\nsearch = { baseline = %s; };", least_text, texts[i][0]);
        spec_scratch_read_good(*state, text, NULL, &job);
        spec_scratch_check(&job, "baseline.start", texts[i][1]);
        spec_free(&job);
    }
}

/* For every key a value that is not its default, and how it is printed when it is read back. */
static const struct value_case {
    const char *name, *value, *printed;
} values[] = {
    {"dataset.format", "\"cifar100\"", "\"cifar100\""},
    {"dataset.path", "\"/tmp\"", "\"/tmp\""},
    {"dataset.labels", "\"several\"", "\"several\""},
    {"dataset.images", "\"/\"", "\"/\""},
    {"dataset.validation", "0.25", "0.25"},
    {"dataset.test", ".5", "0.5"},
    {"dataset.resize", "[32, 48]", "[32, 48]"},
    {"dataset.max_side", "64", "64"},
    {"dataset.max_pixels", "1048576", "1048576"},
    {"dataset.fit", "\"pad\"", "\"pad\""},
    {"dataset.channels", "\"grey\"", "\"grey\""},
    {"dataset.on_error", "\"skip\"", "\"skip\""},
    {"dataset.audit", "\"stop\"", "\"stop\""},
    {"dataset.cache", "\"a \\\"b\\\" \\\\ # [1]\"", "\"a \\\"b\\\" \\\\ # [1]\""},
    {"search.strategy", "\"greedy\"", "\"greedy\""},
    {"search.space", "\"cells\"", "\"cells\""},
    {"search.repeats", "2", "2"},
    {"search.starts", "(\"resnet\", \"cnn\")", "[\"resnet\", \"cnn\"]"},
    {"search.width", "24", "24"},
    {"search.morphs", "\"widen\"", "[\"widen\"]"},
    {"search.max_morphs", "5", "5"},
    {"search.noise", "1e-5", "1e-05"},
    {"search.beta", "3", "3.0"},
    {"search.skip_weight", "0.123456789012345678", "0.12345678901234568"},
    {"search.random_share", "1", "1.0"},
    {"search.neighbours", "5", "5"},
    {"search.population", "40", "40"},
    {"search.tournament", "2", "2"},
    {"search.widths", "[8, 40]", "[8, 40]"},
    {"search.depths", "3", "[3]"},
    {"search.rungs", "4", "4"},
    {"search.eta", "2", "2"},
    {"search.policy_rate", "0.1", "0.1"},
    {"search.policy_batch", "8", "8"},
    {"search.policy_entropy", "0", "0.0"},
    {"search.ahead", "2", "2"},
    {"search.workers_per_device", "2", "2"},
    {"search.epochs", "2.5E0", "2.5"},
    {"search.data", "0.3", "0.3"},
    {"search.final_share", "0", "0.0"},
    {"search.branches", "3", "3"},
    {"search.race", "true", "true"},
    {"search.prior", "\"/\"", "\"/\""},
    {"search.max_parameters", "2147483647", "2147483647"},
    {"search.max_flops", "2e9", "2000000000.0"},
    {"search.max_latency_ms", "2.5", "2.5"},
    {"search.latency_device", "\"cuda\"", "\"cuda\""},
    {"baseline.start", "\"resnet\"", "[\"resnet\"]"},
    {"baseline.width", "32", "32"},
    {"train.batch", "+256", "256"},
    {"train.precision", "\"tf32\"", "\"tf32\""},
    {"train.optimizer", "\"adamw\"", "\"adamw\""},
    {"train.learning_rate", "1e-3", "0.001"},
    {"train.depth_rate", "0.5", "0.5"},
    {"train.momentum", "0.95", "0.95"},
    {"train.beta2", "0.99", "0.99"},
    {"train.weight_decay", "0.05", "0.05"},
    {"train.bias_rate", "2", "2.0"},
    {"train.bias_decay", "0.5", "0.5"},
    {"train.muon_rate", "2", "2.0"},
    {"train.schedule", "\"cosine\"", "\"cosine\""},
    {"train.warmup", "0", "0.0"},
    {"train.hold", "0.25", "0.25"},
    {"train.label_smoothing", "0.0", "0.0"},
    {"train.class_weights", "[\"cat=2\", \"a=b=0.5\"]", "[\"cat=2\", \"a=b=0.5\"]"},
    {"train.focal", "2", "2.0"},
    {"train.drop_path", "0.2", "0.2"},
    {"train.translate", "4", "4"},
    {"train.cutout", "008", "8"},
    {"train.flip", "False", "false"},
    {"train.averaging", "\"ema\"", "\"ema\""},
    {"train.average", "0", "0.0"},
    {"train.patience", "10L", "10"},
    {"train.progressive", "\"off\"", "\"off\""},
    {"train.final_epochs", "100", "100.0"},
    {"train.use_validation", "false", "false"},
    {"final.repeats", "6", "6"},
    {"final.width", "64", "64"},
    {"evaluate.views", "2", "2"},
    {"budget.seconds", "[60, 90.5, 1e3]", "[60.0, 90.5, 1000.0]"},
    {"budget.steps", "[100, 1000000000]", "[100, 1000000000]"},
    {"budget.models", "40", "[40]"},
    {"budget.clock", "\"model\"", "\"model\""},
    {"output.dir", "\"runs/x\"", "\"runs/x\""},
    {"output.plots", "false", "false"},
    {"output.checkpoint_seconds", "2", "2.0"},
    {"report.cost_per_hour", "0.40", "0.4"},
    {"report.currency", "\"EUR\"", "\"EUR\""},
    {"devices", "[\"cpu:0\", \"cpu:1\"]", "[\"cpu:0\", \"cpu:1\"]"},
    {"threads", "3", "3"},
    {"seed", "9007199254740992", "9007199254740992"},
};
_Static_assert(sizeof(values) / sizeof(values[0]) == SPEC_KEY_COUNT, "a value for every key");

/* Each word of each choice becomes its own value, and is printed again; the value and its word agree by name. */
static void test_choices(void **state)
{
    /* One start, which is all that some words allow. */
    static const char one_start[] = "dataset = { path = \".\"; };\nsearch = { starts = [\"cell\"]; };\n";
    int choices = 0;
    for (int i = 0; i < SPEC_KEY_COUNT; i++) {
        const struct spec_key *key = &spec_keys[i];
        assert_int_equal(key->type == SPEC_CHOICE, key->words != NULL);
        for (int value = 0; key->words != NULL && key->words[value] != NULL; value++) {
            char override[TEXT_MAX], printed[TEXT_MAX];
            struct job job;
            snprintf(override, sizeof(override), "%s=%s", key->name, key->words[value]);
            snprintf(printed, sizeof(printed), "\"%s\"", key->words[value]);
            spec_scratch_read_good(*state, one_start, override, &job);
            assert_int_equal(*(const int *)spec_field_const(&job, key), value);
            spec_scratch_check(&job, key->name, printed);
            spec_free(&job);
            choices++;
        }
    }
    struct job job;
    /* A schedule that nobody chose is the strategy's. */
    spec_scratch_read_good(*state, least_text, "search.strategy=hill_climb", &job);
    spec_scratch_check(&job, "train.schedule", "\"cosine\"");
    spec_free(&job);
    spec_scratch_read_good(*state, "dataset = { path = \".\"; };\ntrain = { schedule = \"triangle\"; };",
                           "search.strategy=hill_climb", &job);
    spec_scratch_check(&job, "train.schedule", "\"triangle\"");
    spec_free(&job);
    /* Of starts that nobody chose it is the first. */
    spec_scratch_read_good(*state, "dataset = { path = \".\"; };\n", "search.strategy=none", &job);
    spec_scratch_check(&job, "search.starts", "[\"air\"]");
    spec_free(&job);
    /* Where nobody chose strategy and starts they are those of cells. */
    spec_scratch_read_good(*state, "dataset = { path = \".\"; };\n", "search.space=cells", &job);
    spec_scratch_check(&job, "search.starts", "[\"cell\"]");
    spec_scratch_check(&job, "search.strategy", "\"greedy\"");
    spec_free(&job);
    enum job_fit fit = JOB_FIT_STRETCH;
    assert_true(job_fit_of("pad", &fit));
    assert_int_equal(fit, JOB_FIT_PAD);
    assert_false(job_fit_of("bend", &fit));
    assert_int_equal(fit, JOB_FIT_PAD);
    assert_true(choices > 0);
    assert_string_equal(job_optimizer_text(JOB_OPTIMIZER_SGD), "sgd");
    assert_string_equal(job_optimizer_text(JOB_OPTIMIZER_ADAMW), "adamw");
    assert_string_equal(job_optimizer_text(JOB_OPTIMIZER_MUON), "muon");
    assert_string_equal(job_precision_text(JOB_PRECISION_TF32), "tf32");
}

/* Of those there is one at most. */
static bool is_budget(const char *name)
{
    return strncmp(name, "budget.", 7) == 0 && strcmp(name, "budget.clock") != 0;
}

/* What has to stand in `search` for a key to have a meaning. */
static const char *needs(const char *name)
{
    static const char *const keys[][2] = {
        {"search.neighbours", "strategy = \"hill_climb\";"},
        {"search.population", "strategy = \"evolution\";"},
        {"search.tournament", "strategy = \"evolution\";"},
        {"search.widths", "strategy = \"asha\";"},
        {"search.depths", "strategy = \"grid\";"},
        {"search.rungs", "strategy = \"asha\";"},
        {"search.eta", "strategy = \"asha\";"},
        {"search.policy_rate", "strategy = \"reinforce\";"},
        {"search.policy_batch", "strategy = \"reinforce\";"},
        {"search.policy_entropy", "strategy = \"reinforce\";"},
        {"search.repeats", "space = \"cells\";"},
        {"final.repeats", "space = \"cells\";"},
        {"final.width", "space = \"cells\";"},
    };
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strcmp(keys[i][0], name) == 0)
            return keys[i][1];
    return "";
}

/* The keys that are others in a search over cells, where the job leaves them open. */
static bool adapts_to_cells(const char *changed, const char *name)
{
    return strcmp(changed, "search.space") == 0 &&
           (strcmp(name, "search.strategy") == 0 || strcmp(name, "search.starts") == 0);
}

/* Each key alone in the file, and alone on the command line, changes its own value and no other. */
static void test_every_key(void **state)
{
    for (int i = 0; i < SPEC_KEY_COUNT; i++) {
        const struct value_case *c = &values[i];
        int section = spec_section_length(c->name);
        bool path = strcmp(c->name, "dataset.path") == 0;
        bool search = strncmp(c->name, "search.", 7) == 0;
        const char *need = needs(c->name);
        char text[TEXT_MAX], override[TEXT_MAX], least[TEXT_MAX];
        struct job plain, from_file, from_override;
        assert_string_equal(c->name, spec_keys[i].name);
        snprintf(least, sizeof(least), "%s\nsearch = { %s };", least_text, need);
        spec_scratch_read_good(*state, least, NULL, &plain);
        if (section == 0)
            snprintf(text, sizeof(text), "%s\n%s = %s", least_text, c->name, c->value);
        else if (strncmp(c->name, "dataset.", 8) == 0)
            snprintf(text, sizeof(text), "dataset = { %s %s = %s }", path ? "" : "path = \".\";",
                     c->name + section, c->value);
        else
            snprintf(text, sizeof(text), "%.2000s\n%.*s : { %s %s = %s; }", search ? least_text : least,
                     section - 1, c->name, search ? need : "", c->name + section, c->value);
        snprintf(override, sizeof(override), "%s=%s", c->name, c->value);
        spec_scratch_read_good(*state, text, NULL, &from_file);
        spec_scratch_read_good(*state, least, override, &from_override);
        spec_scratch_check(&from_file, c->name, c->printed);
        spec_scratch_check_same(&from_file, &from_override);
        for (int j = 0; j < SPEC_KEY_COUNT; j++) {
            bool other_budget = is_budget(c->name) && is_budget(spec_keys[j].name);
            char *before = spec_scratch_print(&plain, spec_keys[j].name);
            if (j == i)
                assert_string_not_equal(before, c->printed);
            else if (!adapts_to_cells(c->name, spec_keys[j].name))
                spec_scratch_check(&from_file, spec_keys[j].name, other_budget ? "[]" : before);
            free(before);
        }
        spec_free(&plain);
        spec_free(&from_file);
        spec_free(&from_override);
    }
}

static void test_overrides(void **state)
{
    static const struct {
        const char *text, *override, *name, *printed;
    } cases[] = {
        {"", "output.dir=runs/a b=c", "output.dir", "\"runs/a b=c\""},
        {"", "output.dir=\"quoted\"", "output.dir", "\"quoted\""},
        {"", "output.dir=2024", "output.dir", "\"2024\""},
        {"", "output.dir=//share/#1", "output.dir", "\"//share/#1\""},
        {"output = { dir = \"x\"; };", "output.dir=", "output.dir", "\"runs/job\""},
        {"", "dataset.path=/", "dataset.path", "\"/\""},
        {"", "search.starts=[\"lean\", \"cnn\"]", "search.starts", "[\"lean\", \"cnn\"]"},
        {"search = { starts = [\"cnn\", \"resnet\"]; };", "search.starts=densenet", "search.starts",
         "[\"densenet\"]"},
        {"", "devices=cpu", "devices", "[\"cpu\"]"},
        {"devices = \"auto\";", "devices=[\"cpu:0\",\"cpu:1\"]", "devices", "[\"cpu:0\", \"cpu:1\"]"},
        {"", "devices=cuda:12", "devices", "[\"cuda:12\"]"},
        {"", "train.flip=false", "train.flip", "false"},
        {"", "dataset.resize=40", "dataset.resize", "[40, 40]"},
        {"budget = { seconds = 60; };", "budget.steps=100", "budget.steps", "[100]"},
        {"budget = { seconds = 60; };", "budget.steps=100", "budget.seconds", "[]"},
        {"budget = { models = [1, 2]; };", "budget.seconds=[5,10]", "budget.models", "[]"},
        {"budget = { models = [1, 2]; };", "budget.seconds=[5,10]", "budget.seconds", "[5.0, 10.0]"},
        {"budget = { models = [1, 2]; };", "budget.clock=model", "budget.models", "[1, 2]"},
        {"budget = { clock = \"model\"; };", "budget.models=3", "budget.clock", "\"model\""},
        {"seed = 3;", "seed=4", "seed", "4"},
        {"train = { batch = \"auto\"; };", "train.batch=64", "train.batch", "64"},
        {"train = { batch = 64; };", "train.batch=auto", "train.batch", "\"auto\""},
        {"train = { batch = 64; };", "train.batch=\"auto\"", "train.batch", "\"auto\""},
        {"train = { momentum = 0.5; };", "train.momentum=auto", "train.momentum", "\"auto\""},
        {"train = { momentum = 0.5; };", "train.momentum=[0.85, 0.5]", "train.momentum", "[0.85, 0.5]"},
        {"", "train.batch=[64, 32]", "train.batch", "[64, 32]"},
        {"train = { average = [0.9, 0.5]; };", "train.average=[0.7]", "train.average", "0.7"},
        {"", "train.learning_rate={ min = 0.01; max = 1 }", "train.learning_rate",
         "{ min = 0.01; max = 1.0; scale = \"log\"; }"},
        {"train = { weight_decay = { max = 0.1; scale = \"linear\"; min = 0; }; };", "seed=2",
         "train.weight_decay", "{ min = 0.0; max = 0.1; scale = \"linear\"; }"},
        {"train = { label_smoothing : { min : 0.0, max : 0.3 } };", "seed=2", "train.label_smoothing",
         "{ min = 0.0; max = 0.3; scale = \"linear\"; }"},
        {"train = { batch = { min = 32; max = 512; }; };", "seed=2", "train.batch",
         "{ min = 32; max = 512; scale = \"log\"; }"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[TEXT_MAX];
        struct job job;
        snprintf(text, sizeof(text), "%s\n%s", least_text, cases[i].text);
        spec_scratch_read_good(*state, text, cases[i].override, &job);
        spec_scratch_check(&job, cases[i].name, cases[i].printed);
        spec_free(&job);
    }
}

/* What a search begins with: the default, the value, the first of a list, the middle of a range on its scale. */
static void test_ranges(void **state)
{
    struct job job;
    spec_scratch_read_good(*state,
                           "dataset = { path = \".\"; };\n"
                           "train = { momentum = [0.7, 0.9]; weight_decay = { min = 0.001; max = 0.1; };\n"
                           "label_smoothing = { min = 0; max = 0.3; }; average = 0.5; "
                           "batch = { min = 16; max = 1024; }; };",
                           NULL, &job);
    assert_int_equal(job.ranges.learning_rate.kind, JOB_RANGE_OPEN);
    assert_float_equal(job.train.learning_rate, 0.1875, 0.0);
    assert_int_equal(job.ranges.average.kind, JOB_RANGE_FIXED);
    assert_float_equal(job.train.average, 0.5, 0.0);
    assert_int_equal(job.ranges.momentum.kind, JOB_RANGE_LIST);
    assert_float_equal(job.train.momentum, 0.7, 0.0);
    assert_float_equal(job.ranges.momentum.values.items[1], 0.9, 0.0);
    assert_int_equal(job.ranges.weight_decay.kind, JOB_RANGE_BETWEEN);
    assert_float_equal(job.train.weight_decay, 0.01, 1e-12);
    assert_float_equal(job.train.label_smoothing, 0.15, 1e-12);
    assert_int_equal(job.train.batch, 128);
    for (double place = 0.0; place <= 1.0; place += 0.125) {
        const struct job_range *decay = &job.ranges.weight_decay, *smoothing = &job.ranges.label_smoothing;
        assert_float_equal(job_range_place(decay, job_range_value(decay, place)), place, 1e-12);
        assert_float_equal(job_range_place(smoothing, job_range_value(smoothing, place)), place, 1e-12);
    }
    assert_float_equal(job_range_value(&job.ranges.batch, 0.3), 56.0, 0.0);
    assert_float_equal(job_range_place(&job.ranges.weight_decay, 5.0), 1.0, 0.0);
    spec_free(&job);
}

/* ---- round trips and resuming ---- */

static void test_round_trip(void **state)
{
    struct job job, again;
    char override[300] = "output.dir=", bytes[256];
    for (int i = 1; i < 256; i++)
        bytes[i - 1] = (char)i;
    bytes[255] = '\0';
    strcat(override, bytes);
    spec_scratch_read_good(
        *state,
        "dataset = { path = \".\"; resize = [20, 30]; test = 0.123456789012345678; };\n"
        "search = { noise = 1e-300; beta = 33.333333333333336; starts = (\"cnn\", \"lean\"); };\n"
        "train = { learning_rate = { min = 0.01; max = 0.9; }; batch = [64, 100]; momentum = 0.85; };\n"
        "budget = { seconds = [1, 1.0000000000000002, 3e7]; }; seed = 9007199254740991;",
        override, &job);
    assert_string_equal(job.output.dir, bytes);
    char *text = spec_scratch_write_job(&job);
    spec_scratch_read_good(*state, text, NULL, &again);
    spec_scratch_check_same(&job, &again);
    assert_true(again.search.noise == 1e-300);
    assert_true(again.budget.seconds.items[1] == 1.0000000000000002);
    spec_free(&again);
    /* A job written with one kind of budget still takes another from the command line. */
    spec_scratch_read_good(*state, text, "budget.models=5", &again);
    spec_scratch_check(&again, "budget.seconds", "[]");
    spec_scratch_check(&again, "budget.models", "[5]");
    spec_free(&again);
    free(text);
    spec_free(&job);
}

static void test_same_run(void **state)
{
    static const struct {
        const char *before, *now; /* overrides */
        const char *message;      /* NULL: the same run */
    } cases[] = {
        {"seed=1", "seed=1", NULL},
        {"output.dir=a", "output.dir=b", NULL},
        {"output.plots=true", "output.plots=false", NULL},
        /* where the data lie; what they are is told by their fingerprint */
        {"dataset.path=/", "dataset.path=/tmp", NULL},
        {"dataset.cache=a", "dataset.cache=b", NULL},
        {"budget.seconds=60", "budget.seconds=[60,120]", NULL},
        {"budget.seconds=60", "budget.seconds=90", NULL},
        {"budget.steps=[10,20]", "budget.steps=[10,30]", NULL},
        {"train.learning_rate=auto", "train.learning_rate=0.1875",
         "train.learning_rate: found 0.1875, expected \"auto\" as the run began"},
        {"train.average=[0.5,0.6]", "train.average=[0.6,0.5]",
         "train.average: found [0.6, 0.5], expected [0.5, 0.6] as the run began"},
        {"seed=1", "seed=2", "seed: found 2, expected 1 as the run began"},
        {"threads=1", "threads=2", "threads: found 2, expected 1 as the run began"},
        {"search.starts=cnn", "search.starts=[\"cnn\",\"lean\"]",
         "search.starts: found [\"cnn\", \"lean\"], expected [\"cnn\"] as the run began"},
        {"budget.seconds=60", "budget.seconds=50",
         "budget.seconds: found [50.0], expected [60.0] as the run began, with more stages or a later last "
         "one"},
        {"budget.steps=[10,20]", "budget.steps=10",
         "budget.steps: found [10], expected [10, 20] as the run began, with more stages or a later last "
         "one"},
        {"budget.steps=[10,20]", "budget.steps=[11,20]",
         "budget.steps: found [11, 20], expected [10, 20] as the run began, with more stages or a later last "
         "one"},
        {"budget.steps=[10,20]", "budget.steps=[10,30,40]",
         "budget.steps: found [10, 30, 40], expected [10, 20] as the run began, with more stages or a later "
         "last one"},
        {"budget.seconds=60", "budget.steps=600",
         "budget.seconds: found [], expected [60.0] as the run began, with more stages or a later last one"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct job before, now;
        struct error err = {0};
        spec_scratch_read_good(*state, least_text, cases[i].before, &before);
        spec_scratch_read_good(*state, least_text, cases[i].now, &now);
        enum status st = spec_same_run(&before, &now, &err);
        assert_int_equal(st, cases[i].message == NULL ? ST_OK : ST_RANGE);
        assert_string_equal(err.message, cases[i].message == NULL ? "" : cases[i].message);
        spec_free(&before);
        spec_free(&now);
    }
}

/* What was written is read where the data have been moved away, too. */
static void test_written(void **state)
{
    struct job job, again;
    struct error err = {0};
    spec_scratch_read_good(*state, least_text, "budget.steps=[10,20]", &job);
    char *text = spec_scratch_write_job(&job);
    char *path = strstr(text, "path = \"");
    assert_non_null(path);
    path[8] = '?';
    assert_int_equal(spec_read_text("a run", text, strlen(text), NULL, 0, &again, &err), ST_IO);
    assert_non_null(strstr(err.message, "a run:"));
    assert_int_equal(spec_read_written("a run", text, strlen(text), &again, &err), ST_OK);
    assert_int_equal(spec_same_run(&again, &job, &err), ST_OK);
    spec_free(&again);
    text[strlen(text) / 2] = '\001';
    assert_int_equal(spec_read_written("a run", text, strlen(text), &again, &err), ST_FORMAT);
    assert_non_null(strstr(err.message, "a run:"));
    free(text);
    spec_free(&job);
}

/* ---- the reference and the samples ---- */

static char *print_reference(bool markdown)
{
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_non_null(out);
    spec_print_reference(out, markdown);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void test_reference(void **state)
{
    (void)state;
    char *stored = NULL, *printed = print_reference(true), *terminal = print_reference(false);
    size_t length = 0;
    struct error err;
    assert_int_equal(file_read(reference_file, &stored, &length, &err), ST_OK);
    if (strcmp(stored, printed) != 0)
        fail_msg("%s is out of date: test_spec --write-reference", reference_file);
    for (int i = 0; i < SPEC_KEY_COUNT; i++) {
        const struct spec_key *key = &spec_keys[i];
        assert_non_null(strstr(printed, key->name));
        assert_non_null(strstr(terminal, key->name));
        assert_non_null(strstr(terminal, key->meaning));
        for (int j = 0; j < i; j++)
            assert_string_not_equal(key->name, spec_keys[j].name);
    }
    free(stored);
    free(printed);
    free(terminal);
}

static void test_samples(void **state)
{
    (void)state;
    char *overrides[] = {"dataset.path=.", "dataset.images="};
    for (int i = 0; i < SAMPLE_COUNT; i++) {
        struct job job;
        struct error err;
        if (spec_read(samples[i], overrides, 2, &job, &err) != ST_OK)
            fail_msg("%s", err.message);
        assert_int_equal(strncmp(job.output.dir, "runs/", 5), 0);
        spec_free(&job);
    }
}

static int write_reference(void)
{
    FILE *out = fopen(reference_file, "w");
    if (out == NULL) {
        perror(reference_file);
        return 1;
    }
    spec_print_reference(out, true);
    return fclose(out) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),       cmocka_unit_test(test_choices),
        cmocka_unit_test(test_every_key),      cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_ranges),         cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_same_run),       cmocka_unit_test(test_written),
        cmocka_unit_test(test_reference),      cmocka_unit_test(test_samples),
        cmocka_unit_test(test_older_baseline),
    };
    if (argc == 2 && strcmp(argv[1], "--write-reference") == 0)
        return write_reference();
    return cmocka_run_group_tests(tests, spec_scratch_open, spec_scratch_close);
}
